//! Reads the measurements.

use std::time::Duration;

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray, PerCpuHashMap};
use observer_common::cost::{
    CpuState, Discarded as RawDiscarded, DropKey, OffloadStats, SpanStats, TcpStats,
};
use observer_common::kind::Direction;

use super::Meter;
use super::object::read_only;
use crate::cost::{Cost, Discarded, Drops, Offload, Softirq, Span, TcpPath};
use crate::kernel::error::KernelError;
use crate::kernel::maps::{Plain, Shared, failed};

impl Meter {
    /// What was measured so far.
    pub fn read(&self) -> Result<Cost, KernelError> {
        let (discarded, softirqs) = self.cpus()?;
        Ok(Cost {
            sample: self.sample,
            measuring: self.started.elapsed(),
            probe: Duration::from_nanos(self.probe),
            spans: self.spans()?,
            discarded,
            softirqs,
            tcp: self.tcp()?,
            drops: self.drops()?,
            missing: self.missing(),
            hook_rtt: if self.times_segments() { self.hook_rtt()? } else { Vec::new() },
        })
    }

    fn spans(&self) -> Result<Vec<Span>, KernelError> {
        let map = per_cpu::<SpanStats>(&self.ebpf, "SPANS")?;
        let offloads = per_cpu::<OffloadStats>(&self.ebpf, "OFFLOADS")?;
        let mut spans = Vec::new();
        for (name, (slot, class)) in &self.slots {
            for direction in Direction::ALL {
                let index = slot * 2 + direction as u32;
                let values = map.get(&index, 0).map_err(failed("read", "SPANS"))?;
                let mut sum = SpanStats::ZERO;
                for Shared(value) in values.iter() {
                    sum.skbs += value.skbs;
                    sum.packets += value.packets;
                    sum.time += value.time;
                    sum.gaps += value.gaps;
                    for (sum, count) in sum.buckets.iter_mut().zip(value.buckets) {
                        *sum += count;
                    }
                }
                let offload = match direction {
                    Direction::Ingress => Offload::default(),
                    Direction::Egress => offload(&offloads, *slot)?,
                };
                let own = (sum.gaps * self.probe).min(sum.time);
                spans.push(Span {
                    device: name.clone(),
                    direction,
                    class: *class,
                    skbs: sum.skbs,
                    packets: sum.packets,
                    time: Duration::from_nanos(sum.time - own),
                    own: Duration::from_nanos(own),
                    offload,
                    buckets: sum.buckets.to_vec(),
                });
            }
        }
        Ok(spans)
    }

    fn cpus(&self) -> Result<(Discarded, Vec<Softirq>), KernelError> {
        let map = per_cpu::<RawDiscarded>(&self.ebpf, "DISCARDED")?;
        let mut discarded = Discarded::default();
        for Shared(value) in map.get(&0, 0).map_err(failed("read", "DISCARDED"))?.iter() {
            discarded.unsent += value.unsent;
            discarded.undelivered += value.undelivered;
            discarded.interrupted += value.interrupted;
            discarded.unreadable += value.unreadable;
            discarded.uncounted += value.uncounted;
        }
        if self.missing.iter().any(|text| text.starts_with("time in softirqs")) {
            return Ok((discarded, Vec::new()));
        }
        let map = per_cpu::<CpuState>(&self.ebpf, "CPU_STATE")?;
        let values = map.get(&0, 0).map_err(failed("read", "CPU_STATE"))?;
        let row = |(cpu, Shared(value)): (u32, &Shared<CpuState>)| Softirq {
            cpu,
            transmit: Duration::from_nanos(value.softirqs[0]),
            receive: Duration::from_nanos(value.softirqs[1]),
        };
        Ok((discarded, (0..).zip(values.iter()).map(row).collect()))
    }

    /// Drops ordered by path, direction and reason.
    fn drops(&self) -> Result<Vec<Drops>, KernelError> {
        let map = read_only(&self.ebpf, "DROPS")?;
        let map = PerCpuHashMap::<_, Shared<DropKey>, u64>::try_from(map).map_err(failed("open", "DROPS"))?;
        let mut drops = Vec::new();
        for row in map.iter() {
            let (Shared(key), counts) = row.map_err(failed("read", "DROPS"))?;
            let Some((peer, class)) = self.places.get(key.path as usize) else { continue };
            let direction = Direction::ALL.into_iter().find(|direction| *direction as u32 == key.direction);
            drops.push(Drops {
                peer: *peer,
                class: *class,
                direction: direction.unwrap_or(Direction::Egress),
                reason: self.reason(key.reason),
                packets: counts.iter().sum(),
            });
        }
        drops.sort_by(|a, b| {
            (a.peer, a.class, a.direction, &a.reason).cmp(&(b.peer, b.class, b.direction, &b.reason))
        });
        Ok(drops)
    }

    /// The name of a reason.
    fn reason(&self, number: u32) -> String {
        match self.reasons.as_ref().map(|reasons| reasons.get(&number)) {
            None => "unknown".to_owned(),
            Some(Some(name)) => name.clone(),
            // A subsystem's reason, named in a separate enum.
            Some(None) => format!("{number:#x}"),
        }
    }

    fn tcp(&self) -> Result<Vec<TcpPath>, KernelError> {
        let map = per_cpu::<TcpStats>(&self.ebpf, "TCP_PATHS")?;
        let mut paths = Vec::new();
        for (place, (peer, class)) in (0..).zip(&self.places) {
            let values = map.get(&place, 0).map_err(failed("read", "TCP_PATHS"))?;
            let mut path = TcpPath {
                peer: *peer,
                class: *class,
                samples: 0,
                sum: Duration::ZERO,
                retransmits: 0,
                buckets: vec![0; TcpStats::ZERO.buckets.len()],
            };
            for Shared(value) in values.iter() {
                path.samples += value.samples;
                path.sum += Duration::from_micros(value.sum);
                path.retransmits += value.retransmits;
                for (sum, count) in path.buckets.iter_mut().zip(value.buckets) {
                    *sum += u64::from(count);
                }
            }
            paths.push(path);
        }
        Ok(paths)
    }
}

type PerCpu<'a, T> = PerCpuArray<&'a MapData, Shared<T>>;

/// Offloaded work, summed over all CPUs.
fn offload(map: &PerCpu<'_, OffloadStats>, slot: u32) -> Result<Offload, KernelError> {
    let mut sum = Offload::default();
    for Shared(value) in map.get(&slot, 0).map_err(failed("read", "OFFLOADS"))?.iter() {
        sum.whole += value.whole;
        sum.cut += value.cut;
        sum.segments += value.segments;
        sum.left += value.left;
        sum.summed += value.summed;
    }
    Ok(sum)
}

fn per_cpu<'a, T: Plain>(ebpf: &'a Ebpf, name: &'static str) -> Result<PerCpu<'a, T>, KernelError> {
    PerCpuArray::try_from(read_only(ebpf, name)?).map_err(failed("open", name))
}
