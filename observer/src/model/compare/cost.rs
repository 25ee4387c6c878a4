//! Figures of cost and latency, from the sums of a sample.

use observer_common::kind::{Class, Direction};

use super::{RoundTrips, Sample, Work};
use crate::model::cost::percentiles;

/// Which round trips.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// All peers.
    All,
    /// Peers that are reached natively.
    Native,
    /// Peers that are reached through a tunnel.
    Tunnelled,
}

/// Where they are measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    /// By the kernel, for sockets of the node.
    Sockets,
    /// At the hooks.
    Hooks,
}

impl Sample {
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
    fn over(part: f64, whole: u64) -> Option<f64> {
        (whole != 0).then(|| part / whole as f64)
    }

    /// Work of tunnel devices; `None` if the underlay carried tunnel packets that crossed no measured device (WireGuard,
    /// or a tunnel in user space). Valid for sums only: devices are not read at the same instant, so a packet may be
    /// counted on the underlay in one interval and in the tunnel in the next.
    fn work(&self) -> Option<[Work; 2]> {
        let work = self.extras.work?;
        let unseen = self.tunnelled.packets() != 0 && work.iter().all(|work| work.crossed == 0);
        let wireguard = self.classes[Class::Wireguard as usize] != 0;
        (!unseen && !wireguard).then_some(work)
    }

    /// Nanoseconds per measured packet of a direction.
    pub(super) fn packet_time(&self, direction: Direction) -> Option<f64> {
        let work = self.work()?[direction as usize];
        Self::over(work.time, work.measured)
    }

    /// Nanoseconds of encapsulation and decapsulation.
    fn encapsulation_time(&self) -> Option<f64> {
        let [ingress, egress] = self.work()?;
        Some(ingress.all()? + egress.all()?)
    }

    /// The same per pod packet, encapsulated or not, which makes modes comparable.
    pub(super) fn pod_packet_time(&self) -> Option<f64> {
        Self::over(self.encapsulation_time()?, self.pods().packets())
    }

    /// The part of a change of [`Self::pod_packet_time`] that comes from other shares of tunnelled packets, at the mean
    /// time per packet. The rest is a change of the time per packet, which depends on other load too.
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
    pub(super) fn pod_packet_time_explained(&self, after: &Self) -> Option<f64> {
        let (b, a) = (self.work()?, after.work()?);
        let mut sum = 0.0;
        for direction in Direction::ALL {
            let share = |sample: &Self, work: &[Work; 2]| {
                Self::over(work[direction as usize].crossed as f64, sample.pods().packets())
            };
            let moved = share(after, &a)? - share(self, &b)?;
            let time = match (self.packet_time(direction), after.packet_time(direction)) {
                (Some(before), Some(after)) => f64::midpoint(before, after),
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) if moved == 0.0 => 0.0,
                (None, None) => return None,
            };
            sum += moved * time;
        }
        Some(sum)
    }

    /// [`Self::encapsulation_time`] as a share of one CPU of each node.
    pub(super) fn encapsulation_cpu(&self) -> Option<f64> {
        (self.seconds > 0.0).then_some(self.encapsulation_time()? / 1e9 / self.seconds)
    }

    /// Share of all CPUs in network softirqs.
    pub(super) fn softirq_share(&self) -> Option<f64> {
        let [busy, all] = self.extras.softirq?;
        (all > 0.0).then_some(busy / all)
    }

    fn round_trips(&self, by: By, kind: Kind) -> Option<RoundTrips> {
        let [native, tunnelled] = match by {
            By::Sockets => self.extras.round_trips.as_ref()?,
            By::Hooks => self.extras.at_hooks.as_ref()?,
        };
        Some(match kind {
            Kind::All => native.join(tunnelled, |a, b| a + b, u64::saturating_add),
            Kind::Native => native.clone(),
            Kind::Tunnelled => tunnelled.clone(),
        })
    }

    /// Mean round-trip time in µs.
    pub(super) fn round_trip(&self, by: By) -> Option<f64> {
        let all = self.round_trips(by, Kind::All)?;
        Self::over(all.time, all.readings)
    }

    /// Median (0), 90th (1) or 99th percentile (2) of round-trip times in µs.
    pub(super) fn round_trip_percentile(&self, by: By, kind: Kind, which: usize) -> Option<f64> {
        percentiles(&self.round_trips(by, kind)?.buckets, 1.0).map(|values| values[which])
    }

    /// Retransmitted segments per sent pod packet.
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
    pub(super) fn retransmitted(&self) -> Option<f64> {
        let again: u64 = self.extras.retransmits?.iter().sum();
        Self::over(again as f64, self.extras.sent.iter().sum())
    }

    /// Share of GSO skbs sent through tunnel devices that the kernel segmented.
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
    pub(super) fn segmented_in_software(&self) -> Option<f64> {
        let [cut, whole] = self.extras.cut?;
        Self::over(cut as f64, cut.saturating_add(whole))
    }

    /// Packets dropped by the nodes per pod packet.
    #[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
    pub(super) fn dropped(&self) -> Option<f64> {
        Self::over(self.extras.dropped? as f64, self.pods().packets())
    }
}
