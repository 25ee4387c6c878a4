//! Felix's file with the MTU for new pods, read by the CNI plugin, has a wrong value.

use super::super::{FelixFile, Finding, Severity, View};
use super::{felix_detection, has, pod_mtu_high, restart, tunnel_down};

pub(super) const ID: &str = "felix-mtu-file";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let (FelixFile::Mtu(mtu), Some((least, most))) = (&view.mtu.file, view.mtu.pod_range()) else {
        return Vec::new();
    };
    if (least..=most).contains(mtu) || has(found, felix_detection::ID) || has(found, tunnel_down::ID) {
        return Vec::new();
    }
    let (severity, right, effect) = if *mtu > most {
        (Severity::Error, most, "send packets that do not fit the path to other nodes")
    } else {
        (Severity::Notice, least, "send more and smaller packets than necessary")
    };
    vec![
        Finding::new(
            ID,
            severity,
            format!("Felix's MTU file gives new pods {mtu}, {right} fits"),
            format!(
                "Felix writes the MTU for pods to this file, and the CNI plugin applies it to new pods. With this \
                 value, new pods {effect}. Felix writes the file when it starts: a value that does not match the \
                 devices is older than they are."
            ),
        )
        .about([view.facts.felix_path.clone()])
        .seen([format!("{} contains {mtu}", view.facts.felix_path), pod_mtu_high::fits(view, right)])
        .remedy("restart Felix on this node, which rewrites the file", restart(view)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{facts, findings, ids, node};
    use super::*;

    #[test]
    fn a_file_that_does_not_match_the_devices_is_found() {
        for (mode, value, expected) in
            [("ipip-always", 1480, None), ("vxlan-always", 1430, None), ("bgp", 1500, None)]
                .into_iter()
                .chain([("vxlan-always", 1500, Some(Severity::Error)), ("bgp", 1460, Some(Severity::Notice))])
        {
            let mut facts = facts(node(mode));
            facts.felix_file = FelixFile::Mtu(value);
            assert_eq!(ids(&facts).len(), usize::from(expected.is_some()), "{mode} {value}");
            let found = findings(&facts).first().map(|finding| (finding.id, finding.severity));
            assert_eq!(found, expected.map(|severity| (ID, severity)), "{mode} {value}");
        }
    }
}
