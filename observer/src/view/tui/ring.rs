//! Past reports in compact form, in bounded memory.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::mem::size_of;
use std::rc::Rc;

use foldhash::fast::RandomState;
use observer_common::counters::PATH_COUNTERS;

use super::history::KEPT;
use crate::model::{CostReport, PathFigures, PathRow, Report, Row};
use crate::snapshot::PathId;
use crate::topology::Scope;

/// Maximum size of the history in bytes. At 10,000 busy paths, about five minutes of one-second reports fit; with few
/// paths, [`KEPT`] is the limit.
pub(super) const BUDGET: usize = 64 << 20;
/// Number of paths above which a new dictionary is started.
const DICTIONARY: usize = 32_768;

/// Paths by number; shared by the reports that use the numbers.
#[derive(Debug, Default)]
struct Dictionary {
    ids: Vec<(PathId, Scope)>,
    /// The keys are known nodes, so the hash need not resist chosen keys.
    numbers: HashMap<PathId, u32, RandomState>,
}

impl Dictionary {
    fn number(&mut self, path: &PathRow) -> u32 {
        if let Some(number) = self.numbers.get(&path.id) {
            return *number;
        }
        let number = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        self.ids.push((path.id.clone(), path.scope));
        self.numbers.insert(path.id.clone(), number);
        number
    }
}

/// One past report.
#[derive(Debug)]
struct Entry {
    /// Everything but the paths.
    report: Report,
    /// Paths in the order of the report: number, mask of non-zero counters, these counters; each in base 128.
    paths: Box<[u8]>,
    count: usize,
    dictionary: Rc<RefCell<Dictionary>>,
    weight: usize,
}

/// Past reports, the newest last.
#[derive(Debug, Default)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    dictionary: Rc<RefCell<Dictionary>>,
    /// Numbers of the paths of the newest report, by position in its snapshot.
    numbers: Vec<u32>,
    weight: usize,
}

impl Ring {
    /// Adds a report, which begins where the previous one ends, and drops the oldest ones if necessary.
    pub(super) fn push(&mut self, report: &Report) {
        if self.dictionary.borrow().ids.len() > DICTIONARY {
            self.dictionary = Rc::default();
            self.numbers.clear();
        }
        let mut packed = Vec::with_capacity(report.paths.len() * 24);
        let mut dictionary = self.dictionary.borrow_mut();
        // Thousands of look-ups in cold memory were a third of the CPU time of `top`.
        let known = report.same_paths && self.numbers.len() == report.paths.len();
        if !known {
            self.numbers.clear();
            self.numbers.resize(report.paths.len(), 0);
        }
        for (place, path) in report.places.iter().zip(&report.paths) {
            let number = &mut self.numbers[*place as usize];
            if !known {
                *number = dictionary.number(path);
            }
            debug_assert_eq!(dictionary.ids[*number as usize].0, path.id, "numbers of another snapshot");
            pack(&mut packed, *number, &path.figures);
        }
        drop(dictionary);
        let rest = without_paths(report);
        let weight = size_of::<Entry>()
            + packed.len()
            + rest.rows.len() * (size_of::<Row>() + 16)
            + rest.devices.len() * (size_of::<crate::model::DeviceRow>() + 32)
            + rest.unknown_peers.len() * size_of::<crate::snapshot::UnknownPeer>()
            + rest.cost.as_ref().map_or(0, cost_weight);
        self.weight += weight;
        self.entries.push_back(Entry {
            report: rest,
            paths: packed.into(),
            count: report.paths.len(),
            dictionary: Rc::clone(&self.dictionary),
            weight,
        });
        while self.entries.len() > KEPT || (self.weight > BUDGET && self.entries.len() > 1) {
            let Some(gone) = self.entries.pop_front() else { break };
            self.weight -= gone.weight;
        }
    }

    /// Size in bytes, without the dictionary.
    pub(super) const fn bytes(&self) -> u64 {
        self.weight as u64
    }

    /// Number of reports.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The report `back` positions before the newest.
    pub(super) fn report(&self, back: usize) -> Option<Report> {
        let entry = self.entries.get(self.entries.len().checked_sub(back + 1)?)?;
        let mut report = entry.report.clone();
        let dictionary = entry.dictionary.borrow();
        let mut bytes = &entry.paths[..];
        report.paths.reserve(entry.count);
        while let Some((number, figures)) = unpack(&mut bytes) {
            if let Some((id, scope)) = dictionary.ids.get(number as usize) {
                report.paths.push(PathRow { id: id.clone(), scope: *scope, figures });
            }
        }
        Some(report)
    }

    /// Interval and figures of two paths in each report, oldest first; `None` if the path is absent.
    pub(super) fn paths<'a>(
        &'a self,
        ids: &'a [PathId; 2],
    ) -> impl Iterator<Item = (std::time::Duration, [Option<PathFigures>; 2])> + 'a {
        self.entries.iter().map(|entry| {
            let dictionary = entry.dictionary.borrow();
            let numbers = [0, 1].map(|index: usize| dictionary.numbers.get(&ids[index]).copied());
            let mut found = [None; 2];
            let mut bytes = &entry.paths[..];
            while let Some((number, figures)) = unpack(&mut bytes) {
                for (slot, expected) in found.iter_mut().zip(numbers) {
                    if expected == Some(number) {
                        *slot = Some(figures);
                    }
                }
            }
            (entry.report.interval, found)
        })
    }
}

/// Histograms are large, and no screen shows them.
fn without_buckets(cost: &CostReport) -> CostReport {
    let mut cost = cost.clone();
    cost.spans.iter_mut().for_each(|row| row.buckets = Vec::new());
    cost.tcp.iter_mut().for_each(|row| row.buckets = Vec::new());
    cost
}

fn cost_weight(cost: &CostReport) -> usize {
    size_of_val(&cost.spans[..]) + size_of_val(&cost.softirqs[..]) + size_of_val(&cost.tcp[..])
}

fn without_paths(report: &Report) -> Report {
    let mut devices = report.devices.clone();
    for row in &mut devices {
        // The rows contain what views show.
        row.device.totals = Vec::new();
    }
    Report {
        taken: report.taken,
        interval: report.interval,
        node: report.node.clone(),
        origin: report.origin.clone(),
        devices,
        rows: report.rows.clone(),
        paths: Vec::new(),
        places: Vec::new(),
        same_paths: false,
        unknown_peers: report.unknown_peers.clone(),
        fill: report.fill,
        cost: report.cost.as_ref().map(without_buckets),
        routing: report.routing.clone(),
        size_bounds: report.size_bounds.clone(),
        notes: report.notes.clone(),
    }
}

fn pack(to: &mut Vec<u8>, number: u32, figures: &PathFigures) {
    let mask = figures.0.iter().enumerate().fold(
        0,
        |mask: u64, (index, value)| {
            if *value == 0 { mask } else { mask | 1 << index }
        },
    );
    put(to, u64::from(number));
    put(to, mask);
    figures.0.iter().filter(|value| **value != 0).for_each(|value| put(to, *value));
}

fn unpack(from: &mut &[u8]) -> Option<(u32, PathFigures)> {
    let number = u32::try_from(take(from)?).ok()?;
    let mask = take(from)?;
    let mut figures = PathFigures([0; PATH_COUNTERS]);
    for (index, value) in figures.0.iter_mut().enumerate() {
        if mask & 1 << index != 0 {
            *value = take(from)?;
        }
    }
    Some((number, figures))
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn put(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn take(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixture;

    #[test]
    fn reports_survive_packing() {
        let mut ring = Ring::default();
        let reports: Vec<Report> = (10..20)
            .map(|second| Report::between(&fixture::snapshot(second), &fixture::snapshot(second + 1)))
            .collect();
        reports.iter().for_each(|report| ring.push(report));
        for (index, report) in reports.iter().enumerate() {
            let kept = ring.report(reports.len() - 1 - index).expect("kept");
            assert_eq!((&kept.paths, &kept.rows), (&report.paths, &report.rows));
            assert_eq!((kept.taken, kept.devices.len()), (report.taken, report.devices.len()));
        }
        assert!(ring.report(10).is_none());
        let id = reports[9].paths[0].id.clone();
        let last = ring.paths(&[id.clone(), id]).last().expect("ten").1;
        assert_eq!(last, [Some(reports[9].paths[0].figures); 2]);
    }

    #[test]
    fn changing_paths_keep_their_identity() {
        let [first, mut less, mut other, again] = [10, 11, 12, 13].map(|second| {
            let mut snapshot = fixture::snapshot(second);
            snapshot.paths.sort_by(|a, b| a.id.cmp(&b.id));
            snapshot
        });
        less.paths.remove(0);
        let last = other.paths.len() - 1;
        other.paths[last].id.peer = std::net::Ipv4Addr::new(192, 0, 2, 77).into();
        other.paths.sort_by(|a, b| a.id.cmp(&b.id));
        let snapshots = [first.clone(), first, less.clone(), less, other.clone(), other, again];
        let mut ring = Ring::default();
        let mut same = Vec::new();
        for pair in snapshots.windows(2) {
            let report = Report::between(&pair[0], &pair[1]);
            ring.push(&report);
            assert_eq!(ring.report(0).expect("kept").paths, report.paths);
            same.push(report.same_paths);
        }
        assert_eq!(same, [true, false, true, false, true, false]);
    }

    #[test]
    fn numbers_of_every_length_survive_packing() {
        for value in [0, 1, 127, 128, 1 << 35, u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!(take(&mut &bytes[..]), Some(value));
        }
        assert_eq!(take(&mut &[0x80_u8][..]), None);
    }

    #[test]
    fn memory_is_bounded_with_ten_thousand_paths() {
        let mut report = Report::between(&fixture::snapshot(10), &fixture::snapshot(11));
        let path = report.paths[0].clone();
        report.paths = (0..10_000_u32)
            .map(|number| {
                let mut path = path.clone();
                path.id.peer = std::net::Ipv4Addr::from(number).into();
                path
            })
            .collect();
        report.places = (0..10_000).collect();
        let mut ring = Ring::default();
        for _ in 0..KEPT + 10 {
            ring.push(&report);
        }
        assert!(ring.weight <= BUDGET, "{}", ring.weight);
        assert!((100..=KEPT).contains(&ring.len()), "{}", ring.len());
        assert_eq!(ring.report(0).expect("the newest").paths.len(), 10_000);
    }
}
