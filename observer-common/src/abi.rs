//! The layout of the maps between the kernel and the user side: names, capacities, the structs that
//! user space fills, and the version that changes with any of them.

use crate::address::{Address, Mask};
use crate::counters::{EVENTS, TOTALS};
use crate::kind::{Class, Direction};

/// Changes whenever the layout of any map changes; pinned maps of another version are refused.
pub const LAYOUT: u32 = 3;

/// What a map is called in the object. Most as the static is; one of a single value, whose address is part of the
/// programs, as its section.
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

/// Devices that can be watched at once: by default, and at most.
pub const DEFAULT_SLOTS: u32 = 32;
/// Most device slots that a load may ask for.
pub const MAX_SLOTS: u32 = 512;
/// Paths that fit by default.
pub const DEFAULT_PATHS: u32 = 16_384;
/// Most paths that may fit: as many as [`crate::path::PathSet`] can tell apart.
pub const MOST_PATHS: u32 = 1 << 20;
/// Peers (node addresses) that fit by default.
pub const DEFAULT_PEERS: u32 = 8_192;
/// Most peers that may fit.
pub const MOST_PEERS: u32 = 1 << 20;
/// Pod blocks that fit by default.
pub const DEFAULT_BLOCKS: u32 = 32_768;
/// Most pod blocks that may fit.
pub const MOST_BLOCKS: u32 = 1 << 20;
/// Places for tunnel senders that are no known nodes, on each CPU. A power of two.
pub const UNKNOWN_PEER_SLOTS: u32 = 64;
/// Places of the table that leads from an interface index to its facts. A power of two, several
/// times [`MAX_SLOTS`] so that probing stays short.
pub const DEVICE_TABLE: u32 = 2_048;
/// Places that a look-up probes behind the first.
pub const DEVICE_PROBES: u32 = 4;
/// Size classes of the packet-size histogram.
pub const SIZE_CLASSES: usize = 32;
/// Sizes from here on share the last class.
pub const SIZE_TABLE: usize = 16_384;
/// Places for classes in a slot's totals: a power of two not below [`Class::ALL`].
pub const CLASS_STRIDE: u32 = 16;

/// What the parser finds at the first byte of a frame.
pub mod link {
    /// Not a device that can be parsed.
    pub const UNKNOWN: u8 = 0;
    /// An Ethernet header.
    pub const ETHERNET: u8 = 1;
    /// An IP header (tunl0, WireGuard).
    pub const IP: u8 = 2;
    /// On kernels without the fix for tunl0's ingress (5.10) the data starts at the outer headers;
    /// the inner ones stand at the skb's network header.
    pub const NETWORK_HEADER: u8 = 3;
}

/// Roles of devices.
pub mod role {
    /// Anything else that the user asked for.
    pub const OTHER: u8 = 0;
    /// Carries encapsulated packets.
    pub const UNDERLAY: u8 = 1;
    /// Encapsulates.
    pub const TUNNEL: u8 = 2;
    /// Leads to a pod.
    pub const WORKLOAD: u8 = 3;
}

/// What the programs must know of a device. User space fills it; integers in host byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DeviceFacts {
    /// Interface index; 0 marks a free place.
    pub ifindex: u32,
    /// Bytes, L3.
    pub mtu: u32,
    /// Of a tunnel device: the MTU of its underlay, 0 if not known.
    pub underlay_mtu: u32,
    /// Of a tunnel device: bytes that it adds to a packet, L3.
    pub overhead: u32,
    /// Of a tunnel device: its VNI, [`crate::path::VNI_NONE`] if it has none.
    pub vni: u32,
    /// Index into the totals.
    pub slot: u16,
    /// Of a tunnel device: the underlay's slot.
    pub underlay_slot: u16,
    /// One of [`role`].
    pub role: u8,
    /// One of [`link`], for packets that enter.
    pub ingress_link: u8,
    /// One of [`link`], for packets that leave.
    pub egress_link: u8,
    /// Of a tunnel device: its [`Class`] as a number.
    pub class: u8,
    /// Explicit padding, zero.
    pub reserved: u32,
}

/// Ports that a set holds at most.
pub const PORTS: usize = 4;
/// VNIs that count as the node's own, at most.
pub const VNIS: usize = 8;
/// Prefixes of the coarse pod filter, at most.
pub const COARSE: usize = 4;
/// Different prefix lengths of pod blocks, at most.
pub const LENGTHS: usize = 4;

/// A prefix of the coarse pod filter: `address & mask == net`, on the word that tells pods apart.
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

    /// The longest prefix that covers all of these, of those that match something.
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

/// What the programs must know of the node. User space fills it, and replaces it when routes change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Config {
    /// Superset of the IPv4 pod blocks: unused places hold a pair that matches nothing.
    pub coarse4: [Coarse; COARSE],
    /// The same for the first words of IPv6 addresses.
    pub coarse6: [Coarse; COARSE],
    /// The longest prefix that covers all of `coarse4`, which most external traffic is not in.
    /// [`Config::filtered`].
    pub pods4: Coarse,
    /// The same for `coarse6`.
    pub pods6: Coarse,
    /// The prefix lengths that occur among pod blocks, longest first.
    pub lengths: [Length; LENGTHS],
    /// The node's own VNIs; 0 ends the list.
    pub vnis: [u32; VNIS],
    /// The UDP tunnel that later fragments between nodes most likely belong to, as a [`Class`] number;
    /// [`Class::None`] where there is none.
    pub fast_udp_class: u32,
    /// The VNI of that tunnel, or [`crate::path::VNI_NONE`].
    pub fast_udp_vni: u32,
    /// Places for the counters of paths that each CPU has ([`crate::path::HotPath`]).
    pub paths: u32,
    /// Explicit padding, zero.
    pub reserved: u32,
    /// [`Config::port_bit`] of every port below: what has none of them is no tunnel's. [`Config::filtered`].
    pub port_filter: u64,
    /// UDP destination ports in wire order; 0 ends a list.
    pub vxlan_ports: [u16; PORTS],
    /// The same for Geneve.
    pub geneve_ports: [u16; PORTS],
    /// The same for WireGuard; its source port counts too.
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
    /// The bit of a UDP port, in wire order: on most machines by its upper byte, which is 0 of the ports that floods
    /// are reflected from.
    #[inline(always)]
    #[must_use]
    pub const fn port_bit(port: u16) -> u64 {
        1 << (port & 63)
    }

    /// The same with what follows from the rest: the filter of its ports, and the prefixes that cover all pods.
    #[must_use]
    pub fn filtered(self) -> Self {
        let ports = self.vxlan_ports.iter().chain(&self.geneve_ports).chain(&self.wireguard_ports);
        let filter = ports.filter(|port| **port != 0).fold(0, |filter, port| filter | Self::port_bit(*port));
        let (pods4, pods6) = (Coarse::all(&self.coarse4), Coarse::all(&self.coarse6));
        Self { port_filter: filter, pods4, pods6, ..self }
    }
}

/// Key of the table of pod blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct BlockKey {
    /// Masked.
    pub address: Address,
    /// 96 + n for IPv4.
    pub bits: u32,
}

/// Where a pod block is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BlockFacts {
    /// The node that the block's route leads to.
    pub peer: Address,
    /// VNI of the tunnel that the route uses, or [`crate::path::VNI_NONE`].
    pub vni: u32,
    /// [`Class`] of that tunnel as a number; [`Class::None`] for a native route.
    pub class: u32,
}

/// What is known of a peer node, by its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PeerFacts {
    /// The class that later fragments of UDP between here and there belong to; [`Class::None`] where
    /// no UDP tunnel leads there.
    pub udp_class: u32,
    /// The VNI of that tunnel.
    pub vni: u32,
}

/// Totals of one device, direction and class on one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Totals {
    /// By [`crate::counters::Total`].
    pub counters: [u64; TOTALS],
    /// Packets by size class; the table `SIZE_CLASS` leads from an L3 size to its class.
    pub sizes: [u64; SIZE_CLASSES],
}

impl Totals {
    /// Nothing counted yet.
    pub const ZERO: Self = Self { counters: [0; TOTALS], sizes: [0; SIZE_CLASSES] };
}

/// Rare events of one device and direction on one CPU, by [`crate::counters::Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Events(pub [u64; EVENTS]);

impl Events {
    /// Nothing counted yet.
    pub const ZERO: Self = Self([0; EVENTS]);
}

/// Where the totals of a slot, direction and class stand.
#[inline(always)]
#[must_use]
pub const fn totals_index(slot: u16, direction: Direction, class: Class) -> u32 {
    (slot as u32 * 2 + direction as u32) * CLASS_STRIDE + class as u32
}

/// Where the events of a slot and direction stand.
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
