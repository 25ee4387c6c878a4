//! What carries an IP header, and what that can be wrong in, by layer.

use super::Malformed;

/// What a header can be wrong in.
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

/// What carries the header that is to be read.
#[derive(Clone, Copy)]
pub(super) struct Carrier {
    /// Bytes from the header's start to the end of what carries it.
    pub available: u32,
    /// What carries it was cut off by fragmentation, so the header may promise more than is there.
    pub cut: bool,
    /// A length of 0 stands for all that is available (BIG TCP).
    pub zero_is_big: bool,
}

/// What a tunnel's headers announce, and where it starts.
#[derive(Clone, Copy)]
pub(super) struct Carried {
    /// One of the constants.
    pub what: u8,
    pub at: u32,
}

impl Carried {
    /// Nothing that could be read on.
    pub const NOTHING: Self = Self { what: NOTHING, at: 0 };
}

pub(super) const NOTHING: u8 = 0;
pub(super) const IPV4: u8 = 4;
pub(super) const IPV6: u8 = 6;
pub(super) const ETHERNET: u8 = 1;
pub(super) const NOT_IP: u8 = 2;
