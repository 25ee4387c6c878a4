//! The measurement of the cost, begun and ended while counting goes on, and its hooks.

use std::collections::BTreeMap;

use observer_common::kind::Direction;

use super::super::attach::{HookPoint, Ingress, Purpose};
use super::super::cost::{Measure, Meter};
use super::super::error::KernelError;
use super::{COST, Live};
use crate::topology::{Role, Topology};

impl Live {
    /// Measures from now on what encapsulation costs, or ends that.
    ///
    /// # Errors
    /// As [`Meter::start`]. Hooks that the kernel refuses are told of with the figures.
    pub async fn measure_cost(&mut self, measure: Option<Measure>) -> Result<(), KernelError> {
        match measure {
            None => {
                let places: Vec<HookPoint> = self.hooks.places(Purpose::Cost).cloned().collect();
                places.iter().for_each(|place| self.hooks.detach(Purpose::Cost, place));
                self.meter = None;
                self.errors.remove(COST);
            }
            Some(measure) if self.meter.is_none() => {
                self.meter = Some(Meter::start(measure, &self.registry.topology)?);
                self.hook_cost().await;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Has round trips timed at every place where they should be, and nowhere else.
    pub(super) async fn hook_cost(&mut self) {
        let Some(meter) = self.meter.as_mut().filter(|meter| meter.times_segments()) else { return };
        let wanted = places(&self.registry.topology);
        let gone = self.hooks.places(Purpose::Cost).filter(|place| !wanted.contains_key(place));
        for place in gone.cloned().collect::<Vec<_>>() {
            self.hooks.detach(Purpose::Cost, &place);
        }
        let mut refused = Vec::new();
        for (place, mtu) in wanted {
            if self.hooks.places(Purpose::Cost).any(|hooked| *hooked == place) {
                continue;
            }
            let ebpf = meter.ebpf_mut();
            if let Err(error) = self.hooks.attach(ebpf, Purpose::Cost, &place, Ingress::Tc, mtu).await {
                log::debug!("{error}");
                refused.push((place, error));
            }
        }
        meter.cannot_hook(&refused);
    }

    /// Looks at its hooks, and attaches lost ones again.
    pub(super) async fn verify_cost(&mut self) {
        let Some(meter) = &mut self.meter else { return };
        for place in self.hooks.places(Purpose::Cost).cloned().collect::<Vec<_>>() {
            match self.hooks.verify(meter.ebpf_mut(), Purpose::Cost, &place).await {
                Ok(true) => {}
                Ok(false) => {
                    log::warn!("lost the cost's hook on {} {}", place.device, place.direction.label());
                    self.hooks.detach(Purpose::Cost, &place);
                }
                // It could not be asked: that says nothing of the hook.
                Err(error) => log::debug!("{error}"),
            }
        }
        self.hook_cost().await;
    }
}

/// Where segments are timed, and the MTU there.
fn places(topology: &Topology) -> BTreeMap<HookPoint, u32> {
    let measured = topology.watched.iter().filter(|w| matches!(w.role, Role::Underlay | Role::Tunnel));
    measured
        .flat_map(|watched| {
            let device = &watched.device;
            Direction::ALL.map(|direction| {
                (HookPoint { device: device.name.clone(), ifindex: device.ifindex, direction }, device.mtu)
            })
        })
        .collect()
}
