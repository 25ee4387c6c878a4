//! Filtering and sorting. Both visit every line, so the result is cached per report instead of computed per frame.

use super::app::{App, Key, View};
use super::columns as own;
use super::tab::Focus;
use crate::model::{DeviceRow, Line, PathLine, Report, SoftirqRow, SpanRow, State, TcpRow};
use crate::view::grid::Column;
use crate::view::{columns, cost};

/// Evaluates an expression on the columns of a table.
macro_rules! columns_of {
    ($focus:expr, $columns:ident => $do:expr) => {
        match $focus {
            Focus::Traffic | Focus::Sizes => {
                let $columns = columns::lines();
                $do
            }
            Focus::Paths => {
                let $columns = columns::paths();
                $do
            }
            Focus::Fragments => {
                let $columns = own::fragments();
                $do
            }
            Focus::FragmentedPaths => {
                let $columns = own::fragmented_paths();
                $do
            }
            Focus::Hooks => {
                let $columns = own::hooks();
                $do
            }
            Focus::Spans => {
                let $columns = cost::spans();
                $do
            }
            Focus::RoundTrips => {
                let $columns = cost::tcp();
                $do
            }
            Focus::Softirqs => {
                let $columns = cost::softirqs();
                $do
            }
        }
    };
}

impl App {
    /// Number of lines of a table after filtering.
    pub(super) fn count(&self, focus: Focus) -> usize {
        let Some(report) = &self.report else { return 0 };
        match focus {
            Focus::Paths if self.filter.is_empty() => report.paths.len(),
            Focus::Paths | Focus::FragmentedPaths => self.paths(focus, report).len(),
            Focus::Traffic | Focus::Fragments | Focus::Sizes => self.traffic(focus, report).len(),
            Focus::Hooks => self.hooks(report).len(),
            Focus::Spans => self.spans(report).len(),
            Focus::RoundTrips => self.round_trips(report).len(),
            Focus::Softirqs => self.softirqs(report).len(),
        }
    }

    /// Number of columns of a table.
    pub(super) fn columns(focus: Focus) -> usize {
        columns_of!(focus, columns => columns.len())
    }

    /// Title of the sort column of a table.
    pub(super) fn sorted_by(&self, focus: Focus) -> Option<&'static str> {
        let index = self.views[focus as usize].sort?;
        columns_of!(focus, columns => columns.get(index).map(|column| column.title))
    }

    /// Lines by device, direction and encapsulation, filtered and sorted.
    pub(super) fn traffic<'a>(&self, focus: Focus, report: &'a Report) -> Vec<Line<'a>> {
        let mut lines = report.lines();
        match focus {
            Focus::Sizes => lines.retain(|line| line.row.is_some()),
            Focus::Fragments => {
                lines.retain(|line| line.state != State::Measured || own::has_fragments(line));
                return self.ordered(lines, &own::fragments(), columns::line_labels, focus, report);
            }
            _ => {}
        }
        self.ordered(lines, &columns::lines(), columns::line_labels, focus, report)
    }

    /// Paths, filtered and sorted.
    pub(super) fn paths<'a>(&self, focus: Focus, report: &'a Report) -> Vec<PathLine<'a>> {
        let mut lines = report.path_lines();
        if focus == Focus::FragmentedPaths {
            lines.retain(own::path_has_fragments);
            return self.ordered(lines, &own::fragmented_paths(), columns::path_labels, focus, report);
        }
        self.ordered(lines, &columns::paths(), columns::path_labels, focus, report)
    }

    /// Devices, filtered and sorted.
    pub(super) fn hooks<'a>(&self, report: &'a Report) -> Vec<&'a DeviceRow> {
        let lines = report.devices.iter().collect();
        self.ordered(lines, &own::hooks(), own::hook_labels, Focus::Hooks, report)
    }

    /// Encapsulation and decapsulation by device, filtered and sorted.
    pub(super) fn spans<'a>(&self, report: &'a Report) -> Vec<&'a SpanRow> {
        let lines = report.cost.iter().flat_map(|cost| &cost.spans).collect();
        self.ordered(lines, &cost::spans(), cost::span_labels, Focus::Spans, report)
    }

    /// Latency and loss by peer node, filtered and sorted.
    pub(super) fn round_trips<'a>(&self, report: &'a Report) -> Vec<&'a TcpRow> {
        let lines = report.cost.iter().flat_map(|cost| &cost.tcp).collect();
        self.ordered(lines, &cost::tcp(), cost::tcp_labels, Focus::RoundTrips, report)
    }

    /// CPUs, filtered and sorted.
    pub(super) fn softirqs<'a>(&self, report: &'a Report) -> Vec<&'a SoftirqRow> {
        let lines = report.cost.iter().flat_map(|cost| &cost.softirqs).collect();
        self.ordered(lines, &cost::softirqs(), cost::softirq_labels, Focus::Softirqs, report)
    }

    fn ordered<T: Copy>(
        &self,
        lines: Vec<T>,
        columns: &[Column<T>],
        labels: fn(&T) -> String,
        focus: Focus,
        report: &Report,
    ) -> Vec<T> {
        let view = self.views[focus as usize];
        if self.filter.is_empty() && view.sort.is_none() && !view.reverse {
            return lines;
        }
        let key = Key {
            serial: self.serial,
            filter: self.filter.clone(),
            sort: view.sort,
            reverse: view.reverse,
            measure: self.measure,
        };
        let mut orders = self.orders.borrow_mut();
        let slot = &mut orders.0[focus as usize];
        if slot.as_ref().is_none_or(|(known, _)| *known != key) {
            *slot = Some((key, self.order(&lines, columns, labels, view, report)));
        }
        let numbers = slot.iter().flat_map(|(_, numbers)| numbers);
        numbers.filter_map(|number| lines.get(*number as usize).copied()).collect()
    }

    fn order<T>(
        &self,
        lines: &[T],
        columns: &[Column<T>],
        labels: fn(&T) -> String,
        view: View,
        report: &Report,
    ) -> Vec<u32> {
        let filter = self.filter.to_lowercase();
        let filter: Vec<&str> = filter.split_whitespace().collect();
        let matching = |line: &T| {
            filter.is_empty() || {
                let text = labels(line).to_lowercase();
                filter.iter().all(|word| text.contains(word))
            }
        };
        let chosen = (0_u32..).zip(lines).filter(|(_, line)| matching(line));
        let Some(column) = view.sort.and_then(|index| columns.get(index)) else {
            let mut numbers: Vec<u32> = chosen.map(|(number, _)| number).collect();
            if view.reverse {
                numbers.reverse();
            }
            return numbers;
        };
        let form = self.form(report);
        let mut keyed: Vec<_> = chosen.map(|(number, line)| ((column.cell)(line, &form), number)).collect();
        // Numbers: largest first; texts: alphabetically.
        let descending = column.right != view.reverse;
        keyed.sort_by(|(a, _), (b, _)| if descending { b.compare(a) } else { a.compare(b) });
        keyed.into_iter().map(|(_, number)| number).collect()
    }
}
