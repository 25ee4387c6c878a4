//! Current round trips, losses and software offload work of the traffic that a switch would change. Only a
//! measurement after the switch can show the new values.

use observer_common::kind::{Class, Direction};

use super::super::View;
use super::carried_then;
use crate::model::{CostReport, Mode, SpanRow, TcpRow};

/// TCP to a peer with one encapsulation.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpPath {
    /// The current measurement.
    pub now: TcpRow,
    /// The encapsulation after the switch.
    pub then: Class,
}

impl TcpPath {
    /// Whether the switch changes it.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.now.class != self.then
    }
}

/// TCP to all peers: first the paths that change, then the others for comparison.
pub(super) fn tcp(view: &View<'_>, cost: &CostReport, then: &dyn Fn(bool) -> Option<Mode>) -> Vec<TcpPath> {
    let mut paths: Vec<_> =
        cost.tcp.iter().map(|row| TcpPath { now: row.clone(), then: class_then(view, row, then) }).collect();
    paths.sort_by_key(|path| (!path.changes(), path.now.peer, path.now.class));
    paths
}

fn class_then(view: &View<'_>, row: &TcpRow, then: &dyn Fn(bool) -> Option<Mode>) -> Class {
    let blocks = &view.facts.topology.blocks;
    // Traffic to the node itself is never tunnelled.
    if !blocks.iter().any(|block| block.peer == row.peer && block.class == row.class) {
        return row.class;
    }
    carried_then(then, row.peer.is_ipv6(), row.class, view.facts.topology.scope_of(row.peer))
}

/// Tunnel devices that traffic would leave and for which the kernel did a NIC's work.
pub(super) fn in_software(
    view: &View<'_>,
    cost: &CostReport,
    then: &dyn Fn(bool) -> Option<Mode>,
) -> Vec<SpanRow> {
    let left = |class: Class| {
        view.facts.topology.blocks.iter().filter(|block| block.class == class).any(|block| {
            carried_then(then, block.peer.is_ipv6(), class, view.facts.topology.scope_of(block.peer))
                == Class::None
        })
    };
    let does = |row: &&SpanRow| {
        let work = row.offload;
        row.direction == Direction::Egress && work.cut + work.summed > 0 && left(row.class)
    };
    cost.spans.iter().filter(does).cloned().collect()
}

#[cfg(test)]
mod tests {
    use observer_common::kind::Direction::Egress;

    use super::super::super::testing::{facts, ip, node, observed};
    use super::super::{Plan, Target, plan};
    use super::*;
    use crate::cost::Offload;

    const B: &str = "10.10.1.12";
    const C: &str = "10.10.2.13";

    fn row(peer: &str, class: Class) -> TcpRow {
        TcpRow {
            peer: ip(peer),
            class,
            samples: 7,
            mean: Some(1.0),
            percentiles: Some([1.0, 2.0, 3.0]),
            retransmits: 4,
            dropped: Some(2),
            reason: Some("PKT_TOO_BIG".to_owned()),
            at_hook: None,
            buckets: Vec::new(),
        }
    }

    fn planned(mode: &str, tcp: Vec<TcpRow>, offload: Offload, target: Target) -> Plan {
        let mut facts = facts(node(mode));
        let mut report = observed(&facts, &[(Egress, Class::Vxlan, C, 100)]);
        let span = SpanRow {
            device: "vxlan.calico".to_owned(),
            direction: Egress,
            class: Class::Vxlan,
            measured: (1, 1),
            packet: None,
            skb: None,
            percentiles: None,
            cpu: None,
            own: None,
            offload,
            buckets: Vec::new(),
        };
        report.cost = Some(CostReport { spans: vec![span], tcp, ..CostReport::default() });
        facts.observed = Some(report);
        plan(&View::new(&facts), target, None)
    }

    #[test]
    fn changed_paths_come_first_and_the_nodes_own_stay() {
        let rows = || vec![row(B, Class::None), row(B, Class::Vxlan), row(C, Class::Vxlan)];
        let of = |target| {
            let paths = planned("vxlan-always", rows(), Offload::default(), target).tcp;
            let short = |path: &TcpPath| (path.now.peer.to_string(), path.now.class, path.then);
            paths.iter().map(short).collect::<Vec<_>>()
        };
        let (b, c) = (|| B.to_owned(), || C.to_owned());
        let stays = (b(), Class::None, Class::None);
        assert_eq!(
            of(Target::CrossSubnet),
            [(b(), Class::Vxlan, Class::None), stays.clone(), (c(), Class::Vxlan, Class::Vxlan)]
        );
        assert_eq!(
            of(Target::Ipip),
            [(b(), Class::Vxlan, Class::Ipip), (c(), Class::Vxlan, Class::Ipip), stays]
        );
    }

    #[test]
    fn software_offload_is_listed_if_traffic_leaves_the_tunnel() {
        let cut = Offload { cut: 70, segments: 2_873, ..Offload::default() };
        let whole = Offload { whole: 74, left: 3, ..Offload::default() };
        let devices =
            |offload, target| planned("vxlan-always", Vec::new(), offload, target).in_software.len();
        assert_eq!(devices(cut, Target::Native), 1);
        assert_eq!(devices(cut, Target::CrossSubnet), 1, "b is in this subnet");
        assert_eq!(devices(whole, Target::Native), 0, "the device does it already");
        assert_eq!(devices(cut, Target::Ipip), 0, "nothing becomes native");
    }
}
