//! Lab nodes for testing rules.

use std::net::IpAddr;

use observer_common::counters::{PATH_COUNTERS, PathCounter};
use observer_common::kind::{Class, Direction};

use super::{Facts, Finding, diagnose};
use crate::model::{PathFigures, PathRow, Report};
use crate::snapshot::{PathId, Vni};
use crate::topology::{Choice, Device, Node};

/// An address.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

/// The lab's node-a in a mode. All pods get the smallest MTU among them.
pub fn node(mode: &str) -> Node {
    let path = format!("{}/tests/data/topology/{mode}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    let mut node: Node = serde_json::from_str(&text).expect(&path);
    let pods = || node.devices.iter().filter(|device| device.is_workload());
    let least = pods().map(|device| device.mtu).min().expect("pods");
    for device in node.devices.iter_mut().filter(|device| device.is_workload()) {
        device.mtu = least;
    }
    node
}

/// Facts of a node without a measurement.
pub fn facts(node: Node) -> Facts {
    Facts { host: "node-a".into(), ..Facts::of_node(node, &Choice::default()) }
}

/// A device by its name.
pub fn device<'a>(node: &'a mut Node, name: &str) -> &'a mut Device {
    node.devices.iter_mut().find(|device| device.name == name).expect(name)
}

/// The doctor's findings.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    diagnose(facts).findings
}

/// Their ids.
pub fn ids(facts: &Facts) -> Vec<&'static str> {
    findings(facts).iter().map(|finding| finding.id).collect()
}

/// A measurement of paths: direction, class, peer, packets.
pub fn observed(facts: &Facts, paths: &[(Direction, Class, &str, u64)]) -> Report {
    let row = |(direction, class, peer, packets): &(Direction, Class, &str, u64)| {
        let mut counters = [0; PATH_COUNTERS];
        counters[PathCounter::Packets as usize] = *packets;
        counters[PathCounter::L3Bytes as usize] = packets * 1000;
        counters[PathCounter::WireBytes as usize] = packets * 1014;
        let overhead = match class {
            Class::Vxlan => 50,
            Class::Ipip => 20,
            _ => 0,
        };
        counters[PathCounter::InnerBytes as usize] = packets * (1000 - overhead);
        PathRow {
            id: PathId {
                device: "eth0".into(),
                direction: *direction,
                class: *class,
                vni: Vni::None,
                peer: ip(peer),
                local: None,
            },
            scope: facts.topology.scope_of(ip(peer)),
            figures: PathFigures(counters),
        }
    };
    Report {
        interval: std::time::Duration::from_secs(10),
        paths: paths.iter().map(row).collect(),
        ..Report::default()
    }
}
