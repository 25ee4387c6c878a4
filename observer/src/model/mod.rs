//! What the counters mean: differences, rates, shares and ratios, each defined once. Pure.

pub mod compare;
mod figures;
mod lines;
mod mode;
mod price;
mod report;
pub mod whatif;

pub use figures::{Figures, Fragments, PathFigures};
pub use lines::{Line, PathLine, State, Underlay, per_second};
pub use mode::Mode;
pub use price::{PriceReport, SoftirqRow, SpanRow, TcpRow};
pub use report::{DeviceRow, PathRow, Report, Row};
