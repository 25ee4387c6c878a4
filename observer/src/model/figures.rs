//! Figures of a row and of a path, by the counting rules. Every view uses these definitions.

use std::time::Duration;

use observer_common::counters::{PATH_COUNTERS, PathCounter, TOTALS, Total};

/// Counters of a device, direction and class, over an interval or in total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures(pub [u64; TOTALS]);

impl Default for Figures {
    fn default() -> Self {
        Self([0; TOTALS])
    }
}

/// Fragments of one layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fragments {
    /// IPv4: first, middle, last.
    pub ipv4: [u64; 3],
    /// IPv6: first, middle, last.
    pub ipv6: [u64; 3],
    /// IPv6 atomic fragments, which are whole packets.
    pub atomic: u64,
}

impl Fragments {
    /// Fragments of both families, without atomic ones.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ipv4.iter().sum::<u64>() + self.ipv6.iter().sum::<u64>()
    }
}

impl Figures {
    /// One counter.
    #[must_use]
    pub const fn get(&self, counter: Total) -> u64 {
        self.0[counter as usize]
    }

    /// The difference to `earlier`; maxima are unchanged.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = *self;
        for counter in Total::ALL {
            difference.0[counter as usize] = counter.merge().since(self.get(counter), earlier.get(counter));
        }
        difference
    }

    /// Adds the figures of another row.
    pub fn add(&mut self, other: &Self) {
        for counter in Total::ALL {
            counter.merge().add(&mut self.0[counter as usize], other.get(counter));
        }
    }

    /// Packets on the wire.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.get(Total::Packets)
    }

    /// Overhead bytes: L3 bytes − inner bytes.
    #[must_use]
    pub const fn overhead_bytes(&self) -> u64 {
        self.get(Total::L3Bytes).saturating_sub(self.get(Total::InnerBytes))
    }

    /// Overhead bytes / L3 bytes; `None` if nothing was counted.
    #[must_use]
    pub fn overhead_ratio(&self) -> Option<f64> {
        ratio(self.overhead_bytes(), self.get(Total::L3Bytes))
    }

    /// Fragments of the outer packets.
    #[must_use]
    pub const fn outer_fragments(&self) -> Fragments {
        Fragments {
            ipv4: [
                self.get(Total::OuterV4First),
                self.get(Total::OuterV4Middle),
                self.get(Total::OuterV4Last),
            ],
            ipv6: [
                self.get(Total::OuterV6First),
                self.get(Total::OuterV6Middle),
                self.get(Total::OuterV6Last),
            ],
            atomic: self.get(Total::OuterV6Atomic),
        }
    }

    /// Fragments of the inner packets.
    #[must_use]
    pub const fn inner_fragments(&self) -> Fragments {
        Fragments {
            ipv4: [
                self.get(Total::InnerV4First),
                self.get(Total::InnerV4Middle),
                self.get(Total::InnerV4Last),
            ],
            ipv6: [
                self.get(Total::InnerV6First),
                self.get(Total::InnerV6Middle),
                self.get(Total::InnerV6Last),
            ],
            atomic: self.get(Total::InnerV6Atomic),
        }
    }

    /// Fragments of both layers.
    #[must_use]
    pub fn fragments(&self) -> u64 {
        self.outer_fragments().count() + self.inner_fragments().count()
    }
}

/// Counters of a path, over an interval or in total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathFigures(pub [u64; PATH_COUNTERS]);

impl Default for PathFigures {
    fn default() -> Self {
        Self([0; PATH_COUNTERS])
    }
}

impl PathFigures {
    /// One counter.
    #[must_use]
    pub const fn get(&self, counter: PathCounter) -> u64 {
        self.0[counter as usize]
    }

    /// The difference to `earlier`; maxima are unchanged.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = *self;
        for counter in PathCounter::ALL {
            difference.0[counter as usize] = counter.merge().since(self.get(counter), earlier.get(counter));
        }
        difference
    }

    /// Packets on the wire.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.get(PathCounter::Packets)
    }

    /// Overhead bytes: L3 bytes − inner bytes.
    #[must_use]
    pub const fn overhead_bytes(&self) -> u64 {
        self.get(PathCounter::L3Bytes).saturating_sub(self.get(PathCounter::InnerBytes))
    }

    /// Overhead bytes / L3 bytes; `None` if nothing was counted.
    #[must_use]
    pub fn overhead_ratio(&self) -> Option<f64> {
        ratio(self.overhead_bytes(), self.get(PathCounter::L3Bytes))
    }

    /// Fragments of both layers.
    #[must_use]
    pub const fn fragments(&self) -> u64 {
        self.get(PathCounter::OuterFirst)
            + self.get(PathCounter::OuterMiddle)
            + self.get(PathCounter::OuterLast)
            + self.get(PathCounter::Inner)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio is shown with four digits")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole != 0).then(|| part as f64 / whole as f64)
}

/// A count over an interval as a rate; `None` if the interval is empty.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
pub fn per_second(count: u64, interval: Duration) -> Option<f64> {
    (!interval.is_zero()).then(|| count as f64 / interval.as_secs_f64())
}
