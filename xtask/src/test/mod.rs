//! `cargo xtask test`: builds everything once, runs every test, and prints what passed, failed and was skipped.

mod harness;
pub mod tally;

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::artifacts::{self, Artifact, Kind};
use crate::{bench, deploy, fleet, image, lint, oracle, setup, shell, vm};
use harness::Output;
use tally::Tally;

/// The Debian packages of all steps, installed in one go.
const GROUPS: [setup::Group; 7] = setup::Group::ALL;
/// Privileged tests of `--quick`: programs and hooks of this kernel, and exact counts of one mode.
const SMOKE: [&str; 3] = ["program::", "hooks::", "exact::vxlan_cross_subnet"];

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Args {
    /// Run only checks of text, unit tests and a few privileged tests: minutes instead of a quarter of an hour
    #[arg(long)]
    quick: bool,
    /// Do not boot other kernels in QEMU
    #[arg(long)]
    no_vm: bool,
    /// Do not check formatting, lints and text
    #[arg(long)]
    no_lint: bool,
}

/// Runs the command.
///
/// # Errors
/// Something failed; the last line printed is the number of failures.
pub fn run(args: &Args) -> Result<()> {
    let mut run = Run::default();
    let result = steps(args, &mut run);
    if let Err(error) = &result {
        eprintln!("error: {error:#}");
        run.total.failed += 1;
    }
    run.report();
    match run.total.failed {
        0 => Ok(()),
        failed => bail!("{failed} failed"),
    }
}

fn steps(args: &Args, run: &mut Run) -> Result<()> {
    let unprivileged = why_unprivileged();
    let root = unprivileged.is_none();
    if let Some(reason) = &unprivileged
        && std::env::var_os("CI").is_some()
    {
        bail!("the privileged tests cannot run: {reason}");
    }
    let start = Instant::now();
    setup::toolchain()?;
    if root && !args.quick {
        setup::ensure(&GROUPS)?;
    } else if root {
        setup::ensure(&[setup::Group::Lab])?;
    }
    run.times.push(("set-up".to_owned(), start.elapsed(), Tally::default()));
    if !args.no_lint {
        run.step("lint", || lint::run(&lint::Args::of_text_only(args.quick)).map(|()| Tally::step()));
    }
    let start = Instant::now();
    shell::step("test", "build");
    let built = artifacts::everything()?;
    run.times.push(("build".to_owned(), start.elapsed(), Tally::default()));

    let installed = root && !args.quick;
    let Some(tests) = built.iter().find(|it| it.kind == Kind::Tests && it.name == "privileged") else {
        bail!("cargo reported no privileged tests");
    };
    // One emulated machine at a time takes one core; the tests here mostly wait.
    let machines = (root && !args.quick && !args.no_vm).then(|| {
        let built = built.clone();
        (Instant::now(), thread::spawn(move || vm::privileged_tests(&built)))
    });
    run.step("unit and golden tests", || unit(&built, installed));
    if let Some(reason) = unprivileged {
        run.skip("privileged tests and everything after them", &reason);
        return Ok(());
    }
    if args.quick {
        let smoke: Vec<&str> = ["--ignored", "--test-threads=1"].into_iter().chain(SMOKE).collect();
        run.step("privileged tests (smoke)", || harness::run(tests, &smoke, Output::Stream, false));
        run.skip("most privileged tests, other kernels, pages, image, fleet, ceilings", "--quick");
        return Ok(());
    }
    run.step("privileged tests", || {
        harness::run(tests, &["--ignored", "--test-threads=1"], Output::Stream, installed)
    });
    run.step("pages in a browser", || pages(&built));
    run.step("captures compared with tshark", || done(oracle::check(&built)));
    run.step("manifests, rules and dashboards", || done(deploy::run(&deploy::Args::check())));
    run.step("a fleet with Prometheus", || {
        done(fleet::check(artifacts::program(&built, "observer")?, false))
    });
    run.step("image in a container", || done(image::run(&image::Args::test())));
    match machines {
        None => run.skip("privileged tests on other kernels", "--no-vm"),
        Some((start, machines)) => {
            let result = machines.join().unwrap_or_else(|_| Err(anyhow!("the thread panicked")));
            run.finish("privileged tests on other kernels", start.elapsed(), result);
        }
    }
    // These measure: nothing else runs meanwhile.
    run.step("program cost below its ceilings", || done(bench::check(&built)));
    run.step("predicted and measured mode switch", || done(walkthrough(&built)));
    Ok(())
}

/// The results so far.
#[derive(Default)]
struct Run {
    total: Tally,
    times: Vec<(String, Duration, Tally)>,
}

impl Run {
    fn step(&mut self, name: &str, work: impl FnOnce() -> Result<Tally>) {
        shell::step("test", name);
        let start = Instant::now();
        let result = work();
        self.finish(name, start.elapsed(), result);
    }

    fn finish(&mut self, name: &str, time: Duration, result: Result<Tally>) {
        let tally = result.unwrap_or_else(|error| {
            eprintln!("error: {name}: {error:#}");
            Tally { failed: 1, ..Tally::default() }
        });
        shell::step("test", &format!("{name}: {} in {:.0} s", tally.summary(), time.as_secs_f64()));
        self.total.add(tally.clone());
        self.times.push((name.to_owned(), time, tally));
    }

    fn skip(&mut self, what: &str, reason: &str) {
        self.total.add(Tally::skip(what, reason));
    }

    /// The times of the steps, what was skipped, and the sum as the last line.
    fn report(&self) {
        println!("\n{:<40} {:>7} {:>7} {:>7} {:>8}", "STEP", "SECONDS", "PASSED", "FAILED", "SKIPPED");
        for (name, time, tally) in &self.times {
            let (passed, failed, skipped) = (tally.passed, tally.failed, tally.skipped.len());
            println!("{name:<40} {:>7.0} {passed:>7} {failed:>7} {skipped:>8}", time.as_secs_f64());
        }
        for skipped in &self.total.skipped {
            println!("SKIPPED {skipped}");
        }
        println!("{}", self.total.summary());
    }
}

fn done(result: Result<()>) -> Result<Tally> {
    result.map(|()| Tally::step())
}

/// Why the privileged tests cannot run here.
fn why_unprivileged() -> Option<String> {
    if !shell::is_root() {
        return Some("root is needed".to_owned());
    }
    let netns = Command::new("unshare").args(["--net", "true"]).output();
    match netns {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            Some(format!("no network namespaces: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
        Err(error) => Some(format!("cannot start unshare: {error}")),
    }
}

/// Every test that is not ignored.
fn unit(built: &[Artifact], installed: bool) -> Result<Tally> {
    let mut tally = Tally::default();
    for tests in built.iter().filter(|artifact| artifact.kind != Kind::Program) {
        tally.add(harness::run(tests, &[], Output::OnFailure, installed)?);
    }
    Ok(tally)
}

/// The page of a comparison in chromium.
fn pages(built: &[Artifact]) -> Result<Tally> {
    let page = built.iter().find(|artifact| artifact.kind == Kind::Tests && artifact.name == "html");
    harness::run(page.context("cargo reported no test html")?, &["--ignored"], Output::Stream, true)
}

/// Runs in a separate lab.
fn walkthrough(built: &[Artifact]) -> Result<()> {
    let (lab, observer) =
        (artifacts::program(built, "observer-lab")?, artifacts::program(built, "observer")?);
    let name = fleet::lab_name("walk");
    let mut command = Command::new(lab);
    command.args(["--name", &name, "walkthrough", "--for", "5", "--observer"]).arg(observer);
    shell::run(&mut command)
}
