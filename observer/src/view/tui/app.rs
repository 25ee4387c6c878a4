//! The state of `observer top`. Pure: no clock, no terminal, no kernel.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::feed::{Origin, Process};
use super::history::{History, KEPT, Tick};
use super::path_history::Detail;
use super::ring::Ring;
use super::tab::{Focus, Tab};
use crate::model::Report;
use crate::snapshot::{Program, Snapshot};
use crate::topology::Role;
use crate::view::grid::Form;
use crate::view::units;

/// Common MTUs offered by the what-if, after those of the underlays.
const USUAL: [u32; 6] = [1_500, 1_480, 1_450, 1_400, 1_280, 9_000];

/// Initial settings of the screens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Show bits instead of bytes.
    pub bits: bool,
    /// Use colours instead of bold, dim and reverse only.
    pub colour: bool,
    /// Source of the figures.
    pub origin: Origin,
    /// Interval of live figures.
    pub interval: Duration,
    /// Playback speed multiplier of a recording.
    pub speed: f64,
    /// The kernel's BPF statistics are enabled.
    pub statistics: bool,
    /// Mouse input goes to the screens instead of the terminal's text selection.
    pub mouse: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bits: true,
            colour: true,
            origin: Origin::Live,
            interval: Duration::from_secs(1),
            speed: 1.0,
            statistics: false,
            mouse: false,
        }
    }
}

/// The time and form of the figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Measure {
    /// The last interval, as rates.
    #[default]
    PerSecond,
    /// The last interval, as counts.
    Interval,
    /// Everything since the source started counting.
    Total,
}

/// How one table is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Sort column; `None`: the order of the report.
    pub(super) sort: Option<usize>,
    /// Reverse the order, which is largest first for numbers and alphabetical for texts.
    pub(super) reverse: bool,
    /// The selected line.
    pub(super) selected: usize,
}

/// Everything that determines the order of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) serial: u64,
    pub(super) filter: String,
    pub(super) sort: Option<usize>,
    pub(super) reverse: bool,
    pub(super) measure: Measure,
}

/// Cached order of each table, by [`Focus`].
#[derive(Debug, Default)]
pub(super) struct Orders(pub(super) [Option<(Key, Vec<u32>)>; Focus::ALL.len()]);

/// Run time of the BPF programs between two snapshots; empty unless both have it.
#[derive(Clone, Debug, Default)]
pub(super) struct Costs {
    pub(super) programs: Vec<Program>,
    pub(super) interval: Duration,
}

/// Everything that the screens show.
pub struct App {
    pub(super) options: Options,
    pub(super) report: Option<Report>,
    /// Number of the shown report, to invalidate what was cached for another.
    pub(super) serial: u64,
    pub(super) history: History,
    pub(super) ring: Ring,
    pub(super) orders: RefCell<Orders>,
    pub(super) tab: Tab,
    pub(super) focus: Focus,
    pub(super) views: [View; Focus::ALL.len()],
    pub(super) detail: Option<Detail>,
    pub(super) help: bool,
    /// First visible line of the help; drawing clamps it.
    pub(super) help_top: Cell<usize>,
    pub(super) filter: String,
    pub(super) filtering: bool,
    pub(super) measure: Measure,
    /// The report covers everything since the source started counting.
    pub(super) since_start: bool,
    /// Why the last read failed.
    pub(super) failure: Option<String>,
    /// A refused request, or the end of a recording.
    pub(super) remark: Option<String>,
    pub(super) paused: bool,
    /// How many reports the shown one is older than the newest.
    pub(super) behind: usize,
    pub(super) costs: Costs,
    /// The last two readings of this process, the newer one last.
    pub(super) process: [Option<Process>; 2],
    /// What-if: index of the MTU, and whether the outer header is IPv6.
    pub(super) plan_mtu: usize,
    pub(super) plan_ipv6: bool,
    pub(super) previous: Option<Snapshot>,
    /// Show the next snapshot although the screen is paused.
    pub(super) stepping: bool,
    ended: bool,
}

impl App {
    /// The state before the first figures.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            report: None,
            serial: 0,
            history: History::default(),
            ring: Ring::default(),
            orders: RefCell::default(),
            tab: Tab::default(),
            focus: Focus::default(),
            views: [View::default(); Focus::ALL.len()],
            detail: None,
            help: false,
            help_top: Cell::new(0),
            filter: String::new(),
            filtering: false,
            measure: Measure::default(),
            since_start: false,
            failure: None,
            remark: None,
            paused: false,
            behind: 0,
            costs: Costs::default(),
            process: [None; 2],
            plan_mtu: 0,
            plan_ipv6: false,
            previous: None,
            stepping: false,
            ended: false,
        }
    }

    /// Adds a snapshot. While paused, only the history grows.
    pub fn on_snapshot(&mut self, snapshot: Snapshot) {
        self.failure = None;
        let Some(previous) = self.previous.take() else {
            self.show(Report::total(&snapshot), true);
            self.previous = Some(snapshot);
            return;
        };
        let report = Report::between(&previous, &snapshot);
        self.costs = costs(&previous, &snapshot, report.interval);
        self.history.push(Tick::of(&report));
        self.ring.push(&report);
        if let Some(detail) = &mut self.detail {
            detail.push(&report);
        }
        self.previous = Some(snapshot);
        if self.paused && !self.stepping {
            self.behind = (self.behind + 1).min(KEPT);
        } else {
            self.stepping = false;
            self.behind = 0;
            self.show_newest(report);
        }
    }

    fn show_newest(&mut self, report: Report) {
        match &self.previous {
            Some(snapshot) if self.measure == Measure::Total => self.show(Report::total(snapshot), true),
            _ => self.show(report, false),
        }
    }

    /// Shows the selected report of the history again, after the selection or the measure changed.
    pub(super) fn show_again(&mut self) {
        if let Some(report) = self.ring.report(self.behind) {
            if self.behind == 0 { self.show_newest(report) } else { self.show(report, false) }
        }
    }

    /// Records what this process has used.
    pub fn on_process(&mut self, process: Process) {
        self.process = [self.process[1], Some(process)];
    }

    /// The source could not be read: keeps the last figures, marked as stale.
    pub fn on_failure(&mut self, why: String) {
        self.failure = Some(why);
    }

    /// The kernel refused to enable its statistics.
    pub fn on_refused(&mut self, what: String) {
        self.options.statistics = false;
        self.remark = Some(what);
    }

    /// A request was not carried out.
    pub fn on_remark(&mut self, what: String) {
        self.remark = Some(what);
    }

    /// The recording ended normally.
    pub fn on_done(&mut self, what: String) {
        self.ended = true;
        self.remark = Some(what);
    }

    /// The source is gone. True if that was not known yet.
    pub fn on_end(&mut self) -> bool {
        let new = !self.ended;
        if new {
            self.ended = true;
            self.failure.get_or_insert_with(|| "the data source has ended".to_owned());
        }
        new
    }

    fn show(&mut self, report: Report, since_start: bool) {
        self.report = Some(report);
        self.since_start = since_start;
        self.serial += 1;
        self.clamp();
    }

    /// Keeps the selection inside its table.
    pub(super) fn clamp(&mut self) {
        for focus in self.tab.tables() {
            let count = self.count(*focus);
            let view = &mut self.views[*focus as usize];
            view.selected = view.selected.min(count.saturating_sub(1));
        }
    }

    /// MTUs that the what-if offers, those of the underlays first.
    pub(super) fn plan_mtus(report: &Report) -> Vec<u32> {
        let own = report.devices.iter().filter(|row| row.device.role == Role::Underlay);
        let mut mtus = Vec::new();
        for mtu in own.map(|row| row.device.mtu).chain(USUAL) {
            if mtu != 0 && !mtus.contains(&mtu) {
                mtus.push(mtu);
            }
        }
        mtus
    }

    /// Units of the figures.
    pub(super) fn form(&self, report: &Report) -> Form {
        let rates = self.measure == Measure::PerSecond;
        Form { rates, bits: self.options.bits, interval: report.interval }
    }

    /// The time that the figures cover, as text.
    pub(super) fn covers(&self, report: &Report) -> String {
        let interval = units::duration(report.interval);
        if self.since_start { format!("{interval} since start") } else { format!("last {interval}") }
    }
}

fn costs(earlier: &Snapshot, later: &Snapshot, interval: Duration) -> Costs {
    let programs = later.programs.iter().filter_map(|program| {
        let before = earlier.programs.iter().find(|before| before.name == program.name)?;
        Some(Program {
            name: program.name.clone(),
            runs: program.runs.saturating_sub(before.runs),
            run_time: program.run_time.saturating_sub(before.run_time),
        })
    });
    Costs { programs: programs.collect(), interval }
}
