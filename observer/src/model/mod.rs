//! What the counters mean: differences, rates, shares and ratios, each defined once. Pure.

mod figures;
mod report;

pub use figures::{Figures, Fragments, PathFigures};
pub use report::{DeviceRow, PathRow, Report, Row};
