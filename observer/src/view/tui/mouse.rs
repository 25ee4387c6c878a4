//! Mouse input.

use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

use super::app::App;
use super::feed::Action;
use super::tab::Tab;

/// Lines per step of the wheel.
const WHEEL: isize = 3;
/// Screen line of the tabs.
const TABS: u16 = 1;

impl App {
    /// Handles a mouse event.
    pub fn on_mouse(&mut self, event: MouseEvent) -> Action {
        if self.help || self.filtering {
            return Action::None;
        }
        match event.kind {
            MouseEventKind::ScrollUp => self.select_by(-WHEEL),
            MouseEventKind::ScrollDown => self.select_by(WHEEL),
            MouseEventKind::Down(MouseButton::Left) if event.row == TABS => {
                let mut from = 0;
                let tab = Tab::ALL.into_iter().find(|tab| {
                    from += tab.label().chars().count();
                    usize::from(event.column) < from
                });
                let Some(tab) = tab else { return Action::None };
                self.open(tab);
            }
            _ => return Action::None,
        }
        self.clamp();
        Action::Redraw
    }
}
