//! Skipped tests. `cargo xtask test` counts them, and lists each with its reason.

use std::fs;
use std::process::Command;

use crate::ceilings::SERIES;

/// Set by `cargo xtask test`, which installs every program that a test needs.
pub const INSTALLED: &str = "OBSERVER_TEST_PROGRAMS";

/// What a test may need and a machine may lack.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// The kernel's ipip module
    Ipip,
    /// The kernel's netem queueing discipline
    Netem,
    /// Maps of an unprivileged user without a higher RLIMIT_MEMLOCK
    UnprivilegedMaps,
    /// The programs that measure the cost of encapsulation
    CostPrograms,
    /// Ceilings of the program sizes for this kernel
    Ceilings,
    /// A program
    Program(&'static str),
}

/// The kernel that runs.
struct Kernel {
    version: (u32, u32),
    /// Debian's cloud kernel, which `cargo xtask vm` boots with the modules that tests need.
    vm: bool,
}

impl Kernel {
    fn running() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut numbers = release.split(['.', '-']).map_while(|number| number.parse().ok());
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Self { version, vm: release.contains("-cloud-") }
    }
}

impl Need {
    /// Why this machine cannot have it; `None` if it should.
    fn missing(self, kernel: &Kernel) -> Option<String> {
        let (major, minor) = kernel.version;
        match self {
            Self::Ipip => (!kernel.vm && !works("ip link add probe type ipip local 127.0.0.1"))
                .then(|| "no ipip in this kernel".to_owned()),
            Self::Netem => (!kernel.vm && !works("tc qdisc add dev lo root netem delay 1ms"))
                .then(|| "no netem in this kernel".to_owned()),
            // Since 5.11 maps count against the memory cgroup.
            Self::UnprivilegedMaps => (kernel.version < (5, 11))
                .then(|| format!("Linux {major}.{minor} counts maps against RLIMIT_MEMLOCK")),
            Self::CostPrograms => (kernel.version < (5, 11) || !kernel.vm && !traces())
                .then(|| "this kernel cannot run the cost programs".to_owned()),
            Self::Ceilings => (!SERIES.contains(&format!("{major}.{minor}").as_str()))
                .then(|| format!("no ceilings for Linux {major}.{minor}")),
            Self::Program(name) => (kernel.vm || std::env::var_os(INSTALLED).is_none())
                .then(|| format!("{name} is not installed; `cargo xtask setup` installs it")),
        }
    }
}

/// Whether the kernel has type information and BPF trampolines.
fn traces() -> bool {
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(false) && symbols.contains("bpf_trampoline_link_prog")
}

/// Whether a command succeeds in a new network namespace.
fn works(command: &str) -> bool {
    let mut unshare = Command::new("unshare");
    unshare.arg("--net").args(command.split(' ')).output().is_ok_and(|output| output.status.success())
}

/// Whether a program is missing; the test is then skipped.
pub fn lacks(program: &'static str) -> bool {
    let missing = Command::new(program).arg("--version").output().is_err();
    if missing {
        skip(Need::Program(program), "it does not start");
    }
    missing
}

/// Reports that the test is skipped. The caller returns.
///
/// # Panics
/// The machine should have what the test needs: `evidence` is then the reason of the failure.
pub fn skip(need: Need, evidence: &str) {
    let Some(reason) = need.missing(&Kernel::running()) else {
        panic!("{need:?} should be available here: {evidence}");
    };
    // libtest names a test's thread after the test, unless it runs tests one by one.
    match std::thread::current().name() {
        None | Some("main") => println!("SKIPPED: {reason}"),
        Some(test) => println!("SKIPPED {test}: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_are_justified_by_the_kernel() {
        let cloud = |version| Kernel { version, vm: true };
        // need, kernel, justified
        let cases = [
            (Need::Ipip, cloud((6, 1)), false),
            (Need::Netem, cloud((7, 3)), false),
            (Need::UnprivilegedMaps, cloud((5, 10)), true),
            (Need::UnprivilegedMaps, cloud((6, 1)), false),
            (Need::Ceilings, cloud((6, 12)), false),
            (Need::Ceilings, cloud((6, 13)), true),
            (Need::Program("tshark"), cloud((6, 1)), true),
        ];
        for (need, kernel, justified) in cases {
            assert_eq!(need.missing(&kernel).is_some(), justified, "{need:?} on {:?}", kernel.version);
        }
    }
}
