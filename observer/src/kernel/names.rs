//! Names of programs and maps.

/// Names of the programs' entry points.
pub mod entry {
    /// TC ingress.
    pub const INGRESS: &str = "observer_in";
    /// TC egress.
    pub const EGRESS: &str = "observer_out";
    /// TC ingress of `observer trace`.
    pub const TRACE_INGRESS: &str = "trace_in";
    /// TC egress of `observer trace`.
    pub const TRACE_EGRESS: &str = "trace_out";
    /// `kfree_skb` of `observer trace`.
    pub const TRACE_DROP: &str = "trace_drop";
    /// The same without drop reasons, for kernels before 5.17: they refuse a program that reads an argument
    /// that the tracepoint lacks.
    pub const TRACE_DROP_OLD: &str = "trace_drop_old";
    /// TC ingress of `--cost`, in a separate object.
    pub const COST_INGRESS: &str = "cost_in";
    /// TC egress of `--cost`, in a separate object.
    pub const COST_EGRESS: &str = "cost_out";
    /// XDP, one buffer per frame.
    pub const XDP: &str = "observer_xdp";
    /// XDP, several buffers per frame.
    pub const XDP_FRAGS: &str = "observer_xdp_fr";
    /// All that count or trace.
    pub const ALL: [&str; 8] =
        [INGRESS, EGRESS, XDP, XDP_FRAGS, TRACE_INGRESS, TRACE_EGRESS, TRACE_DROP, TRACE_DROP_OLD];
}

/// Maps with counts, which the next owner continues.
pub(super) const COUNTED: [&str; 8] =
    ["TOTALS", "EVENTS", "PATHS", "PATH_HOT", "PATH_COLD", "FREE_PATHS", "UNKNOWN_PEERS", "BLOCKS"];
/// Maps that every owner fills; pinned for readers.
pub(super) const FILLED: [&str; 4] = ["DEVICES", "CONFIG", "SIZE_CLASS", "PEERS"];

/// The programs' maps that are pinned.
pub(super) fn pinned() -> impl Iterator<Item = &'static str> {
    COUNTED.into_iter().chain(FILLED)
}
