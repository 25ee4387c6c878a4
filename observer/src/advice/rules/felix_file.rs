//! The file that the CNI plugin takes the MTU of new pods from.

use super::super::{FelixFile, Finding, Severity, View};
use super::{felix_detection, has, pod_mtu_high, tunnel_down};

pub(super) const ID: &str = "felix-mtu-file";

pub(super) fn check(view: &View<'_>, found: &[Finding]) -> Vec<Finding> {
    let (FelixFile::Mtu(mtu), Some((least, most))) = (&view.mtu.file, view.mtu.pod_range()) else {
        return Vec::new();
    };
    if (least..=most).contains(mtu) || has(found, felix_detection::ID) || has(found, tunnel_down::ID) {
        return Vec::new();
    }
    let right = if *mtu > most { most } else { least };
    let (severity, comes) = if *mtu > most {
        (Severity::Error, "new pods send packets that do not fit the way to other nodes")
    } else {
        (Severity::Notice, "new pods send more and smaller packets than they have to")
    };
    vec![
        Finding::new(
            ID,
            severity,
            format!("Felix's file gives new pods an MTU of {mtu}, {right} fits"),
            format!(
                "Felix writes what it takes for the right MTU of pods into this file, and the CNI plugin gives it \
                 to pods that are made. With this value {comes}. Felix writes it when it starts: a value that does \
                 not fit the devices is older than they are."
            ),
        )
        .about([view.facts.felix_path.clone()])
        .seen([
            format!("{} says {mtu}", view.facts.felix_path),
            pod_mtu_high::way(view, right),
        ])
        .remedy(
            "let Felix write it anew",
            format!(
                "kubectl -n calico-system delete pod -l k8s-app=calico-node --field-selector spec.nodeName={}",
                view.facts.name()
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{facts, findings, ids, node};
    use super::*;

    #[test]
    fn a_file_that_does_not_fit_the_devices() {
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
