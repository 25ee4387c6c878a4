//! The cost measurement, started and stopped while packets are counted, and its hooks.

use std::collections::BTreeMap;

use aya::Ebpf;

use crate::cost::Cost;
use crate::kernel::attach::Hooks;
use crate::kernel::cost::Meter;
use crate::kernel::error::KernelError;
use crate::kernel::options::{HookPoint, Ingress, Measure, Purpose};
use crate::topology::{Role, Topology};

/// The measurement, if it is on.
#[derive(Default)]
pub(super) struct CostHooks(Option<Meter>);

impl CostHooks {
    /// Starts the measurement, or stops it.
    ///
    /// # Errors
    /// As [`Meter::start`]. Hooks that the kernel refuses are reported with the figures.
    pub(super) async fn set(
        &mut self,
        measure: Option<Measure>,
        hooks: &mut Hooks,
        topology: &Topology,
    ) -> Result<(), KernelError> {
        match measure {
            None => {
                detach(hooks, |_| true);
                self.0 = None;
            }
            Some(measure) if self.0.is_none() => {
                self.0 = Some(Meter::start(measure, topology)?);
                self.attach(hooks, topology).await;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Stops the measurement; the owner detaches the hooks.
    pub(super) fn stop(&mut self) {
        self.0 = None;
    }

    /// Makes the measurement's tables and hooks match the topology.
    pub(super) async fn follow(&mut self, hooks: &mut Hooks, topology: &Topology) -> Result<(), KernelError> {
        let result = self.0.as_mut().map_or(Ok(()), |meter| meter.follow(topology));
        self.attach(hooks, topology).await;
        result
    }

    /// Attaches round-trip hooks at every underlay and tunnel device, and detaches others.
    async fn attach(&mut self, hooks: &mut Hooks, topology: &Topology) {
        let Some(meter) = self.0.as_mut().filter(|meter| meter.times_segments()) else { return };
        let points = points(topology);
        detach(hooks, |point| !points.contains_key(point));
        let mut refused = Vec::new();
        for (point, mtu) in points {
            if hooks.points(Purpose::Cost).any(|hooked| *hooked == point) {
                continue;
            }
            let ebpf = meter.ebpf_mut();
            if let Err(error) = hooks.attach(ebpf, Purpose::Cost, &point, Ingress::Tc, mtu).await {
                log::debug!("{error}");
                refused.push(error);
            }
        }
        meter.cannot_hook(&refused);
    }

    /// Re-attaches lost hooks.
    pub(super) async fn verify(&mut self, hooks: &mut Hooks, topology: &Topology) {
        let Some(meter) = &mut self.0 else { return };
        for point in hooks.points(Purpose::Cost).cloned().collect::<Vec<_>>() {
            match hooks.verify(meter.ebpf_mut(), Purpose::Cost, &point).await {
                Ok(true) => {}
                Ok(false) => {
                    log::warn!("lost the cost hook on {} {}", point.device, point.direction.label());
                    hooks.detach(Purpose::Cost, &point);
                }
                // The query failed, which does not mean that the hook is lost.
                Err(error) => log::debug!("{error}"),
            }
        }
        self.attach(hooks, topology).await;
    }

    /// The measurement's programs.
    pub(super) fn ebpf(&self) -> Option<&Ebpf> {
        self.0.as_ref().map(Meter::ebpf)
    }

    /// What was measured so far; `None` if the measurement is off.
    pub(super) fn read(&self) -> Result<Option<Cost>, KernelError> {
        self.0.as_ref().map(Meter::read).transpose()
    }
}

fn detach(hooks: &mut Hooks, which: impl Fn(&HookPoint) -> bool) {
    let gone: Vec<HookPoint> = hooks.points(Purpose::Cost).filter(|point| which(point)).cloned().collect();
    gone.iter().for_each(|point| hooks.detach(Purpose::Cost, point));
}

/// Where segments are timed, and the MTU there.
fn points(topology: &Topology) -> BTreeMap<HookPoint, u32> {
    let measured = topology.watched.iter().filter(|w| matches!(w.role, Role::Underlay | Role::Tunnel));
    measured.flat_map(|w| HookPoint::both(&w.device).map(|point| (point, w.device.mtu))).collect()
}
