//! Baseline programs to compare Observer's with, and the driver that varies the sender
//! (observer-ebpf/src/bin/observer-bench.rs).

use anyhow::{Context as _, Result, bail};
use aya::maps::{DevMap, MapData, PerCpuArray, PerCpuValues, ProgramArray};
use aya::programs::{Program, ProgramFd};
use aya::util::nr_cpus;
use aya::{Ebpf, Pod};

use crate::bench::Hook;

/// The object built by `build.rs`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-bench"));

/// An empty program at a raw tracepoint.
pub const FLOOR_RAW: &str = "floor_raw";
/// The program that redirects frames into a veth.
pub const REDIRECT: &str = "redirect";

/// The programs of the object; each exists for both hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// An empty program.
    Floor,
    /// Parses to the ports and updates a per-CPU hash.
    Reference,
    /// Sets the next sender, then calls a target.
    Driver,
}

impl Baseline {
    /// Its name at a hook.
    pub const fn at(self, hook: Hook) -> &'static str {
        match (hook, self) {
            (Hook::Tc, Self::Floor) => "floor_tc",
            (Hook::Tc, Self::Reference) => "reference_tc",
            (Hook::Tc, Self::Driver) => "driver_tc",
            (Hook::Xdp, Self::Floor) => "floor_xdp",
            (Hook::Xdp, Self::Reference) => "reference_xdp",
            (Hook::Xdp, Self::Driver) => "driver_xdp",
        }
    }
}

/// Senders of the packets: `base + n × stride` for n below `count`, each once before the first repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Senders {
    base: u32,
    stride: u32,
    count: u32,
    step: u32,
    next: u32,
    target: u32,
}

// SAFETY: integers only, without padding.
unsafe impl Pod for Senders {}

impl Senders {
    /// `count` senders, starting with `base`.
    pub fn new(base: [u8; 4], stride: u32, count: u32) -> Self {
        Self { base: u32::from_be_bytes(base), stride, count, step: step(count), next: 0, target: 0 }
    }

    /// With a target of the driver.
    pub fn towards(self, target: u32) -> Self {
        Self { target, ..self }
    }

    /// In ascending order.
    pub fn in_order(self) -> Self {
        Self { step: u32::from(self.count > 1), ..self }
    }

    /// Number of senders.
    pub fn count(self) -> u32 {
        self.count
    }
}

/// A step that visits each of `count` once before repeating, with consecutive ones far apart: coprime to
/// `count` and near its golden section.
fn step(count: u32) -> u32 {
    let golden = (u64::from(count) * 618_034 / 1_000_000) as u32;
    (golden..count).find(|step| divisor(*step, count) == 1).unwrap_or(0)
}

fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// The baselines, loaded.
pub struct Baselines {
    /// The programs.
    pub ebpf: Ebpf,
    senders: PerCpuArray<MapData, Senders>,
    targets_tc: ProgramArray<MapData>,
    targets_xdp: ProgramArray<MapData>,
    out: DevMap<MapData>,
}

impl Baselines {
    /// Loads them.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn load() -> Result<Self> {
        let mut ebpf = Ebpf::load(OBJECT).context("cannot create the baselines' maps")?;
        for (name, program) in ebpf.programs_mut() {
            match program {
                Program::SchedClassifier(program) => program.load(),
                Program::Xdp(program) => program.load(),
                Program::RawTracePoint(program) => program.load(),
                _ => bail!("the baseline {name} has an unknown program type"),
            }
            .with_context(|| format!("cannot load the baseline {name}"))?;
        }
        let mut take = |name: &str| ebpf.take_map(name).with_context(|| format!("there is no map {name}"));
        Ok(Self {
            senders: take("SENDERS")?.try_into()?,
            targets_tc: take("TARGETS_TC")?.try_into()?,
            targets_xdp: take("TARGETS_XDP")?.try_into()?,
            out: take("OUT")?.try_into()?,
            ebpf,
        })
    }

    /// One of the programs.
    ///
    /// # Errors
    /// There is none.
    pub fn program(&self, hook: Hook, baseline: Baseline) -> Result<&Program> {
        self.named(baseline.at(hook))
    }

    /// A program by its name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(&self, name: &str) -> Result<&Program> {
        self.ebpf.program(name).with_context(|| format!("there is no baseline {name}"))
    }

    /// Sets the senders.
    ///
    /// # Errors
    /// The map cannot be written.
    pub fn set_senders(&mut self, senders: Senders) -> Result<()> {
        let cpus = nr_cpus().map_err(|(what, error)| anyhow::anyhow!("cannot read {what}: {error}"))?;
        let values = PerCpuValues::try_from(vec![senders; cpus]).context("cannot set the senders")?;
        self.senders.set(0, values, 0).context("cannot set the senders")
    }

    /// Sets a target of the driver at a hook.
    ///
    /// # Errors
    /// The map cannot be written.
    pub fn set_target(&mut self, hook: Hook, target: u32, program: &ProgramFd) -> Result<()> {
        let targets = match hook {
            Hook::Tc => &mut self.targets_tc,
            Hook::Xdp => &mut self.targets_xdp,
        };
        targets.set(target, program, 0).context("cannot set a target of the driver")
    }

    /// Sets the device that `redirect` sends into, in this thread's namespace.
    ///
    /// # Errors
    /// The map cannot be written.
    pub fn set_out(&mut self, ifindex: u32) -> Result<()> {
        self.out.set(0, ifindex, None, 0).context("cannot set the device to redirect to")
    }
}

/// The descriptor of a program.
///
/// # Errors
/// It is not loaded, or of another kind.
pub fn fd(program: &Program) -> Result<ProgramFd> {
    let fd = match program {
        Program::SchedClassifier(program) => program.fd(),
        Program::Xdp(program) => program.fd(),
        _ => bail!("the program is neither for TC nor for XDP"),
    };
    fd.context("the program is not loaded")?.try_clone().context("cannot clone a descriptor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sender_occurs_once_before_the_first_repeats() {
        for count in [1, 2, 16, 1_000, 1_024, 16_000, 1_000_000] {
            let senders = Senders::new([1, 0, 0, 0], 1, count);
            let (mut seen, mut next) = (vec![false; count as usize], 0);
            for _ in 0..count {
                assert!(!std::mem::replace(&mut seen[next as usize], true), "{count}: {next} came twice");
                next += senders.step;
                next = if next >= count { next - count } else { next };
            }
        }
    }
}
