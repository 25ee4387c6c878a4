//! Ceilings for figures that must not grow unnoticed (`dev/testing/ceilings.toml`). Ratios have a margin for busy
//! machines; instruction counts and sizes do not depend on the machine and have tight ceilings.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Kernel series that have ceilings.
pub const SERIES: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", "7.3"];

/// The file.
const CEILINGS: &str = include_str!("../ceilings.toml");

/// Highest allowed values.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceilings {
    /// R by hook, class letter and packet.
    pub ratio: BTreeMap<String, f64>,
    /// Program sizes by kernel series and program.
    kernel: BTreeMap<String, BTreeMap<String, Ceiling>>,
}

/// Maximum size of a program on one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// Instructions processed by the verifier; 0 if the kernel does not report them (before 5.16).
    pub verified: u32,
    /// Bytes of BPF instructions.
    pub translated: u32,
    /// Bytes of machine code.
    pub jitted: u32,
}

impl Ceilings {
    /// Reads the file.
    ///
    /// # Panics
    /// If the file is invalid.
    #[must_use]
    pub fn read() -> Self {
        toml::from_str(CEILINGS).expect("dev/testing/ceilings.toml is valid")
    }

    /// Whether there are ceilings for a kernel series.
    #[must_use]
    pub fn has_kernel(&self, kernel: &str) -> bool {
        self.kernel.contains_key(kernel)
    }

    /// The ceiling of a program on a kernel series, such as `6.12`.
    #[must_use]
    pub fn of(&self, kernel: &str, program: &str) -> Option<Ceiling> {
        self.kernel.get(kernel)?.get(program).copied()
    }
}

impl Ceiling {
    /// Whether any of the figures is above the ceiling. Figures the kernel does not report are 0.
    #[must_use]
    pub const fn is_exceeded(self, verified: u32, translated: u32, jitted: u32) -> bool {
        verified > self.verified || translated > self.translated || jitted > self.jitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceeding_any_part_exceeds_the_ceiling() {
        let ceiling = Ceiling { verified: 10, translated: 10, jitted: 10 };
        assert!(!ceiling.is_exceeded(10, 10, 10));
        assert!(ceiling.is_exceeded(11, 10, 10));
        assert!(ceiling.is_exceeded(10, 11, 10));
        assert!(ceiling.is_exceeded(10, 10, 11));
        assert!(!ceiling.is_exceeded(0, 10, 10), "kernel does not report it");
    }
}
