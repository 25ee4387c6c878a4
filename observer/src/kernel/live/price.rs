//! The measurement of the price, begun and ended while counting goes on, and its hooks.

use std::collections::BTreeMap;

use observer_common::kind::Direction;

use super::super::attach::{Ingress, Place, Purpose};
use super::super::error::KernelError;
use super::super::price::{Measure, Meter};
use super::{Live, PRICE};
use crate::topology::{Role, Topology};

impl Live {
    /// Measures from now on what encapsulation costs, or ends that.
    ///
    /// # Errors
    /// As [`Meter::start`]. Hooks that the kernel refuses are told of with the figures.
    pub async fn measure_price(&mut self, measure: Option<Measure>) -> Result<(), KernelError> {
        match measure {
            None => {
                let places: Vec<Place> = self.hooks.places(Purpose::Price).cloned().collect();
                places.iter().for_each(|place| self.hooks.detach(Purpose::Price, place));
                self.meter = None;
                self.troubles.remove(PRICE);
            }
            Some(measure) if self.meter.is_none() => {
                self.meter = Some(Meter::start(measure, &self.books.topology)?);
                self.hook_price().await;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Has round trips timed at every place where they should be, and nowhere else.
    pub(super) async fn hook_price(&mut self) {
        let Some(meter) = self.meter.as_mut().filter(|meter| meter.times_segments()) else { return };
        let wanted = places(&self.books.topology);
        let gone = self.hooks.places(Purpose::Price).filter(|place| !wanted.contains_key(place));
        for place in gone.cloned().collect::<Vec<_>>() {
            self.hooks.detach(Purpose::Price, &place);
        }
        let mut refused = Vec::new();
        for (place, mtu) in wanted {
            if self.hooks.places(Purpose::Price).any(|hooked| *hooked == place) {
                continue;
            }
            let ebpf = meter.ebpf_mut();
            if let Err(error) = self.hooks.attach(ebpf, Purpose::Price, &place, Ingress::Tc, mtu).await {
                log::debug!("{error}");
                refused.push((place, error));
            }
        }
        meter.cannot_hook(&refused);
    }

    /// Looks at its hooks, and attaches lost ones again.
    pub(super) async fn verify_price(&mut self) {
        let Some(meter) = &mut self.meter else { return };
        for place in self.hooks.places(Purpose::Price).cloned().collect::<Vec<_>>() {
            match self.hooks.verify(meter.ebpf_mut(), Purpose::Price, &place).await {
                Ok(true) => {}
                Ok(false) => {
                    log::warn!("lost the price's hook on {} {}", place.device, place.direction.label());
                    self.hooks.detach(Purpose::Price, &place);
                }
                // It could not be asked: that says nothing of the hook.
                Err(error) => log::debug!("{error}"),
            }
        }
        self.hook_price().await;
    }
}

/// Where segments are timed, and the MTU there.
fn places(topology: &Topology) -> BTreeMap<Place, u32> {
    let measured = topology.watched.iter().filter(|w| matches!(w.role, Role::Underlay | Role::Tunnel));
    measured
        .flat_map(|watched| {
            let device = &watched.device;
            Direction::ALL.map(|direction| {
                (Place { device: device.name.clone(), ifindex: device.ifindex, direction }, device.mtu)
            })
        })
        .collect()
}
