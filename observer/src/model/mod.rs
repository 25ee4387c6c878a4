//! Differences, rates, shares and ratios of counters, each defined once. Pure.

pub mod compare;
mod cost;
mod figures;
mod lines;
mod mode;
mod report;
pub mod whatif;

pub use cost::{CostReport, HookRttRow, RoundTrips, SoftirqRow, SpanRow, TcpRow};
pub use figures::{Figures, Fragments, PathFigures, per_second};
pub use lines::{Line, PathLine, State, TooBig, Underlay};
pub use mode::Mode;
pub use report::{DeviceRow, PathRow, Report, Row};
