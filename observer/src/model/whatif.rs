//! Which packets would no longer fit, derived from the histogram of packet sizes. Pure.
//!
//! The result is exact if the limit is a bound of the histogram, which is the case for common MTUs with and without
//! the overhead of tunnels. Otherwise it is a range.

use observer_common::kind::Class;

/// Number of packets that exceed a limit, exact or as a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// `least` and `most` are the same number.
    pub exact: bool,
    /// Lower bound.
    pub least: u64,
    /// Upper bound.
    pub most: u64,
    /// All packets.
    pub packets: u64,
}

impl Share {
    /// The range that covers both.
    #[must_use]
    pub fn either(self, other: Self) -> Self {
        Self::between(self.least.min(other.least), self.most.max(other.most), self.packets)
    }

    const fn between(least: u64, most: u64, packets: u64) -> Self {
        Self { exact: least == most, least, most, packets }
    }

    /// Both bounds as ratios of all packets; `None` if there were none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
    pub fn ratios(&self) -> Option<(f64, f64)> {
        let of = |count: u64| count as f64 / self.packets as f64;
        (self.packets != 0).then(|| (of(self.least), of(self.most)))
    }

    /// The sum with another row.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self::between(self.least + other.least, self.most + other.most, self.packets + other.packets)
    }
}

/// Number of packets larger than `limit` bytes. `bounds` are the inclusive upper bounds of the classes in ascending
/// order, `sizes` the packets by class; the last class is above all bounds.
#[must_use]
pub fn share_above(bounds: &[u32], sizes: &[u64], limit: u32) -> Share {
    let packets = sizes.iter().sum();
    if limit == 0 {
        return Share::between(packets, packets, packets);
    }
    // The class that contains `limit`: smaller classes fit, larger ones do not.
    let class = bounds.partition_point(|bound| *bound < limit);
    let above = sizes.iter().skip(class + 1).sum();
    let within = match bounds.get(class) {
        Some(bound) if *bound == limit => 0,
        _ => sizes.get(class).copied().unwrap_or(0),
    };
    Share::between(above, above + within, packets)
}

/// A way to carry packets: an encapsulation and the family of the nodes' addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carriage {
    /// The encapsulation; [`Class::None`] for none.
    pub class: Class,
    /// The outer header is IPv6.
    pub over_ipv6: bool,
}

/// WireGuard pads packets to a multiple of this many bytes, but never beyond its device's MTU.
const WIREGUARD_PADDING: u32 = 16;

impl Carriage {
    /// Over IPv4.
    #[must_use]
    pub const fn over_ipv4(class: Class) -> Self {
        Self { class, over_ipv6: false }
    }

    /// Over IPv6.
    #[must_use]
    pub const fn over_ipv6(class: Class) -> Self {
        Self { class, over_ipv6: true }
    }

    /// Bytes that it adds to a packet, without options, keys or inner VLAN tags; `None` if it does not carry packets,
    /// or not over that family.
    #[must_use]
    pub const fn overhead(self) -> Option<u32> {
        Some(match (self.class, self.over_ipv6) {
            (Class::None, _) => 0,
            (Class::Ipip | Class::Ip6In4, false) => 20,
            (Class::Gre, false) => 24,
            (Class::Ip4In6 | Class::Ip6In6, true) => 40,
            (Class::Gre, true) => 44,
            // With the inner Ethernet header.
            (Class::Vxlan | Class::Geneve, false) => 50,
            (Class::Wireguard, false) => 60,
            (Class::Vxlan | Class::Geneve, true) => 70,
            (Class::Wireguard, true) => 80,
            _ => return None,
        })
    }
}

/// Number of packets currently carried as `now` that would not fit into `mtu` bytes if carried as `planned`; `None` if
/// one of the two does not carry packets.
///
/// `bounds` and `sizes` are the histogram of their L3 sizes on an underlay, as in [`share_above`].
#[must_use]
pub fn would_not_fit(
    bounds: &[u32],
    sizes: &[u64],
    now: Carriage,
    mtu: u32,
    planned: Carriage,
) -> Option<Share> {
    let (around, overhead) = (now.overhead()?, planned.overhead()?);
    let Some(room) = mtu.checked_sub(overhead).filter(|room| *room != 0) else {
        return Some(share_above(bounds, sizes, 0));
    };
    let limit = room.saturating_add(around);
    let above = share_above(bounds, sizes, limit);
    if now.class != Class::Wireguard {
        return Some(above);
    }
    // The size of the padding is unknown.
    let surely = share_above(bounds, sizes, limit.saturating_add(WIREGUARD_PADDING - 1));
    Some(Share::between(surely.least, above.most, above.packets))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [u32; 19] = [
        64, 128, 256, 512, 1024, 1280, 1400, 1420, 1430, 1440, 1450, 1460, 1480, 1500, 2048, 4096, 8950,
        8981, 9000,
    ];
    const NATIVE: Carriage = Carriage::over_ipv4(Class::None);

    /// Sizes of packets, from a fixed seed: some anywhere, more around the bounds.
    fn packets() -> Vec<u32> {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = || {
            // xorshift64 (Marsaglia 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as u32
        };
        (0..20_000)
            .map(
                |i| {
                    if i % 2 == 0 {
                        20 + next() % 9_100
                    } else {
                        BOUNDS[next() as usize % 19] - 1 + next() % 3
                    }
                },
            )
            .collect()
    }

    fn histogram(packets: &[u32]) -> [u64; 32] {
        let mut sizes = [0; 32];
        for packet in packets {
            sizes[BOUNDS.iter().filter(|bound| **bound < *packet).count()] += 1;
        }
        sizes
    }

    fn count(packets: &[u32], limit: u32) -> u64 {
        packets.iter().filter(|packet| **packet > limit).count() as u64
    }

    #[test]
    fn bounds_are_exact_and_other_limits_contain_the_truth() {
        let packets = packets();
        let sizes = histogram(&packets);
        for limit in 0..9_300 {
            let (share, truth) = (share_above(&BOUNDS, &sizes, limit), count(&packets, limit));
            assert_eq!(share.packets, 20_000);
            assert!(share.least <= truth && truth <= share.most, "{limit}: {truth}, {share:?}");
            assert_eq!(share.exact, share.least == share.most, "{limit}");
            if BOUNDS.contains(&limit) || limit == 0 {
                assert!(share.exact && share.least == truth, "{limit}: {truth}, {share:?}");
            }
        }
    }

    #[test]
    fn a_limit_between_two_bounds_gives_a_range() {
        let mut sizes = [0; 32];
        // 1461 to 1480 bytes, 1481 to 1500, more than 9000.
        (sizes[12], sizes[13], sizes[19]) = (5, 7, 2);
        let share = |limit| share_above(&BOUNDS, &sizes, limit);
        assert_eq!(share(1460), Share { exact: true, least: 14, most: 14, packets: 14 });
        assert_eq!(share(1476), Share { exact: false, least: 9, most: 14, packets: 14 });
        assert_eq!(share(1480), Share { exact: true, least: 9, most: 9, packets: 14 });
        assert_eq!(share(9000), Share { exact: true, least: 2, most: 2, packets: 14 });
        assert_eq!(share(9100), Share { exact: false, least: 0, most: 2, packets: 14 });
        // No packet lies in the class of the limit.
        assert_eq!(share(1300), Share { exact: true, least: 14, most: 14, packets: 14 });
        assert_eq!(share(1476).ratios(), Some((9.0 / 14.0, 1.0)));
        assert_eq!(share_above(&BOUNDS, &[0; 32], 1500).ratios(), None);
        assert_eq!(share_above(&[], &[3], 1500), Share { exact: false, least: 0, most: 3, packets: 3 });
        assert_eq!(share_above(&[], &[], 1500), Share { exact: true, ..Share::default() });
    }

    #[test]
    fn calicos_encapsulations_are_exact_at_common_mtus() {
        let packets = packets();
        let sizes = histogram(&packets);
        for (mtu, planned, room) in [
            (1500, Carriage::over_ipv4(Class::Ipip), 1480),
            (1500, Carriage::over_ipv4(Class::Vxlan), 1450),
            (1500, Carriage::over_ipv6(Class::Vxlan), 1430),
            (1500, Carriage::over_ipv4(Class::Geneve), 1450),
            (1500, Carriage::over_ipv6(Class::Geneve), 1430),
            (1500, Carriage::over_ipv4(Class::Wireguard), 1440),
            (1500, Carriage::over_ipv6(Class::Wireguard), 1420),
            (1500, NATIVE, 1500),
            (1480, Carriage::over_ipv4(Class::Ipip), 1460),
            (9000, Carriage::over_ipv4(Class::Vxlan), 8950),
            (9001, Carriage::over_ipv4(Class::Ipip), 8981),
        ] {
            let share = would_not_fit(&BOUNDS, &sizes, NATIVE, mtu, planned).expect("it carries packets");
            let truth = count(&packets, room);
            assert_eq!(
                share,
                Share { exact: true, least: truth, most: truth, packets: 20_000 },
                "{planned:?}"
            );
        }
        let gre = would_not_fit(&BOUNDS, &sizes, NATIVE, 1500, Carriage::over_ipv4(Class::Gre)).expect("gre");
        assert!(!gre.exact && gre.least <= count(&packets, 1476) && count(&packets, 1476) <= gre.most);
    }

    #[test]
    fn current_tunnel_headers_are_subtracted() {
        let inner: Vec<u32> = packets().iter().map(|packet| packet.saturating_sub(50).max(20)).collect();
        let outer: Vec<u32> = inner.iter().map(|packet| packet + 50).collect();
        let vxlan = Carriage::over_ipv4(Class::Vxlan);
        let fits =
            |mtu, planned| would_not_fit(&BOUNDS, &histogram(&outer), vxlan, mtu, planned).expect("both");
        // The same way: what is larger than the MTU now.
        assert_eq!(fits(1450, vxlan).least, count(&outer, 1450));
        // 1480 inside: 1530 now, which is not a bound.
        let ipip = fits(1500, Carriage::over_ipv4(Class::Ipip));
        assert!(!ipip.exact && ipip.least <= count(&inner, 1480) && count(&inner, 1480) <= ipip.most);
        // 1430 inside: 1480 now.
        let ipip = fits(1450, Carriage::over_ipv4(Class::Ipip));
        assert_eq!((ipip.exact, ipip.least), (true, count(&inner, 1430)));
    }

    #[test]
    fn wireguard_padding_gives_a_range() {
        let mut sizes = [0; 32];
        // 1461 to 1480, 1481 to 1500, 1501 to 2048 bytes.
        (sizes[12], sizes[13], sizes[14]) = (5, 7, 3);
        let now = Carriage::over_ipv4(Class::Wireguard);
        // 1420 inside: 1480 to 1495 outside.
        let share = would_not_fit(&BOUNDS, &sizes, now, 1420, NATIVE);
        assert_eq!(share, Some(Share { exact: false, least: 3, most: 10, packets: 15 }));
    }

    #[test]
    fn an_mtu_below_the_overhead_fits_nothing_and_non_ip_has_no_result() {
        let sizes = [4; 32];
        let vxlan = Carriage::over_ipv4(Class::Vxlan);
        let all = Some(Share { exact: true, least: 128, most: 128, packets: 128 });
        assert_eq!(would_not_fit(&BOUNDS, &sizes, NATIVE, 50, vxlan), all);
        assert_eq!(would_not_fit(&BOUNDS, &sizes, NATIVE, 0, vxlan), all);
        assert_eq!(would_not_fit(&BOUNDS, &sizes, NATIVE, 1500, Carriage::over_ipv6(Class::Ipip)), None);
        assert_eq!(would_not_fit(&BOUNDS, &sizes, Carriage::over_ipv4(Class::NonIp), 1500, vxlan), None);
        let (a, b) = (Share::between(1, 2, 10), Share::between(3, 3, 5));
        assert_eq!(a.and(b), Share { exact: false, least: 4, most: 5, packets: 15 });
    }

    #[test]
    fn the_range_of_two_families_covers_both() {
        let (ipv4, ipv6) = (Share::between(3, 3, 10), Share::between(1, 5, 10));
        assert_eq!(ipv4.either(ipv6).ratios(), Share::between(1, 5, 10).ratios());
        assert!(!ipv4.either(Share::between(4, 4, 10)).exact);
        assert!(ipv4.either(ipv4).exact);
    }
}
