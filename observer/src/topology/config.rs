//! The BPF programs' configuration, derived from a topology and limited to what fits their maps.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use observer_common::abi::{COARSE, Coarse, Config, LENGTHS, Length, PORTS, SIZE_CLASSES, SIZE_TABLE};
use observer_common::address::Mask;
use observer_common::kind::Class;
use observer_common::path::VNI_NONE;

use super::convert::bits;
use super::{Block, Topology};

/// Upper bounds of packet-size classes: powers of two, common MTUs, and those minus tunnel overhead.
const SIZES: [u32; 19] = [
    64, 128, 256, 512, 1024, 1280, 1400, 1420, 1430, 1440, 1450, 1460, 1480, 1500, 2048, 4096, 8950, 8981,
    9000,
];

/// Tunnels over UDP, whose later fragments carry no port.
const UDP_TUNNELS: [Class; 3] = [Class::Vxlan, Class::Geneve, Class::Wireguard];

/// A configuration and notes about what did not fit.
pub(super) struct Fit {
    pub config: Config,
    pub notes: Vec<String>,
}

impl Topology {
    /// The programs' configuration. What did not fit is in [`Topology::notes`].
    #[must_use]
    pub fn config(&self) -> Config {
        self.fit().config
    }

    /// Upper bounds (inclusive) of the packet-size classes, ascending: common sizes and the MTUs of the
    /// watched devices.
    #[must_use]
    pub fn size_bounds(&self) -> Vec<u32> {
        let mtus = self.watched.iter().flat_map(|w| [Some(w.device.mtu), w.underlay_mtu]).flatten();
        let mut bounds: Vec<u32> = Vec::new();
        // Common sizes first: views depend on them, and they leave room for twelve MTUs.
        for size in SIZES.into_iter().chain(mtus) {
            // The table's last entry also counts all larger sizes.
            let counted = size > 0 && (size as usize) < SIZE_TABLE - 1;
            if counted && !bounds.contains(&size) && bounds.len() < SIZE_CLASSES - 1 {
                bounds.push(size);
            }
        }
        bounds.sort_unstable();
        bounds
    }

    pub(super) fn fit(&self) -> Fit {
        let mut notes = Vec::new();
        let (lengths, left_out) = lengths(&self.blocks);
        if !left_out.is_empty() {
            let blocks: usize = left_out.values().sum();
            let kept: Vec<String> = lengths.iter().map(|&bits| describe(bits)).collect();
            notes.push(format!(
                "pod blocks whose native packets are counted as external: {blocks}; only {LENGTHS} different prefix \
                 lengths fit ({})",
                kept.join(", ")
            ));
        }
        let counted = |six: bool| {
            self.blocks
                .iter()
                .filter(move |block| block.address.is_ipv6() == six)
                .filter(|block| lengths.contains(&bits(block.address, block.prefix_len)))
        };
        let fast = self.watched.iter().find(|w| UDP_TUNNELS.contains(&w.class));
        let mut config = Config {
            fast_udp_class: fast.map_or(Class::None, |w| w.class) as u32,
            fast_udp_vni: fast.and_then(|w| w.vni).unwrap_or(VNI_NONE),
            coarse4: coarse(counted(false).map(word)),
            coarse6: coarse(counted(true).map(word)),
            vnis: bounded(&self.vnis, "VNIs", &mut notes),
            vxlan_ports: ports(&self.vxlan_ports, "VXLAN ports", &mut notes),
            geneve_ports: ports(&self.geneve_ports, "Geneve ports", &mut notes),
            wireguard_ports: ports(&self.wireguard_ports, "WireGuard ports", &mut notes),
            ..Config::DEFAULT
        };
        for (place, bits) in config.lengths.iter_mut().zip(&lengths) {
            *place = Length { mask: Mask::of(*bits), bits: u32::from(*bits) };
        }
        Fit { config, notes }
    }
}

fn describe(bits: u8) -> String {
    if bits >= 96 { format!("/{} or IPv6 /{bits}", bits - 96) } else { format!("IPv6 /{bits}") }
}

/// The prefix lengths of blocks in wire form, longest first, and the number of blocks of each length that
/// does not fit. Lengths with the fewest blocks are left out, the shorter one of two equals.
fn lengths(blocks: &[Block]) -> (Vec<u8>, BTreeMap<u8, usize>) {
    let mut population: BTreeMap<u8, usize> = BTreeMap::new();
    for block in blocks {
        *population.entry(bits(block.address, block.prefix_len)).or_default() += 1;
    }
    let mut by_population: Vec<(u8, usize)> = population.into_iter().collect();
    by_population.sort_by_key(|&(bits, blocks)| Reverse((blocks, bits)));
    let left_out = by_population.split_off(by_population.len().min(LENGTHS)).into_iter().collect();
    let mut lengths: Vec<u8> = by_population.into_iter().map(|(bits, _)| bits).collect();
    lengths.sort_unstable_by_key(|bits| Reverse(*bits));
    (lengths, left_out)
}

/// The word of a block that the coarse filter compares, in host order, and its number of significant bits.
fn word(block: &Block) -> (u32, u32) {
    let first = match block.address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => (address.to_bits() >> 96) as u32,
    };
    let len = u32::from(block.prefix_len.min(32));
    (first & mask(len), len)
}

fn mask(len: u32) -> u32 {
    u32::MAX.checked_shl(32 - len).unwrap_or(0)
}

/// At most [`COARSE`] prefixes that cover all of `words`: the sorted words are split where neighbours have the
/// fewest leading bits in common.
fn coarse(words: impl Iterator<Item = (u32, u32)>) -> [Coarse; COARSE] {
    let mut words: Vec<(u32, u32)> = words.collect();
    words.sort_unstable();
    words.dedup();
    let common = |a: (u32, u32), b: (u32, u32)| (a.0 ^ b.0).leading_zeros().min(a.1).min(b.1);
    let mut cuts: Vec<usize> =
        (1..words.len()).filter(|&i| common(words[i - 1], words[i]) < words[i - 1].1).collect();
    cuts.sort_by_key(|&i| common(words[i - 1], words[i]));
    cuts.truncate(COARSE - 1);
    cuts.sort_unstable();
    cuts.push(words.len());

    let mut places = Config::DEFAULT.coarse4;
    let mut start = 0;
    for (place, end) in places.iter_mut().zip(cuts) {
        let Some(group) = words.get(start..end).filter(|group| !group.is_empty()) else { break };
        let len = group.iter().fold(group[0].1, |len, word| len.min(common(group[0], *word)));
        *place = Coarse { net: (group[0].0 & mask(len)).to_be(), mask: mask(len).to_be() };
        start = end;
    }
    places
}

fn bounded<T: Copy + Default, const N: usize>(values: &[T], what: &str, notes: &mut Vec<String>) -> [T; N] {
    if values.len() > N {
        notes.push(format!("only the first {N} of the node's {} {what} are recognised", values.len()));
    }
    let mut places = [T::default(); N];
    for (place, value) in places.iter_mut().zip(values) {
        *place = *value;
    }
    places
}

fn ports(values: &[u16], what: &str, notes: &mut Vec<String>) -> [u16; PORTS] {
    bounded::<u16, PORTS>(values, what, notes).map(u16::to_be)
}
