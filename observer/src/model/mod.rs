//! What the counters mean: differences, rates, shares and ratios, each defined once. Pure.

pub mod compare;
mod figures;
mod lines;
mod mode;
mod price;
mod report;
pub mod whatif;

pub use figures::{Figures, Fragments, PathFigures};
pub use lines::{Line, PathLine, State, TooBig, Underlay, per_second};
pub use mode::Mode;
pub use price::{PriceReport, RoundTrips, SoftirqRow, SpanRow, TcpRow, WireRow};
pub use report::{DeviceRow, PathRow, Report, Row};
