//! Keys in, actions out.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{App, Measure};
use super::feed::{Action, Origin, Request};
use super::path_history::Detail;
use super::tab::{Focus, Tab};

/// Lines of a page. Only drawing knows the true height; an estimate is enough here.
const PAGE: isize = 10;

impl App {
    /// Handles a key.
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
            return self.on_help_key(key.code);
        }
        match key.code {
            KeyCode::Char('q') => Action::Quit,
            KeyCode::Esc if self.detail.take().is_some() => Action::Redraw,
            KeyCode::Esc if self.filter.is_empty() => Action::Quit,
            KeyCode::Char(' ' | 'p') => self.pause(),
            KeyCode::Char('[') => self.step_back(),
            KeyCode::Char(']') => self.step_on(),
            KeyCode::Left if self.paused => self.step_back(),
            KeyCode::Right if self.paused => self.step_on(),
            KeyCode::Char('+' | '=') => self.change_pace(true),
            KeyCode::Char('-') => self.change_pace(false),
            KeyCode::Char('c') if self.tab == Tab::Health && self.options.origin == Origin::Live => {
                self.options.statistics = !self.options.statistics;
                self.remark = None;
                Action::Request(Request::Statistics(self.options.statistics))
            }
            KeyCode::Char('c') if self.tab == Tab::Cost && self.options.origin == Origin::Live => {
                self.remark = None;
                let measured = self.report.as_ref().is_some_and(|report| report.cost.is_some());
                Action::Request(Request::Cost(!measured))
            }
            KeyCode::Char('x') => {
                self.options.mouse = !self.options.mouse;
                Action::Mouse(self.options.mouse)
            }
            code => self.on_table_key(code),
        }
    }

    fn on_help_key(&mut self, code: KeyCode) -> Action {
        let top = self.help_top.get();
        match code {
            KeyCode::Char('q') => return Action::Quit,
            KeyCode::Esc | KeyCode::Enter | KeyCode::Char('?' | 'h') => {
                self.help = false;
                self.help_top.set(0);
            }
            KeyCode::Up | KeyCode::Char('k') => self.help_top.set(top.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.help_top.set(top.saturating_add(1)),
            KeyCode::PageUp | KeyCode::Home => self.help_top.set(0),
            KeyCode::PageDown | KeyCode::End => self.help_top.set(usize::MAX),
            _ => return Action::None,
        }
        Action::Redraw
    }

    fn on_table_key(&mut self, code: KeyCode) -> Action {
        match code {
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char('/') => self.filtering = true,
            KeyCode::Char('b') => self.options.bits = !self.options.bits,
            KeyCode::Char('t') => self.next_measure(),
            KeyCode::Char(digit @ '1'..='6') => self.open(Tab::ALL[digit as usize - '1' as usize]),
            KeyCode::Tab => self.focus_by(1),
            KeyCode::BackTab => self.focus_by(-1),
            KeyCode::Enter => return self.open_details(),
            KeyCode::Char('m') if self.tab == Tab::Sizes => self.plan_by(1),
            KeyCode::Char('M') if self.tab == Tab::Sizes => self.plan_by(-1),
            KeyCode::Char('v') if self.tab == Tab::Sizes => self.plan_ipv6 = !self.plan_ipv6,
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

    fn next_measure(&mut self) {
        self.measure = match self.measure {
            Measure::PerSecond => Measure::Interval,
            Measure::Interval => Measure::Total,
            Measure::Total => Measure::PerSecond,
        };
        self.show_again();
    }

    /// Opens the details of the selected path.
    fn open_details(&mut self) -> Action {
        if !matches!(self.focus, Focus::Paths | Focus::FragmentedPaths) {
            return Action::None;
        }
        let Some(report) = &self.report else { return Action::None };
        let selected = self.views[self.focus as usize].selected;
        let id = self.paths(self.focus, report).get(selected).map(|line| line.path.id.clone());
        let Some(id) = id else { return Action::None };
        self.detail = Some(Detail::new(&id, &self.ring));
        Action::Redraw
    }

    fn plan_by(&mut self, step: isize) {
        let count = self.report.as_ref().map_or(1, |report| Self::plan_mtus(report).len().max(1));
        self.plan_mtu = self.plan_mtu.wrapping_add_signed(step + count.cast_signed()) % count;
    }

    pub(super) fn open(&mut self, tab: Tab) {
        self.tab = tab;
        self.detail = None;
        if !tab.tables().contains(&self.focus) {
            self.focus = tab.tables()[0];
        }
    }

    fn focus_by(&mut self, step: isize) {
        let tables = self.tab.tables();
        let place = tables.iter().position(|table| *table == self.focus).unwrap_or(0);
        self.focus = tables[place.wrapping_add_signed(step + tables.len().cast_signed()) % tables.len()];
    }

    /// Cycles through the order of the report and the columns.
    fn sort_by(&mut self, step: isize) {
        let places = Self::columns(self.focus) + 1;
        let view = &mut self.views[self.focus as usize];
        let place = view.sort.map_or(0, |column| column + 1);
        let place = place.wrapping_add_signed(step + places.cast_signed()) % places;
        view.sort = place.checked_sub(1);
        view.reverse = false;
    }

    /// Moves the selection, or scrolls the details of a path.
    pub(super) fn select_by(&mut self, step: isize) {
        if let Some(detail) = &self.detail {
            return detail.scroll(step);
        }
        let view = &mut self.views[self.focus as usize];
        view.selected = view.selected.saturating_add_signed(step);
    }
}
