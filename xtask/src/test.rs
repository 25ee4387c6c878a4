//! `cargo xtask test`: everything that must hold.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::{lint, setup, shell, vm};

/// Kernels that every run boots for all privileged tests.
const KERNELS: [&str; 2] = ["6.1", "6.12"];
/// On the others CI loads the programs and runs the packet table through them: verifiers differ more
/// than counters do. `cargo xtask vm --kernel all` runs everything everywhere.
const LOADS_ON: [&str; 3] = ["5.10", "6.18", "7.3"];

/// What is not run on them: it is about processes, files and netlink, which this kernel has shown before,
/// and takes minutes where every instruction is emulated. `cargo xtask vm` runs it too.
const NOT_EMULATED: [&str; 4] = ["doctor::", "export::totals_survive_kills", "cost_views::", "record::"];

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Args {
    /// Without the kernels in QEMU
    #[arg(long)]
    no_vm: bool,
    /// Without formatting and clippy
    #[arg(long)]
    no_lint: bool,
}

/// Runs the command.
///
/// # Errors
/// The step that failed, and why.
pub fn run(args: &Args) -> Result<()> {
    let ci = std::env::var_os("CI").is_some();
    let mut skipped = Vec::new();
    step("set-up", || {
        setup::toolchain()?;
        if shell::is_root() { setup::ensure(&[setup::Group::Lab, setup::Group::Tui]) } else { Ok(()) }
    })?;
    if !args.no_lint {
        step("formatting and clippy", || lint::run(&lint::Args::default()))?;
    }
    step("unit and golden tests", || {
        shell::run(shell::cargo().args(["test", "--quiet", "--workspace", "--exclude", "observer-ebpf"]))
    })?;
    step("pages in a browser", pages)?;
    match why_not_privileged() {
        None => {
            step("privileged tests on this kernel", || privileged("privileged"))?;
            step("top in a terminal", || privileged("terminal"))?;
            step("what the programs cost, against the ceilings", || own(&["bench", "--check"]))?;
            step("captures against tshark and the programs", oracle)?;
            step("the doctor on BIRD's routes", bird)?;
            step("a switch of modes, predicted and measured", walkthrough)?;
            step("manifests, rules and dashboards", || own(&["deploy", "--check"]))?;
            step("a fleet with a real Prometheus", || own(&["fleet"]))?;
            step("the image in a container", || own(&["image", "--test"]))?;
            if !args.no_vm {
                kernels(ci)?;
            }
        }
        Some(reason) if ci => bail!("the privileged tests cannot run: {reason}"),
        Some(reason) => skipped.push(format!("privileged tests: {reason}")),
    }
    if args.no_vm {
        skipped.push("kernels in QEMU: --no-vm".to_owned());
    }
    for skipped in &skipped {
        shell::step("test", &format!("SKIPPED {skipped}"));
    }
    shell::step("test", if skipped.is_empty() { "all passed" } else { "what ran has passed" });
    Ok(())
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    shell::step("test", name);
    let start = Instant::now();
    work().with_context(|| format!("{name} failed"))?;
    shell::step("test", &format!("{name}: passed in {:.0} s", start.elapsed().as_secs_f64()));
    Ok(())
}

/// What keeps the privileged tests from running here.
fn why_not_privileged() -> Option<String> {
    if !shell::is_root() {
        return Some("they need root".to_owned());
    }
    // Creating a namespace and a BPF map are what they need first.
    let netns = Command::new("unshare").args(["--net", "true"]).output();
    match netns {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            Some(format!("no network namespaces here: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
        Err(error) => Some(format!("unshare does not start: {error}")),
    }
}

/// The page of a comparison in chromium.
fn pages() -> Result<()> {
    if shell::is_root() {
        setup::ensure(&[setup::Group::Browser])?;
    }
    let test = ["test", "--package", "observer", "--features", "browser", "--test", "html"];
    // A skip, and why, must be seen.
    shell::run(shell::cargo().args(test).args(["--", "--nocapture"]))
}

/// One at a time: labs of the same name would meet.
fn privileged(target: &str) -> Result<()> {
    let xtask = std::env::current_exe().context("cannot find the running xtask")?;
    shell::run(
        shell::cargo()
            .args(["test", "--package", "observer", "--features", "privileged", "--test", target])
            // What a test skips, and why, must be seen.
            .args(["--", "--test-threads=1", "--nocapture"])
            .env("OBSERVER_XTASK", xtask),
    )
}

/// Needs BIRD, which the kernels in QEMU do not have: a target of its own.
fn bird() -> Result<()> {
    let xtask = std::env::current_exe().context("cannot find the running xtask")?;
    setup::ensure(&[setup::Group::Bird])?;
    shell::run(
        shell::cargo()
            .args(["test", "--package", "observer", "--features", "privileged", "--test", "bird"])
            .args(["--", "--test-threads=1", "--nocapture"])
            .env("OBSERVER_XTASK", xtask),
    )
}

/// With a lab of its own name, as the tests have.
fn walkthrough() -> Result<()> {
    let xtask = std::env::current_exe().context("cannot find the running xtask")?;
    let mark = std::env::var("OBSERVER_TEST_LABS").map_or(String::new(), |mark| format!("-{mark}"));
    shell::run(Command::new(xtask).args([
        "lab",
        "--name",
        &format!("observer-walk{mark}"),
        "walkthrough",
        "--for",
        "5",
    ]))
}

/// The captures that stand in the repository.
fn oracle() -> Result<()> {
    let captures = shell::root().join("observer/tests/data/pcap");
    own(&["oracle", &captures.to_string_lossy()])
}

/// Another command of this program.
fn own(arguments: &[&str]) -> Result<()> {
    let xtask = std::env::current_exe().context("cannot find the running xtask")?;
    shell::run(Command::new(xtask).args(arguments))
}

/// All of them in one go: two machines share the cores better than one has them alone.
fn kernels(ci: bool) -> Result<()> {
    let whole = vm::Tests { on: &KERNELS, filter: None, skip: &NOT_EMULATED };
    let table = vm::Tests { on: &LOADS_ON, filter: Some("program::"), skip: &[] };
    let (whole_on, table_on) = (KERNELS.join(" and "), LOADS_ON.join(", "));
    if ci {
        let name = format!("privileged tests on Linux {whole_on}, the packet table on {table_on}");
        step(&name, || vm::privileged_tests(&[whole, table]))
    } else {
        step(&format!("privileged tests on Linux {whole_on}"), || vm::privileged_tests(&[whole]))
    }
}
