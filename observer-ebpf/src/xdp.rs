//! XDP: frames before the skb, on request.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
use aya_ebpf::programs::XdpContext;
use observer_common::account::{Site, account, classify, count_ptb, fast_path, observe as observe_packet};
use observer_common::kind::Direction;
use observer_common::packet::Frame;

use crate::maps::SCRATCH;
use crate::packet::{Copied, Direct, copy_length};
use crate::tables::{Maps, config, device, observation};

#[inline(always)]
fn site(ctx: *const xdp_md) -> Option<Site<'static>> {
    // SAFETY: the context of the program; the verifier checks each access.
    let ifindex = unsafe { (*ctx).ingress_ifindex };
    Some(Site { device: device(ifindex)?, direction: Direction::Ingress, config: config() })
}

const fn frame(length: u32) -> Frame {
    Frame { length, gso_segs: 1, gso_size: 0, tag_beside: false, zero_length_is_big: false }
}

/// Counts a frame in one buffer.
#[inline(always)]
pub fn observe(ctx: &XdpContext) {
    let Some(site) = site(ctx.ctx) else { return };
    let packet = Direct::new(ctx.data(), ctx.data_end());
    let frame = frame(packet.length());
    if fast_path::<_, _, false>(&packet, &frame, &site, &mut Maps { config: site.config }) {
        return;
    }
    let Some(seen) = observation() else { return };
    observe_packet(&packet, &frame, &site, &mut Maps { config: site.config }, seen);
}

/// Counts a frame that may span several buffers.
#[inline(always)]
pub fn observe_frags(ctx: &XdpContext) {
    let Some(site) = site(ctx.ctx) else { return };
    // SAFETY: a helper of this program type.
    let length = unsafe { bpf_xdp_get_buff_len(ctx.ctx) } as u32;
    let packet = Direct::new(ctx.data(), ctx.data_end());
    let frame = frame(length);
    if fast_path::<_, _, false>(&packet, &frame, &site, &mut Maps { config: site.config }) {
        return;
    }
    let Some(seen) = observation() else { return };
    seen.frame = frame;
    if !classify(&packet, &site, seen) && packet.length() < length {
        copied(ctx, length);
        return;
    }
    account(&packet, &site, &mut Maps { config: site.config }, seen);
    if let Some((at, protocol)) = seen.ptb() {
        count_ptb(&packet, u32::from(at), protocol, &site, &mut Maps { config: site.config });
    }
}

/// Counts a frame whose headers are not all in its first buffer.
#[inline(never)]
fn copied(ctx: &XdpContext, total: u32) {
    let (Some(site), Some(seen)) = (site(ctx.ctx), observation()) else { return };
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    let length = copy_length(total);
    // SAFETY: `scratch` has room for `length` bytes.
    if unsafe { bpf_xdp_load_bytes(ctx.ctx, 0, scratch.cast(), length) } != 0 {
        return;
    }
    let packet = Copied { start: scratch.cast_const().cast(), length };
    observe_packet(&packet, &frame(total), &site, &mut Maps { config: site.config }, seen);
}
