//! Which privileged tests `cargo xtask test` runs on which kernel. `cargo xtask vm --kernel all` runs all everywhere.

/// Tests on one kernel.
pub struct Plan {
    /// The kernel's series.
    pub series: &'static str,
    /// Parts of the names of the tests.
    pub tests: &'static [&'static str],
}

/// What differs between kernels: the verifier and helpers (`program`), TCX or clsact (`hooks`), capabilities and
/// memory limits (`export`), where tunnel devices hand over packets (`exact`, `fragments`, `ptb`), GSO (`segments`),
/// tracing hooks, types and drop reasons (`cost`, `hook_rtt`, `drops`).
///
/// Of the tests by encapsulation only those of IPIP: its device differs (5.10 hands over the outer header), and the
/// kernel of many development machines lacks the module. VXLAN and native traffic are tested on the machine's kernel.
///
/// Left out, because the kernel makes no difference once those pass:
/// - `doctor`, `incident`, `record`, `cost_views`, `sizes`, `watch`, `input`, `trace` without `drops`: user space
///   computes and prints what the same maps contain;
/// - `flood`: the size of maps, minutes of packets under emulation;
/// - `export::totals_survive_kills`: pins and processes, minutes under emulation;
/// - `terminal`, `bird`: programs that the machines do not have.
const DIFFERS: &[&str] = &[
    "program::",
    "hooks::",
    "exact::ipip_always",
    "fragments::outer_fragments_of_ipip",
    "ptb::router_messages_about_ipip",
    "segments::ipip",
    "cost::cost_of_ipip",
    "cost_drops::drops_of",
    "hook_rtt::hook_rtt_is_measured_in_ipip",
    "trace::drops::",
    "export::exporter_runs_as_nobody",
    "export::cost_is_exported",
];

/// The oldest supported kernel, the two of most distributions, and for the newest ones what differs most.
pub const PLAN: [Plan; 5] = [
    Plan { series: "6.1", tests: DIFFERS },
    Plan { series: "6.12", tests: DIFFERS },
    Plan { series: "5.10", tests: DIFFERS },
    Plan { series: "6.18", tests: &["program::"] },
    Plan { series: "7.3", tests: &["program::", "hooks::"] },
];
