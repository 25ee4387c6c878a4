//! The node that observes the packets: its devices, peers and pods.

use std::collections::BTreeMap;

use observer_common::abi::{
    BlockFacts, BlockKey, Coarse, Config, DeviceFacts, Length, PeerFacts, link, role,
};
use observer_common::address::{Address, Mask};
use observer_common::kind::Class;

/// The node.
pub const NODE: [u8; 4] = [192, 0, 2, 1];
/// A peer node.
pub const PEER: [u8; 4] = [192, 0, 2, 2];
/// An unknown peer.
pub const UNKNOWN_PEER: [u8; 4] = [203, 0, 113, 9];
/// A router between the nodes.
pub const ROUTER: [u8; 4] = [198, 51, 100, 1];
/// A pod on the node.
pub const POD: [u8; 4] = [10, 244, 1, 5];
/// A pod on the peer node.
pub const FAR_POD: [u8; 4] = [10, 244, 2, 7];
/// The node.
pub const NODE6: [u8; 16] = v6(0x2001, 0x0db8, 0, 1);
/// A peer node.
pub const PEER6: [u8; 16] = v6(0x2001, 0x0db8, 0, 2);
/// An unknown peer.
pub const UNKNOWN_PEER6: [u8; 16] = v6(0x2001, 0x0db8, 0xbad, 9);
/// A router between the nodes.
pub const ROUTER6: [u8; 16] = v6(0x2001, 0x0db8, 0xffff, 1);
/// A pod on the node.
pub const POD6: [u8; 16] = v6(0xfd00, 0x0244, 1, 5);
/// A pod on the peer node.
pub const FAR_POD6: [u8; 16] = v6(0xfd00, 0x0244, 2, 7);
/// Calico's VNI.
pub const VNI: u32 = 4096;
/// The slot of the underlay device.
pub const UNDERLAY_SLOT: u16 = 3;
/// The slot of the tunnel device.
pub const TUNNEL_SLOT: u16 = 5;
/// The slot of any other device.
pub const OTHER_SLOT: u16 = 7;

const fn v6(a: u16, b: u16, c: u16, d: u16) -> [u8; 16] {
    let (a, b, c, d) = (a.to_be_bytes(), b.to_be_bytes(), c.to_be_bytes(), d.to_be_bytes());
    [a[0], a[1], b[0], b[1], c[0], c[1], 0, 0, 0, 0, 0, 0, 0, 0, d[0], d[1]]
}

/// Everything the accounting rule needs in addition to the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The device that the packet crosses. Its interface index is 1 (loopback), the default of
    /// `BPF_PROG_TEST_RUN`.
    pub device: DeviceFacts,
    /// Ports, VNIs, the coarse pod filter.
    pub config: Config,
    /// Peer nodes.
    pub peers: BTreeMap<Address, PeerFacts>,
    /// Pod blocks of peer nodes.
    pub blocks: BTreeMap<BlockKey, BlockFacts>,
}

/// Calico's pools: 10.244.0.0/16 and fd00:244::/32, blocks of /26 and /122.
fn config() -> Config {
    let mut config = Config::DEFAULT;
    config.coarse4[0] =
        Coarse { net: u32::from_ne_bytes([10, 244, 0, 0]), mask: u32::from_ne_bytes([255, 255, 0, 0]) };
    config.coarse6[0] = Coarse { net: u32::from_ne_bytes([0xfd, 0, 2, 0x44]), mask: u32::MAX };
    config.lengths[0] = Length { mask: Mask::of(122), bits: 122 };
    config
}

fn block(pod: Address, peer: Address, class: Class) -> (BlockKey, BlockFacts) {
    let vni = if class == Class::Vxlan { VNI } else { 0 };
    (
        BlockKey { address: pod.masked(&Mask::of(122)), bits: 122 },
        BlockFacts { peer, vni, class: class as u32 },
    )
}

impl Node {
    /// An Ethernet underlay with MTU 1500, on which peers are reached with encapsulation `class`.
    #[must_use]
    pub fn underlay(class: Class) -> Self {
        let udp = if matches!(class, Class::Vxlan | Class::Geneve | Class::Wireguard) {
            class
        } else {
            Class::None
        };
        let vni = if matches!(udp, Class::Vxlan | Class::Geneve) { VNI } else { 0 };
        let facts = PeerFacts { udp_class: udp as u32, vni };
        let (peer, peer6) = (Address::from_v4(PEER), Address::from_v6(PEER6));
        Self {
            device: DeviceFacts {
                ifindex: 1,
                mtu: 1500,
                slot: UNDERLAY_SLOT,
                role: role::UNDERLAY,
                ingress_link: link::ETHERNET,
                egress_link: link::ETHERNET,
                ..DeviceFacts::default()
            },
            config: config(),
            peers: [(peer, facts), (peer6, facts)].into(),
            blocks: [
                block(Address::from_v4(FAR_POD), peer, class),
                block(Address::from_v6(FAR_POD6), peer6, class),
            ]
            .into(),
        }
    }

    /// `tunl0`: no link layer, MTU 1480 over 1500.
    #[must_use]
    pub fn tunl0() -> Self {
        Self::underlay(Class::Ipip).with_device(DeviceFacts {
            ifindex: 1,
            mtu: 1480,
            underlay_mtu: 1500,
            overhead: 20,
            slot: TUNNEL_SLOT,
            underlay_slot: UNDERLAY_SLOT,
            role: role::TUNNEL,
            ingress_link: link::IP,
            egress_link: link::IP,
            class: Class::Ipip as u8,
            ..DeviceFacts::default()
        })
    }

    /// `vxlan.calico`: Ethernet, MTU 1450 over 1500.
    #[must_use]
    pub fn vxlan_calico() -> Self {
        Self::underlay(Class::Vxlan).with_device(DeviceFacts {
            ifindex: 1,
            mtu: 1450,
            underlay_mtu: 1500,
            overhead: 50,
            vni: VNI,
            slot: TUNNEL_SLOT,
            underlay_slot: UNDERLAY_SLOT,
            role: role::TUNNEL,
            ingress_link: link::ETHERNET,
            egress_link: link::ETHERNET,
            class: Class::Vxlan as u8,
            ..DeviceFacts::default()
        })
    }

    /// A device of another role.
    #[must_use]
    pub fn other(role: u8) -> Self {
        let mut node = Self::underlay(Class::None);
        (node.device.role, node.device.slot) = (role, OTHER_SLOT);
        node
    }

    /// Replaces the MTU.
    #[must_use]
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.device.mtu = mtu;
        self
    }

    /// Replaces the device.
    #[must_use]
    pub fn with_device(mut self, device: DeviceFacts) -> Self {
        self.device = device;
        self
    }
}
