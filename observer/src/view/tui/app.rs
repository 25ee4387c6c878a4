//! The state of `observer top`. Pure: no clock, no terminal, no kernel.

use super::history::{History, KEPT, Tick};
use crate::model::{Line, PathLine, Report};
use crate::snapshot::Snapshot;
use crate::view::columns;
use crate::view::grid::{Column, Form};
use crate::view::units;

/// How the screens start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bits; otherwise bytes.
    pub bits: bool,
    /// Colours; otherwise bold, dim and reverse only.
    pub colour: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { bits: true, colour: true }
    }
}

/// A screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    /// Devices, their traffic, the first paths and the trend.
    #[default]
    Overview,
    /// Paths, all of the screen.
    Paths,
}

impl Tab {
    /// Every tab, in the order of their keys.
    pub const ALL: [Self; 2] = [Self::Overview, Self::Paths];

    /// Its title.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Paths => "Paths",
        }
    }

    /// The tables that it shows.
    #[must_use]
    pub const fn tables(self) -> &'static [Focus] {
        match self {
            Self::Overview => &[Focus::Traffic, Focus::Paths],
            Self::Paths => &[Focus::Paths],
        }
    }
}

/// A table that keys act on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Focus {
    /// By device, direction and encapsulation.
    #[default]
    Traffic,
    /// Paths.
    Paths,
}

/// How one table is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Column that it is sorted by; `None`: the report's own order.
    pub(super) sort: Option<usize>,
    /// The other way round. Numbers start with the largest, texts with the first.
    pub(super) reverse: bool,
    /// The selected line.
    pub(super) selected: usize,
}

/// Everything that the screens show.
pub struct App {
    pub(super) options: Options,
    pub(super) report: Option<Report>,
    pub(super) history: History,
    pub(super) tab: Tab,
    pub(super) focus: Focus,
    pub(super) views: [View; 2],
    pub(super) help: bool,
    pub(super) filter: String,
    pub(super) filtering: bool,
    pub(super) rates: bool,
    /// The report covers all that the source counted, because it is the first.
    pub(super) since_start: bool,
    /// Why the last read failed.
    pub(super) failure: Option<String>,
    pub(super) paused: bool,
    /// Ticks since the pause began.
    pub(super) behind: usize,
    previous: Option<Snapshot>,
    ended: bool,
}

impl App {
    /// The state before the first figures.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            report: None,
            history: History::default(),
            tab: Tab::default(),
            focus: Focus::default(),
            views: [View::default(); 2],
            help: false,
            filter: String::new(),
            filtering: false,
            rates: true,
            since_start: false,
            failure: None,
            paused: false,
            behind: 0,
            previous: None,
            ended: false,
        }
    }

    /// Takes new figures. While paused, only the history goes on.
    pub fn on_snapshot(&mut self, snapshot: Snapshot) {
        self.failure = None;
        let first = self.previous.is_none();
        let report = match &self.previous {
            Some(previous) => Report::between(previous, &snapshot),
            None => Report::total(&snapshot),
        };
        if !first {
            self.history.push(Tick::of(&report));
        }
        if self.paused && self.report.is_some() {
            self.behind = (self.behind + usize::from(!first)).min(KEPT);
        } else {
            self.show(report, first);
        }
        self.previous = Some(snapshot);
    }

    /// The source could not be read: the last figures stay, marked as stale.
    pub fn on_failure(&mut self, why: String) {
        self.failure = Some(why);
    }

    /// Nothing more will come. Whether that is news.
    pub fn on_end(&mut self) -> bool {
        let news = !self.ended;
        if news {
            self.ended = true;
            self.failure.get_or_insert_with(|| "the source of the figures has ended".to_owned());
        }
        news
    }

    fn show(&mut self, report: Report, since_start: bool) {
        self.report = Some(report);
        self.since_start = since_start;
        self.clamp();
    }

    /// The selection stays inside its table.
    pub(super) fn clamp(&mut self) {
        for focus in [Focus::Traffic, Focus::Paths] {
            let count = self.count(focus);
            let view = &mut self.views[focus as usize];
            view.selected = view.selected.min(count.saturating_sub(1));
        }
    }

    /// In which form figures are shown.
    pub(super) fn form(&self, report: &Report) -> Form {
        Form { rates: self.rates, bits: self.options.bits, interval: report.interval }
    }

    /// How many lines a table has, filtered.
    pub(super) fn count(&self, focus: Focus) -> usize {
        match (&self.report, focus) {
            (None, _) => 0,
            (Some(report), Focus::Traffic) => self.filtered_traffic(report).len(),
            (Some(report), Focus::Paths) if self.filter.is_empty() => report.paths.len(),
            (Some(report), Focus::Paths) => self.filtered_paths(report).len(),
        }
    }

    /// How many columns a table has.
    pub(super) fn columns(focus: Focus) -> usize {
        match focus {
            Focus::Traffic => columns::lines().len(),
            Focus::Paths => columns::paths().len(),
        }
    }

    /// Title of the column that a table is sorted by.
    pub(super) fn sorted_by(&self, focus: Focus) -> Option<&'static str> {
        let index = self.views[focus as usize].sort?;
        match focus {
            Focus::Traffic => columns::lines().get(index).map(|column| column.title),
            Focus::Paths => columns::paths().get(index).map(|column| column.title),
        }
    }

    /// Lines by device, direction and encapsulation, filtered and sorted.
    pub(super) fn traffic<'a>(&self, report: &'a Report) -> Vec<Line<'a>> {
        self.sorted(self.filtered_traffic(report), &columns::lines(), Focus::Traffic, report)
    }

    /// Paths, filtered and sorted.
    pub(super) fn paths<'a>(&self, report: &'a Report) -> Vec<PathLine<'a>> {
        self.sorted(self.filtered_paths(report), &columns::paths(), Focus::Paths, report)
    }

    fn filtered_traffic<'a>(&self, report: &'a Report) -> Vec<Line<'a>> {
        let mut lines = report.lines();
        lines.retain(|line| self.matches(|| columns::line_words(line)));
        lines
    }

    fn filtered_paths<'a>(&self, report: &'a Report) -> Vec<PathLine<'a>> {
        let mut lines = report.path_lines();
        lines.retain(|line| self.matches(|| columns::path_words(line)));
        lines
    }

    /// Every word of the filter is in the text.
    fn matches(&self, text: impl FnOnce() -> String) -> bool {
        if self.filter.is_empty() {
            return true;
        }
        let text = text().to_lowercase();
        self.filter.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }

    fn sorted<T>(&self, mut lines: Vec<T>, columns: &[Column<T>], focus: Focus, report: &Report) -> Vec<T> {
        let view = self.views[focus as usize];
        let Some(column) = view.sort.and_then(|index| columns.get(index)) else {
            if view.reverse {
                lines.reverse();
            }
            return lines;
        };
        let form = self.form(report);
        let mut keyed: Vec<_> = lines.into_iter().map(|line| ((column.cell)(&line, &form), line)).collect();
        // Numbers: largest first; texts: from the first.
        let descending = column.right != view.reverse;
        keyed.sort_by(|(a, _), (b, _)| if descending { b.compare(a) } else { a.compare(b) });
        keyed.into_iter().map(|(_, line)| line).collect()
    }

    /// What the figures cover, in words.
    pub(super) fn covers(&self, report: &Report) -> String {
        let interval = units::duration(report.interval);
        if self.since_start { format!("{interval} since start") } else { interval }
    }
}
