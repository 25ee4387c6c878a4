//! Keys: in goes a key, out comes what the loop has to do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{App, Tab};

/// What the loop has to do after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing changed.
    None,
    /// Draw again.
    Redraw,
    /// Draw again in full, because something else wrote on the terminal.
    Clear,
    /// Leave.
    Quit,
}

/// Lines of a page: drawing knows the true height, keys need not be that exact.
const PAGE: isize = 10;

impl App {
    /// Takes a key.
    pub fn on_key(&mut self, key: KeyEvent) -> Action {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c' | 'C') => Action::Quit,
                KeyCode::Char('l') => Action::Clear,
                _ => Action::None,
            };
        }
        if self.filtering {
            return self.on_filter_key(key.code);
        }
        if self.help {
            return match key.code {
                KeyCode::Char('q') => Action::Quit,
                KeyCode::Esc | KeyCode::Enter | KeyCode::Char('?' | 'h') => {
                    self.help = false;
                    Action::Redraw
                }
                _ => Action::None,
            };
        }
        match key.code {
            KeyCode::Char('q') => Action::Quit,
            KeyCode::Esc if self.filter.is_empty() => Action::Quit,
            code => self.on_table_key(code),
        }
    }

    fn on_table_key(&mut self, code: KeyCode) -> Action {
        match code {
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char(' ' | 'p') => self.pause(),
            KeyCode::Char('/') => self.filtering = true,
            KeyCode::Char('b') => self.options.bits = !self.options.bits,
            KeyCode::Char('t') => self.rates = !self.rates,
            KeyCode::Char('1') => self.open(Tab::Overview),
            KeyCode::Char('2') => self.open(Tab::Paths),
            KeyCode::Tab => self.focus_by(1),
            KeyCode::BackTab => self.focus_by(-1),
            KeyCode::Char('s' | '>') | KeyCode::Right => self.sort_by(1),
            KeyCode::Char('S' | '<') | KeyCode::Left => self.sort_by(-1),
            KeyCode::Char('r') => {
                let view = &mut self.views[self.focus as usize];
                view.reverse = !view.reverse;
            }
            KeyCode::Up | KeyCode::Char('k') => self.select_by(-1),
            KeyCode::Down | KeyCode::Char('j') => self.select_by(1),
            KeyCode::PageUp => self.select_by(-PAGE),
            KeyCode::PageDown => self.select_by(PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.select_by(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.select_by(isize::MAX),
            _ => return Action::None,
        }
        self.clamp();
        Action::Redraw
    }

    fn on_filter_key(&mut self, code: KeyCode) -> Action {
        match code {
            KeyCode::Enter => self.filtering = false,
            KeyCode::Esc => {
                self.filtering = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(character) if !character.is_control() => self.filter.push(character),
            _ => return Action::None,
        }
        self.clamp();
        Action::Redraw
    }

    /// Pausing keeps what is shown; going on shows the next figures that come.
    fn pause(&mut self) {
        self.paused = !self.paused;
        self.behind = 0;
    }

    fn open(&mut self, tab: Tab) {
        self.tab = tab;
        if !tab.tables().contains(&self.focus) {
            self.focus = tab.tables()[0];
        }
    }

    fn focus_by(&mut self, step: isize) {
        let tables = self.tab.tables();
        let place = tables.iter().position(|table| *table == self.focus).unwrap_or(0);
        self.focus = tables[place.wrapping_add_signed(step + tables.len().cast_signed()) % tables.len()];
    }

    /// The report's own order, then column by column, then from the beginning.
    fn sort_by(&mut self, step: isize) {
        let places = Self::columns(self.focus) + 1;
        let view = &mut self.views[self.focus as usize];
        let place = view.sort.map_or(0, |column| column + 1);
        let place = place.wrapping_add_signed(step + places.cast_signed()) % places;
        view.sort = place.checked_sub(1);
        view.reverse = false;
    }

    fn select_by(&mut self, step: isize) {
        let view = &mut self.views[self.focus as usize];
        view.selected = view.selected.saturating_add_signed(step);
    }
}
