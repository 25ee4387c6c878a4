//! IP addresses as stored in maps.

/// An IPv6 address, or an IPv4 address mapped into `::ffff:0:0/96` (RFC 4291 §2.5.5.2), as four words
/// in network byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct Address(pub [u32; 4]);

const MAPPED: u32 = 0x0000_ffff_u32.to_be();

impl Address {
    /// `::`, no address.
    pub const UNSPECIFIED: Self = Self([0; 4]);

    /// The mapped form of an IPv4 address in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn from_v4_wire(word: u32) -> Self {
        Self([0, 0, MAPPED, word])
    }

    /// The mapped form of an IPv4 address.
    #[must_use]
    pub const fn from_v4(octets: [u8; 4]) -> Self {
        Self::from_v4_wire(u32::from_ne_bytes(octets))
    }

    /// An IPv6 address.
    #[must_use]
    pub const fn from_v6(o: [u8; 16]) -> Self {
        Self([
            u32::from_ne_bytes([o[0], o[1], o[2], o[3]]),
            u32::from_ne_bytes([o[4], o[5], o[6], o[7]]),
            u32::from_ne_bytes([o[8], o[9], o[10], o[11]]),
            u32::from_ne_bytes([o[12], o[13], o[14], o[15]]),
        ])
    }

    /// The IPv4 address, if this is a mapped one.
    #[must_use]
    pub const fn to_v4(self) -> Option<[u8; 4]> {
        match self.0 {
            [0, 0, MAPPED, word] => Some(word.to_ne_bytes()),
            _ => None,
        }
    }

    /// The sixteen octets in network order.
    #[must_use]
    pub const fn octets(self) -> [u8; 16] {
        let [a, b, c, d] = self.0;
        let (a, b, c, d) = (a.to_ne_bytes(), b.to_ne_bytes(), c.to_ne_bytes(), d.to_ne_bytes());
        [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]]
    }

    /// The address with all bits outside the mask cleared.
    #[must_use]
    pub const fn masked(self, mask: &Mask) -> Self {
        Self([self.0[0] & mask.0[0], self.0[1] & mask.0[1], self.0[2] & mask.0[2], self.0[3] & mask.0[3]])
    }
}

/// The mask of a prefix, in the same form as [`Address`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Mask(pub [u32; 4]);

impl Mask {
    /// The mask of the first `length` bits (more than 128 count as 128). For an IPv4 prefix of length n,
    /// use 96 + n.
    #[must_use]
    pub const fn of(length: u8) -> Self {
        let mut words = [0; 4];
        let mut i = 0;
        while i < 4 {
            let bits = (length as u32).saturating_sub(i as u32 * 32);
            let bits = if bits > 32 { 32 } else { bits };
            words[i] = if bits == 0 { 0 } else { (u32::MAX << (32 - bits)).to_be() };
            i += 1;
        }
        Self(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_keep_the_first_bits() {
        let address = Address::from_v4([10, 244, 3, 0x7f]);
        assert_eq!(address.masked(&Mask::of(96 + 26)), Address::from_v4([10, 244, 3, 0x40]));
        assert_eq!(address.masked(&Mask::of(96)), Address::from_v4([0, 0, 0, 0]));
        assert_eq!(address.masked(&Mask::of(128)), address);
        assert_eq!(address.masked(&Mask::of(0)), Address::UNSPECIFIED);
        assert_eq!(address.to_v4(), Some([10, 244, 3, 0x7f]));
        let six = Address::from_v6([0xfd, 0, 0x10, 2, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff]);
        assert_eq!(six.masked(&Mask::of(122)).octets()[15], 0xc0);
        assert_eq!(six.to_v4(), None);
    }
}
