//! What contains an IP header, and the malformed reasons of the outer and inner layer.

use super::malformed::Malformed;

/// Malformed reasons of an IP header in one layer.
pub(super) struct Reasons {
    pub truncated: Malformed,
    pub version: Malformed,
    pub header_length: Malformed,
    pub total_length: Malformed,
    pub beyond: Malformed,
    pub extension: Malformed,
}

pub(super) const OUTER: Reasons = Reasons {
    truncated: Malformed::TruncatedIp,
    version: Malformed::IpVersion,
    header_length: Malformed::IpHeaderLength,
    total_length: Malformed::IpTotalLength,
    beyond: Malformed::IpLengthBeyondFrame,
    extension: Malformed::TruncatedExtension,
};

pub(super) const INNER: Reasons = Reasons {
    truncated: Malformed::InnerTruncated,
    version: Malformed::InnerVersion,
    header_length: Malformed::InnerHeaderLength,
    total_length: Malformed::InnerHeaderLength,
    beyond: Malformed::InnerLength,
    extension: Malformed::InnerTruncated,
};

/// The space an IP header is read from.
#[derive(Clone, Copy)]
pub(super) struct Carrier {
    /// Bytes from the start of the header to the end of the space.
    pub available: u32,
    /// The space ends at a fragment boundary, so the header may announce more than is available.
    pub cut: bool,
    /// A length of 0 means everything available (BIG TCP).
    pub zero_is_big: bool,
}

/// The kind of payload that a tunnel's headers announce, and its offset.
#[derive(Clone, Copy)]
pub(super) struct Carried {
    /// One of the constants below.
    pub what: u8,
    pub at: u32,
}

impl Carried {
    /// Nothing that can be parsed further.
    pub const NOTHING: Self = Self { what: NOTHING, at: 0 };
}

pub(super) const NOTHING: u8 = 0;
pub(super) const IPV4: u8 = 4;
pub(super) const IPV6: u8 = 6;
pub(super) const ETHERNET: u8 = 1;
pub(super) const NOT_IP: u8 = 2;
