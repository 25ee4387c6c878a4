//! Ceilings: what must not grow unnoticed (`dev/testing/ceilings.toml`). Ratios with a margin, so that
//! a busy machine does not fail; instructions and sizes, which do not depend on the machine, closely.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The ceilings.
const CEILINGS: &str = include_str!("../ceilings.toml");

/// Highest allowed values.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceilings {
    /// R, by hook, letter and packet.
    pub ratio: BTreeMap<String, f64>,
    /// Sizes by kernel series and program.
    kernel: BTreeMap<String, BTreeMap<String, Ceiling>>,
}

/// The most that a program may take on one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// Instructions that the verifier walks; 0 where the kernel does not say (before 5.16).
    pub verified: u32,
    /// Bytes of BPF instructions.
    pub translated: u32,
    /// Bytes of machine code.
    pub jitted: u32,
}

impl Ceilings {
    /// Reads them.
    ///
    /// # Panics
    /// The file is wrong.
    #[must_use]
    pub fn read() -> Self {
        toml::from_str(CEILINGS).expect("dev/testing/ceilings.toml is right")
    }

    /// Whether there are any for a kernel series.
    #[must_use]
    pub fn know(&self, kernel: &str) -> bool {
        self.kernel.contains_key(kernel)
    }

    /// The ceiling of a program on a kernel series, such as `6.12`.
    #[must_use]
    pub fn of(&self, kernel: &str, program: &str) -> Option<Ceiling> {
        self.kernel.get(kernel)?.get(program).copied()
    }
}

impl Ceiling {
    /// Whether a program that takes so much is above it in any part; what the kernel did not tell is 0.
    #[must_use]
    pub const fn is_exceeded(self, verified: u32, translated: u32, jitted: u32) -> bool {
        verified > self.verified || translated > self.translated || jitted > self.jitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_above_any_part_exceeds_its_ceiling() {
        let ceiling = Ceiling { verified: 10, translated: 10, jitted: 10 };
        assert!(!ceiling.is_exceeded(10, 10, 10));
        assert!(ceiling.is_exceeded(11, 10, 10));
        assert!(ceiling.is_exceeded(10, 11, 10));
        assert!(ceiling.is_exceeded(10, 10, 11));
        assert!(!ceiling.is_exceeded(0, 10, 10), "a kernel that does not tell");
    }
}
