//! Why the overhead ratio changed: the parts of the mode and of the traffic.
//!
//! Let e be the share of encapsulated pod packets, h the overhead bytes of each of them, and m the mean inner size of
//! all packets. Then x = e·h/m is the overhead per inner byte, and the overhead ratio is x / (1 + x). e is the mean,
//! over destinations (same subnet, other subnets), of the share encapsulated there. This gives four factors:
//! destinations and packet sizes, which the traffic determines, and encapsulation by destination and overhead per
//! packet, which the mode determines. The change is attributed by Shapley values: each factor gets its mean
//! contribution over all orders of changing one factor after another. The contributions add up exactly, also if a
//! factor falls to zero, unlike logarithmic decompositions.

use observer_common::counters::Total;

use super::{Change, Sample, Side, change};
use crate::topology::Scope;

/// A factor of the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Which packets are encapsulated, by destination: the mode.
    Encapsulation,
    /// Bytes that encapsulation adds to a packet: the kind of tunnel.
    Header,
    /// Destinations of packets: the traffic.
    Destinations,
    /// Packet sizes: the traffic, and the MTU of pods.
    PacketSize,
}

impl Effect {
    /// Every effect, those of the mode first.
    pub const ALL: [Self; 4] = [Self::Encapsulation, Self::Header, Self::Destinations, Self::PacketSize];

    /// The label in JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Encapsulation => "encapsulation",
            Self::Header => "header_bytes",
            Self::Destinations => "destinations",
            Self::PacketSize => "packet_size",
        }
    }

    /// The label in other formats.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Encapsulation => "share of packets encapsulated",
            Self::Header => "overhead per encapsulated packet",
            Self::Destinations => "destinations of packets",
            Self::PacketSize => "packet sizes",
        }
    }

    /// Determined by the mode, not by the traffic.
    #[must_use]
    pub const fn is_mode(self) -> bool {
        matches!(self, Self::Encapsulation | Self::Header)
    }
}

/// The parts of a change of the overhead ratio of pod traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Decomposition {
    /// The overhead ratio before and after.
    pub ratios: [f64; 2],
    /// Contribution of each effect; their sum is the change.
    pub effects: [(Effect, Change); 4],
    /// Sum of the effects of the mode.
    pub mode: Change,
    /// Sum of the effects of the traffic.
    pub traffic: Change,
    /// The overhead ratio of the earlier traffic in the later mode.
    pub expected: Change,
}

/// The factors of the overhead ratio.
#[derive(Clone, Copy, Debug)]
struct Factors {
    /// Share of packets by scope.
    weights: [f64; Scope::ALL.len()],
    /// Share of them that is encapsulated; `None` if there are none.
    shares: [Option<f64>; Scope::ALL.len()],
    /// The same for all packets.
    mean: Option<f64>,
    /// Overhead bytes per encapsulated packet; `None` if there are none.
    header: Option<f64>,
    /// Inner bytes per packet.
    size: f64,
}

impl Factors {
    #[expect(clippy::cast_precision_loss, reason = "ratios are shown with four digits")]
    fn of(sample: &Sample) -> Option<Self> {
        let pods = sample.pods();
        let (packets, inner) = (pods.packets(), pods.get(Total::InnerBytes));
        if packets == 0 || inner == 0 {
            return None;
        }
        let tunnelled = sample.tunnelled.packets();
        Some(Self {
            weights: sample.scopes.map(|scope| (scope[0] + scope[1]) as f64 / packets as f64),
            shares: sample.scopes.map(|[native, tunnelled]| {
                let all = native + tunnelled;
                (all != 0).then(|| tunnelled as f64 / all as f64)
            }),
            mean: Some(tunnelled as f64 / packets as f64),
            header: (tunnelled != 0).then(|| pods.overhead_bytes() as f64 / tunnelled as f64),
            size: inner as f64 / packets as f64,
        })
    }

    /// Takes unknown factors from the other side, so that they explain nothing. For packets of unknown destination,
    /// which are few, the mean of the own side is used first.
    fn completed(mut self, by: &Self) -> Self {
        self.shares[Scope::Unknown as usize] = self.shares[Scope::Unknown as usize].or(self.mean);
        for (own, other) in self.shares.iter_mut().zip(by.shares) {
            *own = own.or(other);
        }
        self.header = self.header.or(by.header);
        self
    }

    fn with(mut self, effect: Effect, of: &Self) -> Self {
        match effect {
            Effect::Encapsulation => self.shares = of.shares,
            Effect::Header => self.header = of.header,
            Effect::Destinations => self.weights = of.weights,
            Effect::PacketSize => self.size = of.size,
        }
        self
    }

    fn overhead_ratio(&self) -> f64 {
        let encapsulated: f64 =
            self.weights.iter().zip(self.shares).map(|(weight, share)| weight * share.unwrap_or(0.0)).sum();
        let overhead = encapsulated * self.header.unwrap_or(0.0) / self.size;
        overhead / (1.0 + overhead)
    }
}

/// Both sides' factors, each completed by the other.
fn pair(before: &Sample, after: &Sample) -> Option<(Factors, Factors)> {
    let (before, after) = (Factors::of(before)?, Factors::of(after)?);
    Some((before.completed(&after), after.completed(&before)))
}

/// The share of `effect` in the change, by Shapley's rule.
fn shapley(effect: Effect, before: &Factors, after: &Factors) -> f64 {
    let others: Vec<Effect> = Effect::ALL.into_iter().filter(|other| *other != effect).collect();
    // Weight of a set S of other factors that changed earlier: |S|! (3 − |S|)! / 4!.
    const WEIGHTS: [f64; 4] = [6.0 / 24.0, 2.0 / 24.0, 2.0 / 24.0, 6.0 / 24.0];
    (0..1_usize << others.len())
        .map(|set| {
            let chosen = others.iter().enumerate().filter(|(nth, _)| set >> nth & 1 == 1);
            let state = chosen.fold(*before, |state, (_, other)| state.with(*other, after));
            let added = state.with(effect, after).overhead_ratio() - state.overhead_ratio();
            added * WEIGHTS[set.count_ones() as usize]
        })
        .sum()
}

impl Decomposition {
    /// The parts of the change between two sides; `None` if one of them has no pod traffic.
    #[must_use]
    pub fn of(before: &Side, after: &Side) -> Option<Self> {
        let ratio = |side: &Side| side.total.pods().overhead_ratio();
        let part = |chosen: &dyn Fn(Effect) -> bool| {
            change(before, after, |b, a| {
                let (b, a) = pair(b, a)?;
                Some(Effect::ALL.into_iter().filter(|e| chosen(*e)).map(|e| shapley(e, &b, &a)).sum())
            })
        };
        let each = |effect: Effect| Some((effect, part(&|other| other == effect)?));
        Some(Self {
            ratios: [ratio(before)?, ratio(after)?],
            effects: [
                each(Effect::ALL[0])?,
                each(Effect::ALL[1])?,
                each(Effect::ALL[2])?,
                each(Effect::ALL[3])?,
            ],
            mode: part(&|effect| effect.is_mode())?,
            traffic: part(&|effect| !effect.is_mode())?,
            expected: change(before, after, |b, a| {
                let (b, a) = pair(b, a)?;
                Some(b.with(Effect::Encapsulation, &a).with(Effect::Header, &a).overhead_ratio())
            })?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(weights: [f64; 3], shares: [Option<f64>; 3], header: Option<f64>, size: f64) -> Factors {
        Factors { weights, shares, mean: None, header, size }
    }

    #[test]
    fn the_changed_factor_explains_the_whole_change() {
        let before = factors([0.5, 0.5, 0.0], [Some(1.0), Some(1.0), None], Some(50.0), 700.0);
        // ratio of before: 50 / 750
        assert!((before.overhead_ratio() - 50.0 / 750.0).abs() < 1e-12);
        let cases = [
            // changed, expected to explain all of it
            (
                factors([0.5, 0.5, 0.0], [Some(0.0), Some(1.0), None], Some(50.0), 700.0),
                Effect::Encapsulation,
            ),
            (factors([0.5, 0.5, 0.0], [Some(1.0), Some(1.0), None], Some(20.0), 700.0), Effect::Header),
            (factors([0.5, 0.5, 0.0], [Some(1.0), Some(1.0), None], Some(50.0), 900.0), Effect::PacketSize),
        ];
        for (after, cause) in cases {
            for effect in Effect::ALL {
                let part = shapley(effect, &before, &after);
                let all = after.overhead_ratio() - before.overhead_ratio();
                let expected = if effect == cause { all } else { 0.0 };
                assert!((part - expected).abs() < 1e-12, "{effect:?} {part} {expected}");
            }
        }
    }

    #[test]
    fn parts_add_up_if_all_factors_change() {
        let before = factors([0.7, 0.3, 0.0], [Some(1.0), Some(1.0), None], Some(50.0), 700.0);
        let after = factors([0.4, 0.5, 0.1], [Some(0.0), Some(0.9), Some(0.2)], Some(60.0), 500.0);
        let sum: f64 = Effect::ALL.into_iter().map(|e| shapley(e, &before, &after)).sum();
        assert!((sum - (after.overhead_ratio() - before.overhead_ratio())).abs() < 1e-12);
        // More traffic across subnets in a mode that encapsulates there: an effect of the traffic.
        let near = factors([0.7, 0.3, 0.0], [Some(0.0), Some(1.0), None], Some(50.0), 700.0);
        let far = Factors { weights: [0.3, 0.7, 0.0], ..near };
        assert!(shapley(Effect::Destinations, &near, &far) > 0.02);
        assert!(shapley(Effect::Encapsulation, &near, &far).abs() < 1e-12);
    }

    #[test]
    fn without_a_tunnel_the_header_explains_nothing() {
        let before = factors([1.0, 0.0, 0.0], [Some(1.0), None, None], Some(50.0), 700.0);
        let after = factors([1.0, 0.0, 0.0], [Some(0.0), None, None], None, 700.0);
        let (b, a) = (before.completed(&after), after.completed(&before));
        assert!((shapley(Effect::Encapsulation, &b, &a) + 50.0 / 750.0).abs() < 1e-12);
        assert!(shapley(Effect::Header, &b, &a).abs() < 1e-12);
    }
}
