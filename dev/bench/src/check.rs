//! Compares ratios and program sizes with their ceilings.

use anyhow::{Context as _, Result};
use observer::kernel::{Capacities, Programs, entry, sys};
use observer_testing::ceilings::Ceilings;
use serde_json::json;

use crate::program::Measured;
use crate::report::{Section, grouped};

/// One line for each ratio above its ceiling.
pub fn exceeded_ratios(ceilings: &Ceilings, measured: &[Measured]) -> Vec<String> {
    let compare = |m: &Measured| match ceilings.ratio.get(&m.label()) {
        None => Some(format!("{}: R is {:.2}, and it has no ceiling", m.label(), m.ratio)),
        Some(ceiling) if m.ratio <= *ceiling => None,
        Some(ceiling) => Some(format!("{}: R is {:.2}, its ceiling is {ceiling:.2}", m.label(), m.ratio)),
    };
    measured.iter().filter_map(compare).collect()
}

/// Verified instructions and sizes on this kernel, and one line for each program above its ceiling.
///
/// # Errors
/// A program cannot be loaded.
pub fn sizes(ceilings: &Ceilings) -> Result<(Section, Vec<String>)> {
    let mut programs = Programs::load(Capacities::default())?;
    let (major, minor) = sys::version().context("cannot read the kernel version")?;
    let kernel = format!("{major}.{minor}");
    let (mut rows, mut data, mut missing, mut exceeded) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for name in entry::ALL {
        let Some(size) = programs.size(name)? else {
            missing.push(format!("{name}: not for Linux {kernel}"));
            continue;
        };
        let (verified, translated) = (size.verified.unwrap_or(0), size.translated.unwrap_or(0));
        let verdict = match ceilings.of(&kernel, name) {
            None => "no ceiling".to_owned(),
            Some(ceiling) if ceiling.is_exceeded(verified, translated, size.jitted) => {
                exceeded.push(format!("{name} on Linux {kernel} needs {size}, its ceiling is {ceiling:?}"));
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
            verdict,
        ]);
        data.push(json!({
            "kernel": kernel, "program": name, "verified_instructions": size.verified,
            "translated_bytes": size.translated, "jitted_bytes": size.jitted,
        }));
    }
    let about = "Instructions walked by the verifier and sizes of the loaded programs, on the running kernel. \
        `dev/testing/ceilings.toml` contains a ceiling for each kernel and program: `bench --check` fails above \
        it, and so does a privileged test on every kernel of CI."
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
    fn classes_and_ceilings_match() {
        let mut ceilings = Ceilings::read();
        for class in classes::all() {
            for hook in class.hooks {
                let label = format!("{} {} {}", hook.label(), class.letter, class.name);
                assert!(ceilings.ratio.remove(&label).is_some(), "{label} has no ceiling");
            }
        }
        assert!(ceilings.ratio.is_empty(), "{:?} are not classes", ceilings.ratio);
    }
}
