//! What to load, attach and measure.

use std::path::PathBuf;

use observer_common::abi::{DEFAULT_BLOCKS, DEFAULT_PATHS, DEFAULT_PEERS, DEFAULT_SLOTS};
use observer_common::kind::Direction;
use serde::{Deserialize, Serialize};

use super::names::entry;
use crate::topology::{Choice, Device};

/// Size of the trace ring buffer while nothing is traced: one page.
const DEFAULT_TRACE: u32 = 4_096;

/// What to attach to, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Devices, peers and pod networks.
    pub choice: Choice,
    /// Where to count the ingress of underlay devices.
    pub ingress: Ingress,
    /// Capacities of the maps.
    pub capacities: Capacities,
    /// Directory on a BPF file system in which the maps outlive the process.
    pub pins: Option<PathBuf>,
    /// Which programs to attach.
    pub purpose: Purpose,
    /// Whether to measure what encapsulation costs.
    pub cost: Option<Measure>,
}

/// Capacities of the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacities {
    /// Devices, including removed ones.
    pub slots: u32,
    /// Paths.
    pub paths: u32,
    /// Peer nodes.
    pub peers: u32,
    /// Pod blocks.
    pub blocks: u32,
    /// Bytes of the trace ring buffer: a power of two of pages.
    pub trace: u32,
    /// Buffers for traced packets that include payload: one per CPU, or 1 if unused.
    pub longer: u32,
}

impl Default for Capacities {
    fn default() -> Self {
        Self {
            slots: DEFAULT_SLOTS,
            paths: DEFAULT_PATHS,
            peers: DEFAULT_PEERS,
            blocks: DEFAULT_BLOCKS,
            trace: DEFAULT_TRACE,
            longer: 1,
        }
    }
}

/// Where the ingress of an underlay device is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ingress {
    /// At TC, as all other traffic.
    #[default]
    Tc,
    /// At XDP.
    Xdp,
}

/// What a hook is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Count every packet.
    #[default]
    Count,
    /// Report single packets without counting.
    Trace,
    /// Time round trips, in addition to either.
    Cost,
}

impl Purpose {
    pub(super) const fn program(self, direction: Direction) -> &'static str {
        match (self, direction) {
            (Self::Count, Direction::Ingress) => entry::INGRESS,
            (Self::Count, Direction::Egress) => entry::EGRESS,
            (Self::Trace, Direction::Ingress) => entry::TRACE_INGRESS,
            (Self::Trace, Direction::Egress) => entry::TRACE_EGRESS,
            (Self::Cost, Direction::Ingress) => entry::COST_INGRESS,
            (Self::Cost, Direction::Egress) => entry::COST_EGRESS,
        }
    }

    /// Major part of the handle on `clsact`: differs from automatic handles and between filters on one hook.
    pub(super) const fn handle(self) -> u16 {
        match self {
            Self::Count | Self::Trace => 0x0b5e,
            Self::Cost => 0x0b5f,
        }
    }
}

/// A direction of a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HookPoint {
    /// The device's name.
    pub device: String,
    /// Its interface index.
    pub ifindex: u32,
    /// The direction.
    pub direction: Direction,
}

impl HookPoint {
    /// Both directions of a device.
    #[must_use]
    pub fn both(device: &Device) -> [Self; 2] {
        Direction::ALL.map(|direction| Self {
            device: device.name.clone(),
            ifindex: device.ifindex,
            direction,
        })
    }
}

/// How much of the cost to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Measure 1/N of the time.
    pub sample: u32,
    /// Time round trips at the hooks too, with two more programs per packet.
    pub hooks: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_and_direction_has_its_own_program() {
        let purposes = [Purpose::Count, Purpose::Trace, Purpose::Cost].into_iter();
        let names: std::collections::BTreeSet<_> =
            purposes.flat_map(|purpose| Direction::ALL.map(|direction| purpose.program(direction))).collect();
        assert_eq!(names.len(), 6);
        assert_eq!(Purpose::Count.program(Direction::Ingress), entry::INGRESS);
    }
}
