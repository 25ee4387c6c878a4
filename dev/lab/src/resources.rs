//! `cargo xtask lab resources`: the lab as resources of Calico's datastore.

use std::fmt::Write as _;

use anyhow::{Result, bail};

use super::state;
use super::topology::{Family, Mode, Topology};

/// The resources of a lab, whose pools ask for `mode` or for the lab's own mode.
///
/// # Errors
/// No lab is up.
pub fn of_lab(name: &str, mode: Option<Mode>) -> Result<String> {
    let Some(state) = state::read(name)? else { bail!("no lab {name}; create it with `lab up`") };
    Ok(yaml(&Topology::new(name), mode.unwrap_or(state.mode)))
}

/// The resources of a lab whose pools ask for `mode`.
pub fn yaml(topology: &Topology, mode: Mode) -> String {
    let mut text = String::new();
    let when = |used: bool| match (used, mode.is_cross_subnet()) {
        (false, _) => "Never",
        (true, false) => "Always",
        (true, true) => "CrossSubnet",
    };
    for (family, cidr) in [(Family::V4, "10.244.0.0/16"), (Family::V6, "fd00:10:244::/64")] {
        let ipip = when(mode.is_ipip() && family == Family::V4);
        let _ = write!(
            text,
            "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {{name: default-ipv{}-ippool}}\n\
             spec: {{cidr: '{cidr}', ipipMode: {ipip}, vxlanMode: {}, natOutgoing: true}}\n---\n",
            family.number(),
            when(mode.is_vxlan())
        );
    }
    for node in &topology.nodes {
        let _ = write!(
            text,
            "apiVersion: v1\nkind: Node\nmetadata:\n  name: {}\n  annotations:\n    \
             projectcalico.org/IPv4Address: {}/{}\n    projectcalico.org/IPv6Address: {}/{}\n---\n",
            node.name, node.address, node.prefix_len, node.address6, node.prefix_len6
        );
        for family in Family::ALL {
            let _ = write!(
                text,
                "apiVersion: crd.projectcalico.org/v1\nkind: BlockAffinity\nmetadata: {{name: {}-ipv{}}}\n\
                 spec: {{cidr: '{}', node: {}, state: confirmed, deleted: 'false'}}\n---\n",
                node.name,
                family.number(),
                node.block(family),
                node.name
            );
        }
    }
    text + "apiVersion: crd.projectcalico.org/v1\nkind: FelixConfiguration\nmetadata: {name: default}\nspec: {}\n"
}
