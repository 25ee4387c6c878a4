//! The payload of `cargo xtask vm` without a command: the privileged tests.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::initramfs::{Payload, Placed};
use super::quote;
use crate::{setup, shell};

/// The test target that wants root and a kernel.
const TARGET: &str = "privileged";
const XTASK: &str = "/usr/local/bin/xtask";

/// Builds the tests and describes how a machine runs them; `filter` and `skip` are the test harness's.
///
/// # Errors
/// The tests do not build, or there are none.
pub fn payload(filter: Option<&str>, skip: &[&str]) -> Result<Payload> {
    let built = build()?;
    let tests: Vec<&Built> = built.iter().filter(|built| built.test).collect();
    if tests.is_empty() {
        bail!("package observer has no test target {TARGET}");
    }
    let here =
        |path: &Path| path.to_str().map(str::to_owned).context("the path of the repository is not UTF-8");
    let xtask = env::current_exe().context("cannot find the running xtask")?;
    let mut binaries = vec![Placed { from: xtask, to: XTASK.to_owned() }];
    // At the very paths of this machine: `CARGO_BIN_EXE_observer` is compiled into the tests.
    for built in &built {
        binaries.push(Placed { from: built.executable.clone(), to: here(&built.executable)? });
    }
    // The same holds for `CARGO_MANIFEST_DIR`, and cargo starts tests in the package's folder.
    let package = shell::root().join("observer");
    let data = package.join("tests/data");
    let files = match data.is_dir() {
        true => vec![Placed { to: here(&data)?, from: data }],
        false => Vec::new(),
    };
    let package = quote(&here(&package)?);
    let mut script =
        format!("mkdir -p {package} && cd {package} || exit 125\nexport OBSERVER_XTASK={XTASK}\nrc=0\n");
    let mut filter = filter.map(|filter| format!(" {}", quote(filter))).unwrap_or_default();
    for name in skip {
        filter.push_str(&format!(" --skip {}", quote(name)));
    }
    for test in tests {
        let command = quote(&here(&test.executable)?);
        // The harness calls it a success when no test has the filter's name.
        script.push_str(&format!(
            "{command} --list{filter} | grep ': test$' > /dev/null || {{ echo 'there is no such test'; exit 125; }}\n\
             {command} --test-threads=1{filter} || rc=$?\n"
        ));
    }
    script.push_str("exit $rc\n");
    Ok(Payload { binaries, files, script })
}

/// A program that cargo has built.
#[derive(Debug, PartialEq)]
struct Built {
    executable: PathBuf,
    test: bool,
}

fn build() -> Result<Vec<Built>> {
    setup::toolchain()?;
    let output = shell::cargo()
        .args(["test", "--no-run", "--package", "observer", "--features", "privileged", "--test", TARGET])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the privileged tests do not build");
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(parse).collect())
}

/// One line of cargo's messages.
fn parse(line: &str) -> Option<Built> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let executable = message["executable"].as_str()?.into();
    let test = message["target"]["kind"].as_array()?.iter().any(|kind| kind == "test");
    Some(Built { executable, test })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_among_cargo_s_messages() {
        let lines = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"anyhow"},"executable":null,"fresh":true}
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"observer"},"executable":"/t/debug/observer","fresh":true}
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"privileged"},"executable":"/t/a \"b\"/privileged-1","fresh":false}
{"reason":"build-script-executed","executable":"/no"}
{"reason":"build-finished","success":true}"#;
        let built: Vec<Built> = lines.lines().filter_map(parse).collect();
        let expected = [
            Built { executable: "/t/debug/observer".into(), test: false },
            Built { executable: "/t/a \"b\"/privileged-1".into(), test: true },
        ];
        assert_eq!(built, expected);
    }
}
