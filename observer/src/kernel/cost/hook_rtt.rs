//! Round trips timed at the hooks: device facts for the programs, and their results.

use std::collections::BTreeMap;
use std::time::Duration;

use aya::maps::Array;
use observer_common::hook_rtt::{RttDevice, RttStats};

use super::Meter;
use super::object::{map, read_only};
use crate::cost::HookRttPath;
use crate::kernel::error::KernelError;
use crate::kernel::facts::links;
use crate::kernel::load::classifier;
use crate::kernel::maps::{Shared, device_place, failed};
use crate::kernel::names::entry;
use crate::topology::Topology;

/// What is unknown if this fails.
const UNKNOWN: &str = "round trips at the hooks";

/// The devices with round-trip hooks.
#[derive(Debug, Default)]
pub(super) struct HookRtt {
    /// Index in the device table by interface.
    places: BTreeMap<u32, u32>,
    /// The kernel accepted the programs.
    loaded: bool,
    /// Hooks that the kernel refuses now, as a sentence.
    refused: Option<String>,
}

impl Meter {
    /// Loads the hooks' programs.
    pub(super) fn load_hook_rtt(&mut self) {
        let refused = [entry::COST_INGRESS, entry::COST_EGRESS]
            .into_iter()
            .find_map(|name| classifier(&mut self.ebpf, name).err());
        self.hook_rtt.loaded = refused.is_none();
        if let Some(error) = refused {
            self.note(format!("{UNKNOWN}: {error}"));
        }
    }

    /// Whether the hooks' programs are loaded.
    pub(in crate::kernel) const fn times_segments(&self) -> bool {
        self.hook_rtt.loaded
    }

    /// Sets the hooks that are refused now, for reports with the figures.
    pub(in crate::kernel) fn cannot_hook(&mut self, refused: &[KernelError]) {
        self.hook_rtt.refused = refused.first().map(|error| match refused.len() {
            1 => format!("{UNKNOWN}: {error}"),
            more => format!("{UNKNOWN}: {error} (and {} more)", more - 1),
        });
    }

    /// What is not measured, permanently or now.
    pub(super) fn missing(&self) -> Vec<String> {
        self.missing.iter().chain(&self.hook_rtt.refused).cloned().collect()
    }

    /// Writes the devices for the programs, if these are loaded.
    pub(super) fn follow_devices(&mut self, topology: &Topology) -> Result<(), KernelError> {
        if !self.times_segments() {
            return Ok(());
        }
        let devices = map(&mut self.ebpf, "RTT_DEVICES")?;
        let mut devices =
            Array::<_, Shared<RttDevice>>::try_from(devices).map_err(failed("open", "RTT_DEVICES"))?;
        let present = |ifindex: &u32| topology.watched.iter().any(|w| w.device.ifindex == *ifindex);
        self.hook_rtt.places.retain(|ifindex, place| {
            present(ifindex) || devices.set(*place, Shared(RttDevice::default()), 0).is_err()
        });
        for watched in &topology.watched {
            let ifindex = watched.device.ifindex;
            let place = device_place(&self.hook_rtt.places, ifindex)?;
            let [ingress_link, egress_link] = links(watched);
            let device = RttDevice { ifindex, ingress_link, egress_link, reserved: 0 };
            devices.set(place, Shared(device), 0).map_err(failed("write", "RTT_DEVICES"))?;
            self.hook_rtt.places.insert(ifindex, place);
        }
        Ok(())
    }

    /// Round trips by path, for all known paths.
    pub(super) fn hook_rtt(&self) -> Result<Vec<HookRttPath>, KernelError> {
        let map = read_only(&self.ebpf, "RTT_PATHS")?;
        let map = Array::<_, Shared<RttStats>>::try_from(map).map_err(failed("open", "RTT_PATHS"))?;
        let mut paths = Vec::new();
        for (place, (peer, class)) in (0..).zip(&self.places) {
            let Shared(stats) = map.get(&place, 0).map_err(failed("read", "RTT_PATHS"))?;
            paths.push(HookRttPath {
                peer: *peer,
                class: *class,
                samples: stats.samples,
                sum: Duration::from_micros(stats.sum),
                buckets: stats.buckets.to_vec(),
            });
        }
        Ok(paths)
    }
}
