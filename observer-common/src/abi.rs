//! The layout of the maps that the programs and user space share: names, capacities, the structs that
//! user space fills, and a version that changes with any of them.

use crate::address::{Address, Mask};
use crate::counters::{EVENTS, TOTALS};
use crate::kind::{Class, Direction};

/// Layout version; pinned maps of another version are refused.
pub const LAYOUT: u32 = 3;

/// A map's name in the object file: the name of its static, or of its section for single values whose address is
/// part of the programs.
#[must_use]
pub const fn map_name(map: &str) -> &str {
    match map.as_bytes() {
        b"DEVICES" => ".bss.devices",
        b"CONFIG" => ".bss.config",
        b"SIZE_CLASS" => ".bss.size_class",
        b"PEER_FILTER" => ".bss.peer_filter",
        _ => map,
    }
}

/// Default number of devices that can be watched at once.
pub const DEFAULT_SLOTS: u32 = 32;
/// Maximum number of devices that can be watched at once.
pub const MAX_SLOTS: u32 = 512;
/// Default number of paths.
pub const DEFAULT_PATHS: u32 = 16_384;
/// Maximum number of paths: the number of indices that a [`crate::path::PathSet`] word can hold.
pub const MOST_PATHS: u32 = 1 << 20;
/// Default number of peers (node addresses).
pub const DEFAULT_PEERS: u32 = 8_192;
/// Maximum number of peers.
pub const MOST_PEERS: u32 = 1 << 20;
/// Default number of pod blocks.
pub const DEFAULT_BLOCKS: u32 = 32_768;
/// Maximum number of pod blocks.
pub const MOST_BLOCKS: u32 = 1 << 20;
/// Slots for unknown peers, per CPU. A power of two.
pub const UNKNOWN_PEER_SLOTS: u32 = 64;
/// Size of the hash table from interface index to device facts. A power of two, several times
/// [`MAX_SLOTS`] so that probing stays short.
pub const DEVICE_TABLE: u32 = 2_048;
/// Entries that a look-up probes after the first one.
pub const DEVICE_PROBES: u32 = 4;
/// Size classes of the packet-size histogram.
pub const SIZE_CLASSES: usize = 32;
/// Sizes from here on are in the last class.
pub const SIZE_TABLE: usize = 16_384;
/// Rows of totals per slot and direction: a power of two not below the number of classes ([`Class::ALL`]).
pub const CLASS_STRIDE: u32 = 16;

/// What starts at the first byte of a frame.
pub mod link {
    /// A link layer that is not supported.
    pub const UNKNOWN: u8 = 0;
    /// An Ethernet header.
    pub const ETHERNET: u8 = 1;
    /// An IP header (tunl0, WireGuard).
    pub const IP: u8 = 2;
    /// The data starts at the outer headers; the inner ones are at the skb's network header (tunl0's
    /// ingress on kernels without the fix, such as 5.10).
    pub const NETWORK_HEADER: u8 = 3;
}

/// Device roles.
pub mod role {
    /// Any other device that the user selected.
    pub const OTHER: u8 = 0;
    /// Carries encapsulated packets.
    pub const UNDERLAY: u8 = 1;
    /// A tunnel device.
    pub const TUNNEL: u8 = 2;
    /// A pod interface (`cali*`).
    pub const WORKLOAD: u8 = 3;
}

/// What the programs need to know about a device, filled by user space. Integers in host byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DeviceFacts {
    /// Interface index; 0 marks a free entry.
    pub ifindex: u32,
    /// MTU, in L3 bytes.
    pub mtu: u32,
    /// Tunnel devices: MTU of the underlay; 0 if unknown.
    pub underlay_mtu: u32,
    /// Tunnel devices: L3 bytes that encapsulation adds to a packet.
    pub overhead: u32,
    /// Tunnel devices: VNI, or [`crate::path::VNI_NONE`].
    pub vni: u32,
    /// Index into the totals.
    pub slot: u16,
    /// Tunnel devices: the underlay's slot.
    pub underlay_slot: u16,
    /// One of [`role`].
    pub role: u8,
    /// One of [`link`], for ingress packets.
    pub ingress_link: u8,
    /// One of [`link`], for egress packets.
    pub egress_link: u8,
    /// Tunnel devices: [`Class`] as a number.
    pub class: u8,
    /// Explicit padding, zero.
    pub reserved: u32,
}

/// Maximum ports in a set.
pub const PORTS: usize = 4;
/// Maximum VNIs that count as the node's own.
pub const VNIS: usize = 8;
/// Maximum prefixes in the coarse pod filter.
pub const COARSE: usize = 4;
/// Maximum distinct prefix lengths of pod blocks.
pub const LENGTHS: usize = 4;

/// A prefix of the coarse pod filter: `address & mask == net`, on one word of the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Coarse {
    /// Wire order.
    pub net: u32,
    /// Wire order.
    pub mask: u32,
}

impl Coarse {
    /// Matches nothing.
    pub const NOTHING: Self = Self { net: u32::MAX, mask: 0 };

    /// The longest prefix that covers all of these, ignoring those that match nothing.
    #[must_use]
    fn all(prefixes: &[Self]) -> Self {
        let some = prefixes.iter().filter(|prefix| prefix.net & !prefix.mask == 0);
        some.copied().reduce(Self::and).unwrap_or(Self::NOTHING)
    }

    /// The longest prefix that covers both.
    fn and(self, other: Self) -> Self {
        let common = u32::from_be(self.net ^ other.net).leading_zeros();
        let length = common.min(u32::from_be(self.mask & other.mask).leading_ones());
        let mask = u32::MAX.checked_shl(u32::BITS - length).unwrap_or(0).to_be();
        Self { net: self.net & mask, mask }
    }
}

/// A prefix length of pod blocks and its mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Length {
    /// The mask of the length in [`Address`] form.
    pub mask: Mask,
    /// 96 + n for IPv4; 0 ends the list.
    pub bits: u32,
}

/// What the programs need to know about the node. User space fills it, and replaces it when routes change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Config {
    /// Superset of the IPv4 pod blocks; unused entries match nothing.
    pub coarse4: [Coarse; COARSE],
    /// The same for the first words of IPv6 addresses.
    pub coarse6: [Coarse; COARSE],
    /// The longest prefix that covers all of `coarse4`; most external traffic is outside it. Set by
    /// [`Config::filtered`].
    pub pods4: Coarse,
    /// The same for `coarse6`.
    pub pods6: Coarse,
    /// The prefix lengths of pod blocks, longest first.
    pub lengths: [Length; LENGTHS],
    /// The node's own VNIs; 0 ends the list.
    pub vnis: [u32; VNIS],
    /// The UDP tunnel that later fragments between nodes most likely belong to, as a [`Class`] number;
    /// [`Class::None`] if there is none.
    pub fast_udp_class: u32,
    /// The VNI of that tunnel, or [`crate::path::VNI_NONE`].
    pub fast_udp_vni: u32,
    /// Path counters ([`crate::path::HotPath`]) per CPU.
    pub paths: u32,
    /// Explicit padding, zero.
    pub reserved: u32,
    /// [`Config::port_bit`] of every port below; a port without its bit set is not a tunnel port. Set by
    /// [`Config::filtered`].
    pub port_filter: u64,
    /// UDP destination ports in wire order; 0 ends a list.
    pub vxlan_ports: [u16; PORTS],
    /// Geneve ports, as above.
    pub geneve_ports: [u16; PORTS],
    /// WireGuard ports, as above; they match the source port too.
    pub wireguard_ports: [u16; PORTS],
}

impl Config {
    /// Standard ports, Calico's VNIs, no pods.
    pub const DEFAULT: Self = Self {
        coarse4: [Coarse::NOTHING; COARSE],
        coarse6: [Coarse::NOTHING; COARSE],
        pods4: Coarse { net: 0, mask: 0 },
        pods6: Coarse { net: 0, mask: 0 },
        lengths: [Length { mask: Mask([0; 4]), bits: 0 }; LENGTHS],
        // 4096: Calico's VXLAN. 0xca11c0: NodePort forwarding of its eBPF data plane
        // (felix/bpf-gpl/nat_types.h).
        vnis: [4096, 0x00ca_11c0, 0, 0, 0, 0, 0, 0],
        fast_udp_class: Class::None as u32,
        fast_udp_vni: 0,
        paths: DEFAULT_PATHS,
        reserved: 0,
        port_filter: u64::MAX,
        vxlan_ports: [4789_u16.to_be(), 0, 0, 0],
        geneve_ports: [6081_u16.to_be(), 0, 0, 0],
        // 51820 and 51821: Calico's WireGuard for IPv4 and IPv6 (felix/config: WireguardListeningPort).
        wireguard_ports: [51820_u16.to_be(), 51821_u16.to_be(), 0, 0],
    };
}

impl Config {
    /// The filter bit of a UDP port in wire order. On little-endian machines it depends on the port's upper byte,
    /// which is 0 for the well-known ports that floods are reflected from.
    #[inline(always)]
    #[must_use]
    pub const fn port_bit(port: u16) -> u64 {
        1 << (port & 63)
    }

    /// Fills in the derived fields: the port filter and the prefixes that cover all pods.
    #[must_use]
    pub fn filtered(self) -> Self {
        let ports = self.vxlan_ports.iter().chain(&self.geneve_ports).chain(&self.wireguard_ports);
        let filter = ports.filter(|port| **port != 0).fold(0, |filter, port| filter | Self::port_bit(*port));
        let (pods4, pods6) = (Coarse::all(&self.coarse4), Coarse::all(&self.coarse6));
        Self { port_filter: filter, pods4, pods6, ..self }
    }
}

/// Key of the pod block table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct BlockKey {
    /// Network address.
    pub address: Address,
    /// 96 + n for IPv4.
    pub bits: u32,
}

/// The node and tunnel of a pod block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BlockFacts {
    /// The block's next-hop node.
    pub peer: Address,
    /// VNI of the tunnel that the route uses, or [`crate::path::VNI_NONE`].
    pub vni: u32,
    /// [`Class`] of that tunnel as a number; [`Class::None`] for a native route.
    pub class: u32,
}

/// What is known about a peer node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PeerFacts {
    /// Class of later UDP fragments to and from this peer; [`Class::None`] if no UDP tunnel leads to
    /// it.
    pub udp_class: u32,
    /// The VNI of that tunnel.
    pub vni: u32,
}

/// Totals for one device, direction and class on one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Totals {
    /// By [`crate::counters::Total`].
    pub counters: [u64; TOTALS],
    /// Packets by size class; the map `SIZE_CLASS` gives the class of an L3 size.
    pub sizes: [u64; SIZE_CLASSES],
}

impl Totals {
    /// Nothing counted yet.
    pub const ZERO: Self = Self { counters: [0; TOTALS], sizes: [0; SIZE_CLASSES] };
}

/// Rare events for one device and direction on one CPU, by [`crate::counters::Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Events(pub [u64; EVENTS]);

impl Events {
    /// Nothing counted yet.
    pub const ZERO: Self = Self([0; EVENTS]);
}

/// Index of the totals for a slot, direction and class.
#[inline(always)]
#[must_use]
pub const fn totals_index(slot: u16, direction: Direction, class: Class) -> u32 {
    (slot as u32 * 2 + direction as u32) * CLASS_STRIDE + class as u32
}

/// Index of the events for a slot and direction.
#[inline(always)]
#[must_use]
pub const fn events_index(slot: u16, direction: Direction) -> u32 {
    slot as u32 * 2 + direction as u32
}

const _: () = assert!(size_of::<DeviceFacts>() == 32);
const _: () = assert!(size_of::<BlockKey>() == 20);
const _: () = assert!(size_of::<BlockFacts>() == 24);
const _: () = assert!(size_of::<PeerFacts>() == 8);
const _: () = assert!(Class::ALL.len() <= CLASS_STRIDE as usize);
const _: () = assert!(UNKNOWN_PEER_SLOTS.is_power_of_two() && DEVICE_TABLE.is_power_of_two());
