//! A single frame.

use observer_common::account::Observation;
use observer_common::kind::{Class, Direction};
use observer_common::packet::{Malformed, Position};

use crate::header::{Header, Signal};

/// One frame.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its number in the file, from 1.
    pub frame: u64,
    /// The file.
    pub file: String,
    /// File and interface.
    pub device: String,
    /// Direction, if the file records it.
    pub direction: Option<Direction>,
    /// Its class.
    pub class: Class,
    /// Bytes of the frame.
    pub wire_bytes: u64,
    /// Bytes from the outer IP header on.
    pub l3_bytes: u64,
    /// L3 bytes of the innermost packet.
    pub inner_bytes: u64,
    /// VNI.
    pub vni: Option<u32>,
    /// The outer IP header.
    pub outer: Option<Header>,
    /// The inner IP header.
    pub inner: Option<Header>,
    /// Why it is malformed.
    pub malformed: Malformed,
    /// It exceeds the MTU of [`super::Options`].
    pub oversized: bool,
    /// The inner packet is itself a tunnel packet.
    pub nested: bool,
    /// The PTB message in it.
    pub ptb: Option<Signal>,
}

impl Event {
    /// Whether it is a fragment, oversized, malformed or a PTB message.
    #[must_use]
    pub fn is_notable(&self) -> bool {
        let fragment =
            |layer: &Option<Header>| layer.as_ref().is_some_and(|layer| layer.position != Position::Whole);
        fragment(&self.outer)
            || fragment(&self.inner)
            || self.oversized
            || self.ptb.is_some()
            || self.malformed != Malformed::None
    }
}

/// Whether a frame may be notable: a quick check before an event is created.
#[inline]
pub(super) fn may_be_notable(seen: &Observation) -> bool {
    seen.parsed.outer.position != Position::Whole
        || seen.parsed.inner.position != Position::Whole
        || seen.verdict.oversized != 0
        || seen.verdict.malformed != 0
        || seen.parsed.ptb_at != 0
}
