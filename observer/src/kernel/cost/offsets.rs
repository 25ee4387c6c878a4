//! Offsets in this kernel of what the programs read.

use observer_common::cost::CostConfig;

use crate::kernel::btf::Btf;
use crate::kernel::error::KernelError;
use crate::kernel::sys;

/// What to do without a field.
const REMEDY: &str = "measure without --cost";

/// The configuration with the offsets in this kernel.
pub(super) fn offsets(btf: &Btf, sample: u32) -> Result<CostConfig, KernelError> {
    let of = |structure: &str, field: &str| btf.field(structure, field, REMEDY);
    let sock = |field: &str| of("sock", &format!("__sk_common.{field}"));
    let summed = btf.field_bits("sk_buff", "ip_summed", REMEDY)?;
    Ok(CostConfig {
        skb_dev: of("sk_buff", "dev")?,
        skb_head: of("sk_buff", "head")?,
        skb_data: of("sk_buff", "data")?,
        skb_end: of("sk_buff", "end")?,
        skb_len: of("sk_buff", "len")?,
        gso_size: of("skb_shared_info", "gso_size")?,
        gso_segs: of("skb_shared_info", "gso_segs")?,
        dev_ifindex: of("net_device", "ifindex")?,
        dev_net: of("net_device", "nd_net")?,
        net_inum: of("net", "ns.inum")?,
        sk_family: sock("skc_family")?,
        sk_remote4: sock("skc_daddr")?,
        sk_local4: sock("skc_rcv_saddr")?,
        sk_remote6: sock("skc_v6_daddr")?,
        sk_local6: sock("skc_v6_rcv_saddr")?,
        skb_network: of("sk_buff", "network_header")?,
        skb_tail: of("sk_buff", "tail")?,
        skb_dst: of("sk_buff", "_skb_refdst")?,
        dst_dev: of("dst_entry", "dev")?,
        skb_summed: summed / 8,
        summed_shift: summed % 8,
        tcp_srtt: of("tcp_sock", "srtt_us")?,
        netns: u32::try_from(sys::netns()?).unwrap_or(0),
        sample: sample.max(1),
        ..CostConfig::default()
    })
}
