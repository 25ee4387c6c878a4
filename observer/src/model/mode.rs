//! The mode of a node, derived from its routes to pod blocks of other nodes.

use observer_common::kind::Class;

use crate::snapshot::Routing;
use crate::topology::Scope;

/// How pod traffic of one address family is carried between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Through the tunnel to every node.
    Always(Class),
    /// Through the tunnel across subnets, natively within a subnet.
    CrossSubnet(Class),
    /// Through the tunnel, but all nodes have the same scope, so `Always` and `CrossSubnet` cannot be told apart.
    Tunnelled(Class),
    /// Natively, everywhere.
    Native,
    /// Several at once, as during a mode switch.
    Mixed,
}

impl Mode {
    /// The mode of the blocks of one family; `None` if no other node has any.
    #[must_use]
    pub fn of(routing: &[Routing], ipv6: bool) -> Option<Self> {
        let ways: Vec<&Routing> = routing.iter().filter(|way| way.ipv6 == ipv6 && way.blocks != 0).collect();
        let mut tunnels: Vec<Class> =
            ways.iter().map(|way| way.class).filter(|class| class.is_tunnel()).collect();
        tunnels.dedup();
        let has = |native: bool, scope: Scope| {
            ways.iter().any(|way| way.class.is_tunnel() != native && way.scope == scope)
        };
        let unknown = has(true, Scope::Unknown) || has(false, Scope::Unknown);
        let (near_native, far_native) = (has(true, Scope::SameSubnet), has(true, Scope::CrossSubnet));
        let (near_tunnel, far_tunnel) = (has(false, Scope::SameSubnet), has(false, Scope::CrossSubnet));
        Some(match tunnels.as_slice() {
            [] if ways.is_empty() => return None,
            [] => Self::Native,
            [class] if !has(true, Scope::Unknown) && !near_native && !far_native => {
                if near_tunnel && far_tunnel && !unknown {
                    Self::Always(*class)
                } else {
                    Self::Tunnelled(*class)
                }
            }
            [class] if near_native && far_tunnel && !near_tunnel && !far_native && !unknown => {
                Self::CrossSubnet(*class)
            }
            _ => Self::Mixed,
        })
    }

    /// The label in every view: `ipip-always`, `vxlan-crosssubnet`, `vxlan`, `native`, `mixed`.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::Always(class) => format!("{}-always", class.label()),
            Self::CrossSubnet(class) => format!("{}-crosssubnet", class.label()),
            Self::Tunnelled(class) => class.label().to_owned(),
            Self::Native => "native".to_owned(),
            Self::Mixed => "mixed".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(class: Class, scope: Scope) -> Routing {
        Routing { ipv6: false, class, scope, blocks: 2, peers: 1 }
    }

    #[test]
    fn modes_follow_from_routes_and_scopes() {
        use Class::{Ipip, None as Native, Vxlan};
        use Scope::{CrossSubnet as Far, SameSubnet as Near, Unknown};
        // ways, label
        type Case = (&'static [(Class, Scope)], Option<&'static str>);
        let cases: [Case; 11] = [
            (&[], None),
            (&[(Native, Near)], Some("native")),
            (&[(Native, Near), (Native, Far)], Some("native")),
            (&[(Ipip, Near), (Ipip, Far)], Some("ipip-always")),
            (&[(Native, Near), (Ipip, Far)], Some("ipip-crosssubnet")),
            (&[(Vxlan, Far)], Some("vxlan")),
            (&[(Vxlan, Near)], Some("vxlan")),
            (&[(Vxlan, Near), (Vxlan, Unknown)], Some("vxlan")),
            (&[(Native, Near), (Vxlan, Near), (Vxlan, Far)], Some("mixed")),
            (&[(Ipip, Near), (Vxlan, Far)], Some("mixed")),
            (&[(Native, Far), (Ipip, Far)], Some("mixed")),
        ];
        for (ways, label) in cases {
            let routing: Vec<Routing> = ways.iter().map(|(class, scope)| way(*class, *scope)).collect();
            let found = Mode::of(&routing, false).map(Mode::label);
            assert_eq!(found.as_deref(), label, "{ways:?}");
            assert_eq!(Mode::of(&routing, true), None, "{ways:?}");
        }
    }
}
