//! Ceilings: what must not grow unnoticed. Ratios with a generous margin, so that a busy machine does
//! not fail; instructions and sizes exactly, for they do not depend on the machine.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use aya::programs::ProgramInfo;
use observer::kernel::{Capacities, Programs, entry, sys};
use serde::Deserialize;
use serde_json::json;

use crate::program::Measured;
use crate::report::{Section, grouped};

/// The ceilings (observer-bench/ceilings.toml).
const CEILINGS: &str = include_str!("../ceilings.toml");
/// The first kernel with `xdp.frags`.
const FRAGS: (u32, u32) = (5, 18);

/// Highest allowed values.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceilings {
    /// R, by hook, letter and packet.
    ratio: BTreeMap<String, f64>,
    /// Sizes by kernel and program.
    kernel: BTreeMap<String, BTreeMap<String, Size>>,
}

/// What a program takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Instructions that the verifier walked; 0 where the kernel does not say (before 5.16).
    verified: u32,
    /// Bytes of its BPF instructions.
    translated: u32,
    /// Bytes of its machine code.
    jitted: u32,
}

impl Ceilings {
    /// Reads them.
    ///
    /// # Errors
    /// The file is wrong.
    pub fn read() -> Result<Self> {
        toml::from_str(CEILINGS).context("observer-bench/ceilings.toml is wrong")
    }

    /// Sentences about ratios above their ceilings.
    pub fn exceeded_ratios(&self, measured: &[Measured]) -> Vec<String> {
        let judge = |m: &Measured| match self.ratio.get(&m.label()) {
            None => Some(format!("{}: R is {:.2}, and there is no ceiling for it", m.label(), m.ratio)),
            Some(ceiling) if m.ratio <= *ceiling => None,
            Some(ceiling) => Some(format!("{}: R is {:.2}, the ceiling {ceiling:.2}", m.label(), m.ratio)),
        };
        measured.iter().filter_map(judge).collect()
    }

    fn of(&self, kernel: &str, program: &str) -> Option<Size> {
        self.kernel.get(kernel)?.get(program).copied()
    }
}

impl Size {
    fn of(info: &ProgramInfo) -> Self {
        Self {
            verified: info.verified_instruction_count().unwrap_or(0),
            translated: info.size_translated().unwrap_or(0),
            jitted: info.size_jitted(),
        }
    }

    fn exceeds(self, ceiling: Self) -> bool {
        self.verified > ceiling.verified
            || self.translated > ceiling.translated
            || self.jitted > ceiling.jitted
    }
}

/// Instructions and sizes on this kernel, and sentences about those above their ceilings.
///
/// # Errors
/// A program cannot be loaded.
pub fn sizes(ceilings: &Ceilings) -> Result<(Section, Vec<String>)> {
    let mut programs = Programs::load(Capacities::default())?;
    let (major, minor) = sys::version().context("the kernel does not say its version")?;
    let kernel = format!("{major}.{minor}");
    let (mut rows, mut data, mut missing, mut exceeded) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for name in [entry::INGRESS, entry::EGRESS, entry::XDP, entry::XDP_FRAGS] {
        if name == entry::XDP_FRAGS && (major, minor) < FRAGS {
            missing.push(format!("{name}: Linux {kernel} has no XDP in several buffers"));
            continue;
        }
        let info = if [entry::INGRESS, entry::EGRESS].contains(&name) {
            programs.classifier(name)?.info()
        } else {
            programs.xdp(name)?.info()
        };
        let size = Size::of(&info.with_context(|| format!("the kernel does not tell of {name}"))?);
        let ceiling = ceilings.of(&kernel, name);
        let said = match ceiling {
            None => "no ceiling".to_owned(),
            Some(ceiling) if size.exceeds(ceiling) => {
                exceeded.push(format!("{name} on Linux {kernel} is {size:?}, the ceiling {ceiling:?}"));
                "above the ceiling".to_owned()
            }
            Some(_) => "within".to_owned(),
        };
        let number = |value: u32| if value == 0 { "–".to_owned() } else { grouped(u64::from(value)) };
        rows.push(vec![
            kernel.clone(),
            name.to_owned(),
            number(size.verified),
            format!("{} B", number(size.translated)),
            format!("{} B", number(size.jitted)),
            said,
        ]);
        data.push(json!({
            "kernel": kernel, "program": name, "verified_instructions": size.verified,
            "translated_bytes": size.translated, "jitted_bytes": size.jitted,
        }));
    }
    let about = "What the verifier walked and the sizes of the loaded programs, on the kernel that runs. \
        `observer-bench/ceilings.toml` holds them down, a line a kernel and program; `bench --check` fails \
        above."
        .to_owned();
    let section = Section {
        name: "size",
        title: "Verified instructions and sizes",
        about,
        columns: &["kernel", "program", "verified instructions", "BPF", "machine code", "ceiling"],
        rows,
        data: data.into(),
        bars: Vec::new(),
        missing,
    };
    Ok((section, exceeded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes;

    #[test]
    fn every_class_has_a_ceiling_and_no_ceiling_is_without_a_class() {
        let mut ceilings = Ceilings::read().expect("ceilings");
        for class in classes::all() {
            for hook in class.hooks {
                let label = format!("{} {} {}", hook.label(), class.letter, class.name);
                assert!(ceilings.ratio.remove(&label).is_some(), "{label} has no ceiling");
            }
        }
        assert!(ceilings.ratio.is_empty(), "{:?} are no classes", ceilings.ratio);
    }

    #[test]
    fn a_size_above_any_part_of_the_ceiling_exceeds_it() {
        let ceiling = Size { verified: 10, translated: 10, jitted: 10 };
        assert!(!ceiling.exceeds(ceiling));
        assert!(Size { jitted: 11, ..ceiling }.exceeds(ceiling));
        assert!(!Size { verified: 0, ..ceiling }.exceeds(ceiling));
    }
}
