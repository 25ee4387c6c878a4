//! Reports packets that the kernel drops, for `observer trace`.

use std::collections::BTreeMap;

use observer_common::drops::{AddressRange, DropConfig, RANGES, REASONS, Reasons, with};

use crate::kernel::btf::Btf;
use crate::kernel::drop_reasons::{ENUM, PREFIX, by_number, short};
use crate::kernel::error::{KernelError, chain};
use crate::kernel::live::Live;
use crate::kernel::load::Programs;
use crate::kernel::maps;
use crate::kernel::names::entry;
use crate::kernel::symbols::Symbols;
use crate::kernel::sys;

/// The tracepoint.
const EVENT: &str = "kfree_skb";

/// Parts of the names of reasons about size, fragments and tunnels: reported at every watched device.
const ANYWHERE: [&str; 6] = ["TOO_BIG", "FRAG", "REASM", "GSO_SEG", "VXLAN", "TUNNEL"];
/// Parts of the names of reasons why a tunnel does not carry a packet: reported at tunnel devices only. Elsewhere
/// they are common, during a port scan for example.
const AT_TUNNELS: [&str; 9] =
    ["NOROUTES", "NEIGH_", "DEV_", "NO_TX_TARGET", "RECURSION", "RPFILTER", "HDR_TRUNC", "NOMEM", "QDISC_"];
/// The unspecific reason.
const VAGUE: &str = "NOT_SPECIFIED";
/// Prefixes of the functions that forward, fragment, reassemble and encapsulate: their drops are reported if the
/// reason is unspecific or the kernel has no reasons.
const FUNCTIONS: [&str; 34] = [
    "ip_forward",
    "ip6_forward",
    "ip_fragment",
    "ip_do_fragment",
    "ip6_fragment",
    "ip_finish_output",
    "__ip_finish_output",
    "ip6_finish_output",
    "ip_frag_queue",
    "ip_frag_reasm",
    "ip_expire",
    "ip_defrag",
    "inet_frag",
    "ip6_frag",
    "ipv6_frag",
    "vxlan_xmit",
    "vxlan_rcv",
    "vxlan_build_skb",
    "geneve_xmit",
    "geneve_rx",
    "geneve_build_skb",
    "geneve_udp_encap",
    "ipip_tunnel_xmit",
    "ipip_rcv",
    "ipip_tunnel_rcv",
    "ip_tunnel_xmit",
    "ip_tunnel_rcv",
    "ip_md_tunnel_xmit",
    "iptunnel_",
    "skb_tunnel_check_pmtu",
    "ip6_tnl_xmit",
    "ip6_tnl_start_xmit",
    "ip6_tnl_rcv",
    "__ip6_tnl_rcv",
];

/// Names of reasons and functions, and what is missing.
#[derive(Debug, Default)]
pub struct Drops {
    reasons: BTreeMap<u32, String>,
    symbols: Symbols,
    /// What cannot be reported on this machine, as sentences.
    pub missing: Vec<String>,
}

impl Drops {
    /// Starts to report drops. What this kernel lacks for full reports is described in `missing`.
    ///
    /// # Errors
    /// The kernel has no BTF, provides neither reasons nor functions, or refused the program.
    pub fn start(live: &mut Live) -> Result<Self, KernelError> {
        let mut drops = Self::default();
        let (btf, symbols) = (Btf::running()?, Symbols::running());
        let name = drops.load(live.programs(), &btf, symbols)?;
        live.programs().raw_tracepoint(name)?.attach(EVENT).map_err(|error| {
            KernelError::new(
                "attach",
                format!("program {name}"),
                chain(&error),
                "use a kernel with CONFIG_TRACEPOINTS, or trace without `--why drop`",
            )
        })?;
        Ok(drops)
    }

    /// No drops are reported because of this error.
    #[must_use]
    pub fn none(error: &KernelError) -> Self {
        Self { missing: vec![format!("drops are not reported: {error}")], ..Self::default() }
    }

    /// Loads the program for this kernel without attaching it, and returns its name.
    ///
    /// # Errors
    /// The kernel provides neither reasons nor functions, or refused the program.
    pub fn load(
        &mut self,
        programs: &mut Programs,
        btf: &Btf,
        symbols: Result<Symbols, KernelError>,
    ) -> Result<&'static str, KernelError> {
        let reasons = btf.enumeration(ENUM);
        match symbols {
            Ok(symbols) => self.symbols = symbols,
            Err(error) => self.missing.push(format!("drops are reported without the function: {error}")),
        }
        let mut config = offsets(btf)?;
        self.choose(&mut config, reasons.as_deref())?;
        maps::write(&mut programs.ebpf, "DROP_CONFIG", config)?;
        let name = if reasons.is_some() { entry::TRACE_DROP } else { entry::TRACE_DROP_OLD };
        programs.raw_tracepoint(name)?;
        Ok(name)
    }

    /// Selects what is reported.
    fn choose(
        &mut self,
        config: &mut DropConfig,
        reasons: Option<&[(String, u32)]>,
    ) -> Result<(), KernelError> {
        let ranges = self.symbols.ranges(|name| FUNCTIONS.iter().any(|start| name.starts_with(start)));
        if ranges.len() > RANGES {
            self.missing.push(format!(
                "the selected functions are in {} ranges of kernel code, of which {RANGES} are watched",
                ranges.len()
            ));
        }
        for (to, (start, end)) in config.ranges.iter_mut().zip(&ranges) {
            *to = AddressRange { start: *start, end: *end };
        }
        config.range_count = ranges.len().min(RANGES) as u32;
        let Some(reasons) = reasons else {
            if config.range_count == 0 {
                return Err(KernelError::new(
                    "report",
                    "drops",
                    "the kernel has no drop reasons (Linux 5.17 has) and hides its functions' addresses",
                    "set `kernel.kptr_restrict` to 1 or less",
                ));
            }
            self.missing.push(
                "this kernel has no drop reasons (Linux 5.17 has): only drops by functions that forward, fragment, \
                 reassemble or encapsulate are reported"
                    .to_owned(),
            );
            return Ok(());
        };
        (config.anywhere, config.at_tunnels, config.vague) = sets(reasons);
        self.reasons = by_number(reasons);
        if !self.reasons.values().any(|name| name.contains("REASM")) {
            self.missing.push(
                "this kernel has no drop reason for failed reassembly (Linux 6.2 has): such drops are identified by \
                 function"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The name of a reason; `None` if the kernel has no such reason.
    #[must_use]
    pub fn reason(&self, number: u32) -> Option<&str> {
        self.reasons.get(&number).map(String::as_str)
    }

    /// The function that dropped the packet.
    #[must_use]
    pub fn function(&self, location: u64) -> Option<&str> {
        self.symbols.at(location)
    }
}

/// Reasons reported at every device, reasons reported at tunnel devices, and the unspecific one.
fn sets(reasons: &[(String, u32)]) -> (Reasons, Reasons, Reasons) {
    let set = |selected: &dyn Fn(&str) -> bool| {
        let names = reasons.iter().filter(|(name, _)| name.starts_with(PREFIX) && selected(short(name)));
        names.fold([0; REASONS / 64], |set, (_, number)| with(set, *number))
    };
    let any = |parts: &'static [&'static str]| move |name: &str| parts.iter().any(|part| name.contains(part));
    (set(&any(&ANYWHERE)), set(&any(&AT_TUNNELS)), set(&|name| name == VAGUE))
}

/// Offsets in this kernel of what the program reads.
fn offsets(btf: &Btf) -> Result<DropConfig, KernelError> {
    let of = |structure: &str, field: &str| btf.field(structure, field, "trace without `--why drop`");
    Ok(DropConfig {
        skb_dev: of("sk_buff", "dev")?,
        skb_head: of("sk_buff", "head")?,
        skb_data: of("sk_buff", "data")?,
        skb_len: of("sk_buff", "len")?,
        skb_tail: of("sk_buff", "tail")?,
        skb_end: of("sk_buff", "end")?,
        skb_network: of("sk_buff", "network_header")?,
        skb_dst: of("sk_buff", "_skb_refdst")?,
        gso_size: of("skb_shared_info", "gso_size")?,
        gso_segs: of("skb_shared_info", "gso_segs")?,
        dst_dev: of("dst_entry", "dev")?,
        dev_ifindex: of("net_device", "ifindex")?,
        dev_net: of("net_device", "nd_net")?,
        net_inum: of("net", "ns.inum")?,
        netns: u32::try_from(sys::netns()?).unwrap_or(0),
        ..DropConfig::NOTHING
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use observer_common::drops::has;

    #[test]
    fn reasons_are_selected_by_name() {
        let names = [
            (2, "SKB_DROP_REASON_NOT_SPECIFIED"),
            (3, "SKB_DROP_REASON_NO_SOCKET"),
            (58, "SKB_DROP_REASON_NEIGH_FAILED"),
            (93, "SKB_DROP_REASON_PKT_TOO_BIG"),
            (95, "SKB_DROP_REASON_FRAG_REASM_TIMEOUT"),
            (0xffff_0000, "SKB_DROP_REASON_SUBSYS_MASK"),
            (7, "SOMETHING_ELSE_TOO_BIG"),
        ];
        let names: Vec<(String, u32)> = names.iter().map(|(n, name)| ((*name).to_owned(), *n)).collect();
        let (anywhere, tunnels, vague) = sets(&names);
        let held = |set: &Reasons| (0..REASONS as u32).filter(|n| has(set, *n)).collect::<Vec<_>>();
        assert_eq!((held(&anywhere), held(&tunnels), held(&vague)), (vec![93, 95], vec![58], vec![2]));
    }
}
