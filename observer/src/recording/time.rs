//! Times as recordings have them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A time: seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u64, u32)", into = "(u64, u32)")]
pub(super) struct Time(pub(super) Duration);

impl From<Time> for (u64, u32) {
    fn from(Time(time): Time) -> Self {
        (time.as_secs(), time.subsec_nanos())
    }
}

impl TryFrom<(u64, u32)> for Time {
    type Error = &'static str;

    fn try_from((seconds, nanoseconds): (u64, u32)) -> Result<Self, Self::Error> {
        if nanoseconds >= 1_000_000_000 {
            return Err("a time has 1,000,000,000 nanoseconds or more");
        }
        Ok(Self(Duration::new(seconds, nanoseconds)))
    }
}

/// A duration in nanoseconds, as the kernel counts it.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
