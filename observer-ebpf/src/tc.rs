//! TC: skbs, super-packets included.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::{bpf_skb_load_bytes, bpf_skb_load_bytes_relative};
use aya_ebpf::programs::TcContext;
use aya_log_ebpf::warn;
use observer_common::abi::link;
use observer_common::account::{Site, account, classify, count_ptb, fast_path};
use observer_common::kind::Direction;
use observer_common::packet::{Frame, ip_length};

use crate::maps::{SCRATCH, SCRATCH_SIZE, SCRATCH_SLACK};
use crate::packet::{Copied, Direct, copy_length};
use crate::tables::{Maps, config, device, observation};

/// `BPF_HDR_START_NET`.
const NETWORK_HEADER: u32 = 1;

#[inline(always)]
pub fn frame(skb: *const __sk_buff) -> Frame {
    // SAFETY: the context of the program; the verifier checks each access.
    let (length, gso_segs, gso_size, tag) =
        unsafe { ((*skb).len, (*skb).gso_segs, (*skb).gso_size, (*skb).vlan_present) };
    Frame { length, gso_segs, gso_size, tag_beside: tag != 0, zero_length_is_big: gso_size != 0 }
}

/// The fields the fast path needs. `gso_segs` lives in another cache line, so it is not read here.
#[inline(always)]
fn fast_path_frame(skb: *const __sk_buff) -> Frame {
    // SAFETY: as above.
    let (length, gso_size, tag) = unsafe { ((*skb).len, (*skb).gso_size, (*skb).vlan_present) };
    Frame { length, gso_segs: 1, gso_size, tag_beside: tag != 0, zero_length_is_big: false }
}

/// Counts an skb.
#[inline(always)]
pub fn observe(ctx: &TcContext, direction: Direction) {
    let skb = ctx.skb.skb.cast_const();
    // SAFETY: as above.
    let ifindex = unsafe { (*skb).ifindex };
    let Some(device) = device(ifindex) else { return };
    let site = Site { device, direction, config: config() };
    if site.link() == link::NETWORK_HEADER {
        copied(ctx, direction);
        return;
    }
    let packet = Direct::new(ctx.data(), ctx.data_end());
    let few = fast_path_frame(skb);
    let counted = if few.gso_size == 0 {
        fast_path::<_, _, false>(&packet, &few, &site, &mut Maps { config: site.config })
    } else {
        fast_path_super(ctx, direction)
    };
    if counted {
        return;
    }
    let Some(seen) = observation() else { return };
    seen.frame = frame(skb);
    if !classify(&packet, &site, seen) && packet.length() < seen.frame.length {
        copied(ctx, direction);
        return;
    }
    account(&packet, &site, &mut Maps { config: site.config }, seen);
    if let Some((at, protocol)) = seen.ptb() {
        ptb(ctx, at, protocol, direction);
    }
}

/// Fast path for super-packets. Not inlined: they are fewer, and the path for other packets stays short.
#[inline(never)]
fn fast_path_super(ctx: &TcContext, direction: Direction) -> bool {
    let skb = ctx.skb.skb;
    // SAFETY: as above.
    let ifindex = unsafe { (*skb).ifindex };
    let Some(device) = device(ifindex) else { return false };
    let site = Site { device, direction, config: config() };
    let packet = Direct::new(ctx.data(), ctx.data_end());
    fast_path::<_, _, true>(&packet, &frame(skb), &site, &mut Maps { config: site.config })
}

/// Counts a PTB message. Not inlined: these are rare, and the common path stays small.
#[inline(never)]
fn ptb(ctx: &TcContext, at: u16, protocol: u8, direction: Direction) {
    // SAFETY: as above.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    let Some(device) = device(ifindex) else { return };
    let site = Site { device, direction, config: config() };
    let packet = Direct::new(ctx.data(), ctx.data_end());
    count_ptb(&packet, u32::from(at), protocol, &site, &mut Maps { config: site.config });
}

/// Counts an skb whose headers are not all in its linear part, from a copy of its first bytes.
///
/// Not inlined: it is the exception, and the verifier would otherwise walk it once per branch.
#[inline(never)]
fn copied(ctx: &TcContext, direction: Direction) {
    let skb = ctx.skb.skb;
    // SAFETY: as above.
    let ifindex = unsafe { (*skb).ifindex };
    let Some(device) = device(ifindex) else { return };
    let (Some(scratch), Some(seen)) = (SCRATCH.get_ptr_mut(0), observation()) else { return };
    let site = Site { device, direction, config: config() };
    seen.frame = frame(skb.cast_const());
    let inner_only = site.link() == link::NETWORK_HEADER;
    let loaded = if inner_only {
        load_from_network_header(skb, scratch)
    } else {
        load(skb, scratch, seen.frame.length)
    };
    let Some(length) = loaded else {
        warn!(ctx, "cannot read an skb of {} bytes on interface {}", seen.frame.length, ifindex);
        return;
    };
    let packet = Copied { start: scratch.cast_const().cast(), length };
    if inner_only {
        // The skb's length counts the outer headers too.
        seen.frame.length = ip_length(&packet, seen.frame.length);
    }
    classify(&packet, &site, seen);
    account(&packet, &site, &mut Maps { config: site.config }, seen);
    if let Some((at, protocol)) = seen.ptb() {
        count_ptb(&packet, u32::from(at), protocol, &site, &mut Maps { config: site.config });
    }
}

#[inline(always)]
pub fn load(skb: *mut __sk_buff, to: *mut [u8; SCRATCH_SIZE + SCRATCH_SLACK], length: u32) -> Option<u32> {
    let length = copy_length(length);
    // SAFETY: `to` has room for `length` bytes.
    let result = unsafe { bpf_skb_load_bytes(skb.cast_const().cast(), 0, to.cast(), length) };
    (result == 0).then_some(length)
}

/// The helper reads only the linear part and does not return its length, so try decreasing lengths.
#[inline(always)]
pub fn load_from_network_header(
    skb: *mut __sk_buff,
    to: *mut [u8; SCRATCH_SIZE + SCRATCH_SLACK],
) -> Option<u32> {
    for length in [SCRATCH_SIZE as u32, 256, 128, 96, 64, 40, 20] {
        // SAFETY: as above.
        let result = unsafe {
            bpf_skb_load_bytes_relative(skb.cast_const().cast(), 0, to.cast(), length, NETWORK_HEADER)
        };
        if result == 0 {
            return Some(length);
        }
    }
    None
}
