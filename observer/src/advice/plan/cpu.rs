//! CPU time that a switch would save, from the measured cost of encapsulation.

use std::collections::BTreeMap;

use observer_common::cost::lower_bound;
use observer_common::counters::PathCounter;
use observer_common::kind::{Class, Direction};

use super::carried_then;
use crate::model::{CostReport, Mode, Report};

/// Fewer measured buffers do not give a usable mean.
const FEWEST: u64 = 10;
/// Half the width of a 95 % confidence interval, in standard errors.
const NORMAL: f64 = 1.96;

/// Seconds of CPU time per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cpu {
    /// Time that encapsulation would save at most; negative if it would take more. The cost of a native packet
    /// in the same places is unknown and not subtracted.
    pub less: f64,
    /// Half the width of its 95 % confidence interval, from the sample alone.
    pub margin: f64,
}

/// The mean cost of a packet and its standard error, ns.
#[derive(Clone, Copy)]
struct Rate {
    mean: f64,
    error: f64,
}

/// The time that a switch would save.
///
/// # Errors
/// Why it is unknown, a sentence.
pub(super) fn of(report: &Report, then: &dyn Fn(bool) -> Option<Mode>) -> Result<Cpu, String> {
    let cost = report.cost.as_ref().ok_or("not measured: --cost measures the cost of encapsulation")?;
    let interval = report.interval.as_secs_f64();
    if interval <= 0.0 {
        return Err("not measured".to_owned());
    }
    // Packets that leave a tunnel; negative: packets that enter one.
    let mut moved: BTreeMap<(Class, Direction), f64> = BTreeMap::new();
    for path in &report.paths {
        let now = path.id.class;
        let after = carried_then(then, path.id.peer.is_ipv6(), now, path.scope);
        if after == now {
            continue;
        }
        let figures = &path.figures;
        // A tunnel's fragments passed its device as one packet.
        let later = figures.get(PathCounter::OuterMiddle) + figures.get(PathCounter::OuterLast);
        let later = if now.is_tunnel() { later } else { 0 };
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 packets")]
        let packets = figures.packets().saturating_sub(later) as f64;
        for (class, sign) in [(now, 1.0), (after, -1.0)] {
            if class.is_tunnel() && packets > 0.0 {
                *moved.entry((class, path.id.direction)).or_default() += sign * packets;
            }
        }
    }
    let (mut less, mut variance) = (0.0, 0.0);
    for ((class, direction), packets) in moved {
        let rate = rate(cost, class, direction)?;
        less += packets * rate.mean;
        variance += (packets * rate.error).powi(2);
    }
    let per_second = 1e-9 / interval;
    Ok(Cpu { less: less * per_second, margin: NORMAL * variance.sqrt() * per_second })
}

/// The mean over all devices with an encapsulation, in one direction.
#[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 packets")]
fn rate(cost: &CostReport, class: Class, direction: Direction) -> Result<Rate, String> {
    let work = match direction {
        Direction::Egress => "encapsulates",
        Direction::Ingress => "decapsulates",
    };
    if class == Class::Wireguard {
        return Err("not measured: WireGuard encrypts in other contexts".to_owned());
    }
    let (mut time, mut packets, mut skbs) = (0.0, 0, 0);
    let (mut sum, mut squares) = (0.0, 0.0);
    for row in cost.spans.iter().filter(|row| row.class == class && row.direction == direction) {
        time += row.packet.unwrap_or(0.0) * row.measured.1 as f64;
        packets += row.measured.1;
        skbs += row.measured.0;
        for (index, count) in (0_u32..).zip(&row.buckets) {
            let middle = u64::midpoint(lower_bound(index), lower_bound(index + 1)) as f64;
            sum += middle * *count as f64;
            squares += middle * middle * *count as f64;
        }
    }
    if skbs < FEWEST || packets == 0 {
        return Err(format!(
            "not measured: only {skbs} buffers that {} {work} were sampled, {FEWEST} are needed; use a longer --for, \
             or --cost-sample 1",
            class.label()
        ));
    }
    let (mean, count) = (time / packets as f64, skbs as f64);
    // The deviation of buffers relative to their mean; packets are assumed to deviate by the same share.
    let deviation = (squares / count - (sum / count).powi(2)).max(0.0).sqrt() / (sum / count).max(1.0);
    Ok(Rate { mean, error: mean * deviation / count.sqrt() })
}

#[cfg(test)]
mod tests {
    use observer_common::cost::{BUCKETS, bucket};
    use observer_common::kind::Direction::{Egress, Ingress};

    use super::super::super::testing::{facts, node, observed};
    use super::super::{Target, plan};
    use super::*;
    use crate::advice::View;
    use crate::model::SpanRow;

    const B: &str = "10.10.1.12";
    const C: &str = "10.10.2.13";

    /// Buffers of one packet: half take 50 % less than the mean, half 50 % more.
    fn span(direction: Direction, skbs: u64, nanoseconds: u64) -> SpanRow {
        let mut buckets = vec![0; BUCKETS];
        buckets[bucket(nanoseconds / 2) as usize] += skbs / 2;
        buckets[bucket(nanoseconds * 3 / 2) as usize] += skbs - skbs / 2;
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let packet = (skbs != 0).then_some(nanoseconds as f64);
        SpanRow {
            device: "vxlan.calico".to_owned(),
            direction,
            class: Class::Vxlan,
            measured: (skbs, skbs),
            packet,
            skb: packet,
            percentiles: None,
            cpu: None,
            own: None,
            offload: crate::cost::Offload::default(),
            buckets,
        }
    }

    fn planned(
        mode: &str,
        paths: &[(Direction, Class, &str, u64)],
        spans: Option<Vec<SpanRow>>,
        target: Target,
    ) -> Result<Cpu, String> {
        let mut facts = facts(node(mode));
        let mut report = observed(&facts, paths);
        report.cost = spans.map(|spans| CostReport { spans, ..CostReport::default() });
        facts.observed = Some(report);
        plan(&View::new(&facts), target, None).cpu
    }

    #[test]
    fn packets_that_leave_a_tunnel_save_their_measured_cost() {
        // Ten seconds: 1,000 packets to b and 500 to c of 1 µs, 2,000 from c of 2 µs.
        let paths = [
            (Egress, Class::Vxlan, B, 1_000),
            (Egress, Class::Vxlan, C, 500),
            (Ingress, Class::Vxlan, C, 2_000),
        ];
        let spans = || Some(vec![span(Egress, 400, 1_000), span(Ingress, 100, 2_000)]);
        let native = planned("vxlan-always", &paths, spans(), Target::Native).expect("measured");
        assert!((native.less - 550e-6).abs() < 1e-9, "{native:?}");
        // Standard errors: 500 ns / √400 of 1,500 packets, 1,000 ns / √100 of 2,000; buckets are coarse.
        let expected = 1.96 * ((1_500.0_f64 * 25.0).powi(2) + (2_000.0_f64 * 100.0).powi(2)).sqrt() * 1e-10;
        assert!((native.margin / expected - 1.0).abs() < 0.1, "{native:?} {expected}");
        let near = planned("vxlan-always", &paths, spans(), Target::CrossSubnet).expect("measured");
        assert!((near.less - 100e-6).abs() < 1e-9, "b is in this subnet: {near:?}");
        let same = planned("vxlan-always", &paths, spans(), Target::Vxlan).expect("unchanged");
        assert_eq!(same, Cpu { less: 0.0, margin: 0.0 });
    }

    #[test]
    fn an_unknown_cost_has_a_reason() {
        let paths = [(Egress, Class::Vxlan, B, 1_000)];
        let why =
            |mode, paths: &[_], spans, target| planned(mode, paths, spans, target).expect_err("unknown");
        assert!(why("vxlan-always", &paths, None, Target::Native).contains("--cost measures"));
        let few = why("vxlan-always", &paths, Some(vec![span(Egress, 9, 1_000)]), Target::Native);
        assert!(few.contains("9 buffers that vxlan encapsulates"), "{few}");
        // The other tunnel was never measured here.
        let other = why("vxlan-always", &paths, Some(vec![span(Egress, 400, 1_000)]), Target::Ipip);
        assert!(other.contains("0 buffers that ipip encapsulates"), "{other}");
        let wireguard = [(Egress, Class::Wireguard, B, 1_000)];
        assert!(why("vxlan-always", &wireguard, Some(Vec::new()), Target::Native).contains("WireGuard"));
    }

    #[test]
    fn packets_that_enter_a_tunnel_cost_more() {
        let paths = [(Egress, Class::None, B, 1_000), (Egress, Class::Vxlan, C, 10)];
        let spans = Some(vec![span(Egress, 400, 1_000)]);
        let more = planned("vxlan-crosssubnet", &paths, spans, Target::Vxlan).expect("measured");
        assert!((more.less + 100e-6).abs() < 1e-9, "{more:?}");
    }
}
