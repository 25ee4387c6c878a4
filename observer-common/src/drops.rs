//! Which kernel drops are reported: their reasons, the code they happen in, and the offsets of kernel struct
//! fields. User space fills it from the running kernel's BTF and symbols.

/// Drop reasons below this number are distinguished. Those of subsystems are above and are not reported.
pub const REASONS: usize = 256;
/// Maximum number of code ranges.
pub const RANGES: usize = 64;

/// `SKB_DST_NOREF`: a flag in the lowest bit of `_skb_refdst`.
pub const NOREF: u64 = 1;

/// A range of kernel code addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AddressRange {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
}

/// A set of reasons.
pub type Reasons = [u64; REASONS / 64];

/// What the program at `kfree_skb` needs to know. Offsets in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct DropConfig {
    /// Of `sk_buff`: `dev`.
    pub skb_dev: u32,
    /// `head`.
    pub skb_head: u32,
    /// `data`.
    pub skb_data: u32,
    /// `len`.
    pub skb_len: u32,
    /// `tail`, counted from `head`.
    pub skb_tail: u32,
    /// `end`, counted from `head`.
    pub skb_end: u32,
    /// `network_header`, counted from `head`.
    pub skb_network: u32,
    /// `_skb_refdst`.
    pub skb_dst: u32,
    /// Of `skb_shared_info`: `gso_size`.
    pub gso_size: u32,
    /// `gso_segs`.
    pub gso_segs: u32,
    /// Of `dst_entry`: `dev`.
    pub dst_dev: u32,
    /// Of `net_device`: `ifindex`.
    pub dev_ifindex: u32,
    /// `nd_net`.
    pub dev_net: u32,
    /// Of `net`: `ns.inum`.
    pub net_inum: u32,
    /// The inode of the watched network namespace.
    pub netns: u32,
    /// Number of valid entries in `ranges`.
    pub range_count: u32,
    /// Reasons reported at every watched device.
    pub anywhere: Reasons,
    /// Reasons reported at tunnel devices only.
    pub at_tunnels: Reasons,
    /// Unspecific reasons: reported if code in one of the ranges dropped the packet.
    pub vague: Reasons,
    /// Code ranges.
    pub ranges: [AddressRange; RANGES],
}

impl DropConfig {
    /// Nothing is reported.
    pub const NOTHING: Self = Self {
        skb_dev: 0,
        skb_head: 0,
        skb_data: 0,
        skb_len: 0,
        skb_tail: 0,
        skb_end: 0,
        skb_network: 0,
        skb_dst: 0,
        gso_size: 0,
        gso_segs: 0,
        dst_dev: 0,
        dev_ifindex: 0,
        dev_net: 0,
        net_inum: 0,
        netns: 0,
        range_count: 0,
        anywhere: [0; REASONS / 64],
        at_tunnels: [0; REASONS / 64],
        vague: [0; REASONS / 64],
        ranges: [AddressRange { start: 0, end: 0 }; RANGES],
    };
}

/// Whether a reason is in a set.
#[inline(always)]
#[must_use]
pub const fn has(set: &Reasons, reason: u32) -> bool {
    // Masked for the verifier, which does not track bounds through a shift.
    reason < REASONS as u32 && set[(reason as usize >> 6) & (REASONS / 64 - 1)] >> (reason & 63) & 1 != 0
}

/// The set with one more reason; reasons at or above [`REASONS`] are ignored.
#[must_use]
pub const fn with(mut set: Reasons, reason: u32) -> Reasons {
    if reason < REASONS as u32 {
        set[reason as usize >> 6] |= 1 << (reason & 63);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_contain_the_added_reasons() {
        let set = with(with(with([0; REASONS / 64], 2), 93), 70_000);
        assert!((0..100_000).filter(|reason| has(&set, *reason)).eq([2, 93]));
    }
}
