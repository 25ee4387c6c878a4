//! The payload of `cargo xtask vm` without a command: the privileged tests.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::initramfs::{Payload, Placed};
use super::quote;
use crate::artifacts::{self, Artifact, Kind};
use crate::shell;

/// The test target that needs root and a kernel.
const TARGET: &str = "privileged";
/// The programs that its tests start.
const PROGRAMS: [&str; 2] = ["observer", "observer-lab"];

/// How a machine runs those privileged tests whose names contain one of `filters` (all if there is none).
///
/// # Errors
/// Something was not built, or has a path that is not UTF-8.
pub fn payload(built: &[Artifact], filters: &[&str]) -> Result<Payload> {
    let here =
        |path: &Path| path.to_str().map(str::to_owned).context("the path of the repository is not UTF-8");
    let test = built.iter().find(|artifact| artifact.kind == Kind::Tests && artifact.name == TARGET);
    let test = &test.context("cargo reported no privileged tests")?.executable;
    // At the paths of this machine: `CARGO_BIN_EXE_observer` is compiled into the tests.
    let mut binaries = vec![Placed { from: test.clone(), to: here(test)? }];
    for name in PROGRAMS {
        let program = artifacts::program(built, name)?;
        binaries.push(Placed { from: program.to_owned(), to: here(program)? });
    }
    // The same holds for `CARGO_MANIFEST_DIR`, and tests start in the package's folder.
    let package = shell::root().join("observer");
    let data = package.join("tests/data");
    let files = vec![Placed { to: here(&data)?, from: data }];
    let package = quote(&here(&package)?);
    let filter: String = filters.iter().map(|filter| format!(" {}", quote(filter))).collect();
    let command = quote(&here(test)?);
    // libtest succeeds if no test has the filter's name.
    let script = format!(
        "mkdir -p {package} && cd {package} || exit 125\n\
         {command} --ignored --list{filter} | grep ': test$' > /dev/null || {{ echo 'there is no such test'; exit 125; }}\n\
         exec {command} --ignored --test-threads=1 --nocapture{filter} 2>&1\n"
    );
    Ok(Payload { binaries, files, script })
}
