//! Ratios and sizes held against their ceilings.

use anyhow::{Context as _, Result};
use observer::kernel::{Capacities, Programs, entry, sys};
use observer_testing::ceilings::Ceilings;
use serde_json::json;

use crate::program::Measured;
use crate::report::{Section, grouped};

/// Sentences about ratios above their ceilings.
pub fn exceeded_ratios(ceilings: &Ceilings, measured: &[Measured]) -> Vec<String> {
    let judge = |m: &Measured| match ceilings.ratio.get(&m.label()) {
        None => Some(format!("{}: R is {:.2}, and there is no ceiling for it", m.label(), m.ratio)),
        Some(ceiling) if m.ratio <= *ceiling => None,
        Some(ceiling) => Some(format!("{}: R is {:.2}, the ceiling {ceiling:.2}", m.label(), m.ratio)),
    };
    measured.iter().filter_map(judge).collect()
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
    for name in entry::ALL {
        let Some(size) = programs.size(name)? else {
            missing.push(format!("{name}: not for Linux {kernel}"));
            continue;
        };
        let (verified, translated) = (size.verified.unwrap_or(0), size.translated.unwrap_or(0));
        let said = match ceilings.of(&kernel, name) {
            None => "no ceiling".to_owned(),
            Some(ceiling) if ceiling.is_exceeded(verified, translated, size.jitted) => {
                exceeded.push(format!("{name} on Linux {kernel} takes {size}, the ceiling is {ceiling:?}"));
                "above the ceiling".to_owned()
            }
            Some(_) => "within".to_owned(),
        };
        let number = |value: u32| if value == 0 { "–".to_owned() } else { grouped(u64::from(value)) };
        rows.push(vec![
            kernel.clone(),
            name.to_owned(),
            number(verified),
            format!("{} B", number(translated)),
            format!("{} B", number(size.jitted)),
            said,
        ]);
        data.push(json!({
            "kernel": kernel, "program": name, "verified_instructions": size.verified,
            "translated_bytes": size.translated, "jitted_bytes": size.jitted,
        }));
    }
    let about = "What the verifier walked and the sizes of the loaded programs, on the kernel that runs. \
        `dev/testing/ceilings.toml` holds them down, a line a kernel and program: `bench --check` fails \
        above, and so does a privileged test on every kernel of CI."
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
        let mut ceilings = Ceilings::read();
        for class in classes::all() {
            for hook in class.hooks {
                let label = format!("{} {} {}", hook.label(), class.letter, class.name);
                assert!(ceilings.ratio.remove(&label).is_some(), "{label} has no ceiling");
            }
        }
        assert!(ceilings.ratio.is_empty(), "{:?} are no classes", ceilings.ratio);
    }
}
