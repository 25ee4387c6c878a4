//! Dropped packets to and from peers, by the kernel's drop reason.
//!
//! Every drop in the kernel gets here, so unrelated ones must return early: by reason, by network namespace, then by
//! addresses that belong to no peer.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use observer_common::address::Address;
use observer_common::cost::{CostConfig, DropKey, NO_REASON};
use observer_common::drops::{NOREF, has};
use observer_common::kind::Direction;

use crate::maps::{COST_CONFIG, DROPS, discarded, here, is_tunnel_port, packets, read, remote};

/// UDP, VXLAN (or Geneve without options) and Ethernet headers, in bytes.
const UDP_TUNNEL: u32 = 8 + 8 + 14;
/// IP headers without options, in bytes.
const IPV4: u32 = 20;
const IPV6: u32 = 40;

/// `kfree_skb(skb, location, reason)`, Linux 5.17 and newer.
#[raw_tracepoint]
pub fn cost_drop(ctx: RawTracePointContext) {
    let _ = dropped(ctx.arg(0), ctx.arg(2));
}

/// `kfree_skb(skb, location)` on older kernels, which reject programs that read a third argument.
#[raw_tracepoint]
pub fn cost_drop_old(ctx: RawTracePointContext) {
    let _ = dropped(ctx.arg(0), NO_REASON);
}

#[inline(always)]
fn dropped(skb: u64, reason: u32) -> Option<()> {
    let config = COST_CONFIG.get(0)?;
    if has(&config.ignored, reason) {
        return None;
    }
    let mut device: u64 = read(skb, config.skb_dev)?;
    if device == 0 {
        // A locally generated packet that has not reached a device.
        let route = read::<u64>(skb, config.skb_dst)? & !NOREF;
        if route == 0 {
            return None;
        }
        device = read(route, config.dst_dev)?;
    }
    if device == 0 || !here(device, config)? {
        return None;
    }
    let (path, direction) = path(skb, config)?;
    let key = DropKey { path, direction: direction as u32, reason };
    let packets = u64::from(packets(skb, config));
    if let Some(count) = DROPS.get_ptr_mut(key) {
        // SAFETY: the value belongs to this CPU. A drop in an interrupt during the update can be lost if both have
        // the same path and reason.
        unsafe { *count += packets };
        return None;
    }
    if DROPS.insert(key, packets, 0).is_err() {
        discarded()?.uncounted += packets;
    }
    None
}

/// The path of a dropped packet: of the inner packet if it is a tunnel packet of pods.
#[inline(always)]
fn path(skb: u64, config: &CostConfig) -> Option<(u32, Direction)> {
    let head: u64 = read(skb, config.skb_head)?;
    let network = u32::from(read::<u16>(skb, config.skb_network)?);
    let tail: u32 = read(skb, config.skb_tail)?;
    // Not set: not an IP packet.
    if network == 0 || network == 0xffff {
        return None;
    }
    let outer = ends(head, network, tail, config)?;
    if outer.inner != 0
        && let Some(inner) = ends(head, outer.inner, tail, config)
        && let Some(path) = known(&inner)
    {
        return Some(path);
    }
    known(&outer)
}

/// Source and destination of a packet.
struct Ends {
    from: [u32; 4],
    to: [u32; 4],
    /// Offset of the inner packet from `head`; 0 if there is none.
    inner: u32,
}

/// Both ends of a packet whose IP header is at `at`, in the linear part.
#[inline(always)]
fn ends(head: u64, at: u32, tail: u32, config: &CostConfig) -> Option<Ends> {
    if at + IPV4 > tail {
        return None;
    }
    let first: [u32; 5] = read(head, at)?;
    let (from, to, protocol, behind) = match first[0] >> 4 & 0xf {
        4 => {
            let behind = at + (first[0] & 0xf) * 4;
            let later = (first[1] >> 16) as u16 & 0x1fff_u16.to_be() != 0;
            // A later fragment has no headers after the IP header.
            let protocol = if later { 0 } else { first[2] >> 8 & 0xff };
            (Address::from_v4_wire(first[3]).0, Address::from_v4_wire(first[4]).0, protocol, behind)
        }
        6 => {
            if at + IPV6 > tail {
                return None;
            }
            (read(head, at + 8)?, read(head, at + 24)?, first[1] >> 16 & 0xff, at + IPV6)
        }
        _ => return None,
    };
    let inner = match protocol {
        4 | 41 => behind,
        17 if behind + 4 <= tail && is_tunnel_port(read(head, behind + 2)?, config) => behind + UDP_TUNNEL,
        _ => 0,
    };
    Some(Ends { from, to, inner })
}

/// The path between two addresses: to a peer, or else from one.
#[inline(always)]
fn known(ends: &Ends) -> Option<(u32, Direction)> {
    if let Some(path) = remote(ends.to) {
        return Some((path, Direction::Egress));
    }
    Some((remote(ends.from)?, Direction::Ingress))
}
