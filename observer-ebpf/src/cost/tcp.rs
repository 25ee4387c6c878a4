//! TCP connections of this node and its pods: round-trip times and retransmissions.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use observer_common::address::Address;
use observer_common::cost::{CostConfig, TcpStats};

use crate::maps::{COST_CONFIG, TCP_PATHS, bucket_index, packets, path, read};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// The TCP path of a socket.
#[inline(always)]
fn tcp_path(sock: u64, config: &CostConfig) -> Option<&'static mut TcpStats> {
    let (remote, local) = match read::<u16>(sock, config.sk_family)? {
        AF_INET => (
            Address::from_v4_wire(read(sock, config.sk_remote4)?).0,
            Address::from_v4_wire(read(sock, config.sk_local4)?).0,
        ),
        AF_INET6 => (read(sock, config.sk_remote6)?, read(sock, config.sk_local6)?),
        _ => return None,
    };
    // SAFETY: the value belongs to this CPU.
    TCP_PATHS.get_ptr_mut(path(remote, local)?).map(|stats| unsafe { &mut *stats })
}

/// `tcp_probe(sk, skb)`: a segment is received.
#[raw_tracepoint]
pub fn cost_probe(ctx: RawTracePointContext) {
    let _ = probe(ctx.arg(0));
}

#[inline(always)]
fn probe(sock: u64) -> Option<()> {
    let config = COST_CONFIG.get(0)?;
    let stats = tcp_path(sock, config)?;
    // The kernel stores eight times the value; 0: not measured yet.
    let time = read::<u32>(sock, config.tcp_srtt)? >> 3;
    if time == 0 {
        return None;
    }
    stats.samples += 1;
    stats.sum += u64::from(time);
    let index = bucket_index(u64::from(time));
    if let Some(count) = stats.buckets.get_mut(index) {
        *count += 1;
    }
    None
}

/// `tcp_retransmit_skb(sk, skb)`: a segment is retransmitted.
#[raw_tracepoint]
pub fn cost_again(ctx: RawTracePointContext) {
    let _ = again(ctx.arg(0), ctx.arg(1));
}

#[inline(always)]
fn again(sock: u64, skb: u64) -> Option<()> {
    let config = COST_CONFIG.get(0)?;
    let stats = tcp_path(sock, config)?;
    stats.retransmits += u64::from(packets(skb, config));
    None
}
