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

/// MTUs that are asked about besides those of the node's underlays.
const USUAL: [u32; 6] = [1_500, 1_480, 1_450, 1_400, 1_280, 9_000];

/// How the screens start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Bits; otherwise bytes.
    pub bits: bool,
    /// Colours; otherwise bold, dim and reverse only.
    pub colour: bool,
    /// Where figures come from.
    pub origin: Origin,
    /// How far apart live figures are.
    pub interval: Duration,
    /// How much faster than it happened a recording is played.
    pub speed: f64,
    /// The kernel's BPF statistics are asked for.
    pub statistics: bool,
    /// Clicks and the wheel are for the screens; otherwise the terminal selects text with them.
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

/// What the figures cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Measure {
    /// The last interval, as rates.
    #[default]
    PerSecond,
    /// The last interval, as counts.
    Interval,
    /// All that the source counted.
    Total,
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

/// What an order was derived from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) serial: u64,
    pub(super) filter: String,
    pub(super) sort: Option<usize>,
    pub(super) reverse: bool,
    pub(super) measure: Measure,
}

/// The order of each table, by [`Focus`].
#[derive(Debug, Default)]
pub(super) struct Orders(pub(super) [Option<(Key, Vec<u32>)>; Focus::ALL.len()]);

/// What the programs cost between two snapshots; empty where it was not measured in both.
#[derive(Clone, Debug, Default)]
pub(super) struct Costs {
    pub(super) programs: Vec<Program>,
    pub(super) interval: Duration,
}

/// Everything that the screens show.
pub struct App {
    pub(super) options: Options,
    pub(super) report: Option<Report>,
    /// Counts the reports that were shown, so that what was derived from one is not used for another.
    pub(super) serial: u64,
    pub(super) history: History,
    pub(super) ring: Ring,
    pub(super) orders: RefCell<Orders>,
    pub(super) tab: Tab,
    pub(super) focus: Focus,
    pub(super) views: [View; Focus::ALL.len()],
    pub(super) detail: Option<Detail>,
    pub(super) help: bool,
    /// First line of the help that is shown; drawing knows how far it can go.
    pub(super) help_top: Cell<usize>,
    pub(super) filter: String,
    pub(super) filtering: bool,
    pub(super) measure: Measure,
    /// The report covers all that the source counted.
    pub(super) since_start: bool,
    /// Why the last read failed.
    pub(super) failure: Option<String>,
    /// What was refused, or that the end is reached.
    pub(super) remark: Option<String>,
    pub(super) paused: bool,
    /// How many reports before the newest the shown one is.
    pub(super) behind: usize,
    pub(super) costs: Costs,
    /// The last two readings of this process, the newer one last.
    pub(super) process: [Option<Process>; 2],
    /// What-if: number of the MTU in the list, and the outer family.
    pub(super) plan_mtu: usize,
    pub(super) plan_ipv6: bool,
    pub(super) previous: Option<Snapshot>,
    /// The next tick is to be shown although the screen is paused.
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

    /// Takes new figures. While paused, only the history goes on.
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

    /// What is to be shown was chosen anew: a report of the history, or another measure.
    pub(super) fn show_again(&mut self) {
        if let Some(report) = self.ring.report(self.behind) {
            if self.behind == 0 { self.show_newest(report) } else { self.show(report, false) }
        }
    }

    /// What this process has used.
    pub fn on_process(&mut self, process: Process) {
        self.process = [self.process[1], Some(process)];
    }

    /// The source could not be read: the last figures stay, marked as stale.
    pub fn on_failure(&mut self, why: String) {
        self.failure = Some(why);
    }

    /// The kernel's statistics were refused.
    pub fn on_refused(&mut self, what: String) {
        self.options.statistics = false;
        self.remark = Some(what);
    }

    /// Something was not done, and the figures go on.
    pub fn on_remark(&mut self, what: String) {
        self.remark = Some(what);
    }

    /// A recording is over, as was to be expected.
    pub fn on_done(&mut self, what: String) {
        self.ended = true;
        self.remark = Some(what);
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
        self.serial += 1;
        self.clamp();
    }

    /// The selection stays inside its table.
    pub(super) fn clamp(&mut self) {
        for focus in self.tab.tables() {
            let count = self.count(*focus);
            let view = &mut self.views[*focus as usize];
            view.selected = view.selected.min(count.saturating_sub(1));
        }
    }

    /// MTUs that the what-if offers: the underlays' own first.
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

    /// In which form figures are shown.
    pub(super) fn form(&self, report: &Report) -> Form {
        let rates = self.measure == Measure::PerSecond;
        Form { rates, bits: self.options.bits, interval: report.interval }
    }

    /// What the figures cover, in words.
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
