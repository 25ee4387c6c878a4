//! Properties of a frame that are not in its bytes.

/// Properties of a frame that are not in its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Length of the skb, or of the original frame in a capture, from the byte that offsets are relative
    /// to.
    pub length: u32,
    /// Segments, at least 1; 0 if only `gso_size` is known.
    pub gso_segs: u32,
    /// Payload bytes per segment; 0 for a single packet.
    pub gso_size: u32,
    /// An accelerated VLAN tag: not in the data, but 4 bytes on the wire.
    pub tag_beside: bool,
    /// A length field of 0 means the length of the frame (BIG TCP super-packets).
    pub zero_length_is_big: bool,
}

impl Frame {
    /// Bytes of a VLAN tag.
    const TAG: u32 = 4;

    /// Link-layer bytes, including an accelerated VLAN tag.
    #[inline(always)]
    #[must_use]
    pub const fn wire(&self) -> u32 {
        self.length + self.tag()
    }

    /// Bytes of the accelerated VLAN tag.
    #[inline(always)]
    #[must_use]
    pub const fn tag(&self) -> u32 {
        if self.tag_beside { Self::TAG } else { 0 }
    }
}
