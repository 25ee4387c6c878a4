//! The device, direction and node at which a frame was observed.

use crate::abi::{Config, DeviceFacts};
use crate::kind::Direction;

/// The point at which a frame was observed.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The device.
    pub device: &'a DeviceFacts,
    /// The direction.
    pub direction: Direction,
    /// The node's configuration.
    pub config: &'a Config,
}

impl Site<'_> {
    /// One of [`crate::abi::link`], for this direction.
    #[inline(always)]
    #[must_use]
    pub const fn link(&self) -> u8 {
        match self.direction {
            Direction::Ingress => self.device.ingress_link,
            Direction::Egress => self.device.egress_link,
        }
    }

    /// Whether the node uses this VNI.
    #[inline(always)]
    pub(super) fn own_vni(&self, vni: u32) -> bool {
        for own in self.config.vnis {
            if own == 0 {
                break;
            }
            if own == vni {
                return true;
            }
        }
        false
    }
}
