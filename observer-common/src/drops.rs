//! What the kernel's drops are judged by: which reasons, at which places, and where the fields of the
//! kernel's structs stand. User space fills it from the running kernel's own type information and symbols.

/// Reasons that are told apart: numbers below. Those of subsystems have higher ones, and are none of ours.
pub const REASONS: usize = 256;
/// Stretches of the kernel's code, at most.
pub const PLACES: usize = 64;

/// `SKB_DST_NOREF`: the lowest bit of a buffer's route says who owns it.
pub const NOREF: u64 = 1;

/// A stretch of the kernel's code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AddressRange {
    /// Its first address.
    pub start: u64,
    /// The first behind it.
    pub end: u64,
}

/// A set of reasons.
pub type Reasons = [u64; REASONS / 64];

/// What the program at `kfree_skb` must know. Offsets in bytes.
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
    /// How many of the places are given.
    pub places: u32,
    /// Reasons that are told of at every watched device.
    pub anywhere: Reasons,
    /// Reasons that are told of at tunnel devices.
    pub at_tunnels: Reasons,
    /// Reasons that say nothing: told of where one of the places dropped the packet.
    pub vague: Reasons,
    /// The places.
    pub place: [AddressRange; PLACES],
}

impl DropConfig {
    /// Nothing is told of.
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
        places: 0,
        anywhere: [0; REASONS / 64],
        at_tunnels: [0; REASONS / 64],
        vague: [0; REASONS / 64],
        place: [AddressRange { start: 0, end: 0 }; PLACES],
    };
}

/// Whether a reason is in a set.
#[inline(always)]
#[must_use]
pub const fn has(set: &Reasons, reason: u32) -> bool {
    // Masked for the verifier, which follows no comparison through a shift.
    reason < REASONS as u32 && set[(reason as usize >> 6) & (REASONS / 64 - 1)] >> (reason & 63) & 1 != 0
}

/// The same set with a reason more; numbers that do not fit are left out.
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
    fn sets_hold_what_was_put_in() {
        let set = with(with(with([0; REASONS / 64], 2), 93), 70_000);
        assert!((0..100_000).filter(|reason| has(&set, *reason)).eq([2, 93]));
    }
}
