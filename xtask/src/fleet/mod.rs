//! `cargo xtask fleet`: exporters on the nodes of a lab and a Prometheus that scrapes them, to test the panels and
//! rules of `deploy/` and `observer cluster`.

mod cluster;
mod exporters;
mod panels;
mod prometheus;
mod rules;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{build, setup, shell};
use exporters::Exporters;
use observer_lab::{Lab, Mode, Options, Topology, traffic};
use prometheus::Prometheus;

/// Options of `cargo xtask fleet`.
#[derive(clap::Args)]
pub struct Args {
    /// Wait for Enter before the checks, for manual inspection
    #[arg(long)]
    stay: bool,
}

/// Time limit for a condition.
const BOUND: Duration = Duration::from_secs(60);
/// Environment variable with a suffix for names of labs, if several checkouts run tests on one machine.
const MARK: &str = "OBSERVER_TEST_LABS";

/// Runs the command.
///
/// # Errors
/// The check that failed.
pub fn run(args: &Args) -> Result<()> {
    if !shell::is_root() {
        bail!("a lab needs root");
    }
    setup::toolchain()?;
    setup::ensure(&[setup::Group::Lab, setup::Group::Fleet])?;
    check(&build::debug()?, args.stay)
}

/// Runs the checks with an `observer`; with `stay`, waits for Enter first.
///
/// # Errors
/// The check that failed.
pub fn check(observer: &Path, stay: bool) -> Result<()> {
    let name = lab_name("fleet");
    let scratch = Scratch::new(&name)?;
    let lab = Lab::up(&name, Mode::VxlanCrossSubnet, &Options::quick())?;
    let topology = Topology::new(&name);
    let _statistics = Statistics::on();
    let mut exporters = Exporters::start(observer, &topology, &scratch.0)?;
    traffic::start(&name, &traffic::worker::Args::all_pods(600, 20))?;
    let mut prometheus = Prometheus::start(&topology, &scratch.0)?;
    step("three nodes are scraped", || scraped(&prometheus))?;
    if stay {
        eprintln!(
            "Prometheus is at {} in {}; press Enter to continue",
            prometheus.address(),
            topology.router
        );
        std::io::stdin().read_line(&mut String::new())?;
    }
    step("every panel has data", || panels::check(&prometheus))?;
    step("every rule evaluates, no alert fires", || rules::check(&prometheus))?;
    step("`observer cluster`", || cluster::check(observer, &topology, &prometheus, &scratch.0))?;
    step("nothing is lost when Prometheus restarts", || restarted(&mut prometheus))?;
    step("nothing is lost when an exporter is killed", || killed(&prometheus, &mut exporters))?;
    // Last, because it removes devices that exporters watch.
    step("mode switch is tracked", || {
        cluster::follow(observer, &topology, &prometheus, || observer_lab::switch(&name, Mode::Bgp, 30))
    })?;
    drop((prometheus, exporters, lab));
    Ok(())
}

/// The name of a test's lab.
pub fn lab_name(test: &str) -> String {
    match std::env::var(MARK) {
        Ok(mark) if !mark.is_empty() => format!("observer-{test}-{mark}"),
        _ => format!("observer-{test}"),
    }
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    work().with_context(|| name.to_owned())?;
    shell::step("fleet", &format!("{name}: passed in {:.1} s", start.elapsed().as_secs_f64()));
    Ok(())
}

/// Waits until `condition` is true. The error has the condition's last error.
fn wait_for(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    loop {
        let now = condition();
        if matches!(now, Ok(true)) {
            return Ok(());
        }
        if start.elapsed() > BOUND {
            now.with_context(|| format!("not within {} s: {what}", BOUND.as_secs()))?;
            bail!("not within {} s: {what}", BOUND.as_secs());
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// All targets were scraped often enough for rates, and the recording rules have run.
fn scraped(prometheus: &Prometheus) -> Result<()> {
    wait_for("ten scrapes of each node", || {
        let often = prometheus.query(r#"sum_over_time(up{job="observer"}[1m]) >= 10"#)?;
        Ok(often.len() == 3 && !prometheus.query("cluster:observer_overhead:ratio5m")?.is_empty())
    })
}

/// The sum of a counter over everything.
fn total(prometheus: &Prometheus) -> Result<f64> {
    let sum = prometheus.query(r#"sum(observer_packets_total)"#)?;
    sum.first().map(|sample| sample.value).context("no packets counted")
}

fn restarted(prometheus: &mut Prometheus) -> Result<()> {
    let before = total(prometheus)?;
    prometheus.restart()?;
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
    // Of every node: a series that ends before Prometheus has scraped it again stays for five minutes, because it is
    // not marked as stale.
    wait_for("a scrape of each node after the restart", || {
        let since = prometheus.query(&format!(r#"count(timestamp(up{{job="observer"}}) > {began}) == 3"#))?;
        Ok(since.len() == 1 && total(prometheus)? >= before)
    })?;
    no_reset(prometheus)
}

fn killed(prometheus: &Prometheus, exporters: &mut Exporters) -> Result<()> {
    exporters.kill(0)?;
    wait_for("the killed exporter is down in Prometheus", || {
        Ok(prometheus.query(r#"up{job="observer",node="node-a"} == 0"#)?.len() == 1)
    })?;
    exporters.begin(0)?;
    wait_for("the exporter is up again", || {
        Ok(prometheus.query(r#"up{job="observer",node="node-a"} == 1"#)?.len() == 1)
    })?;
    no_reset(prometheus)?;
    wait_for("the gap is reported as unwatched", || {
        Ok(prometheus.query(r#"observer_unwatched_seconds_total{node="node-a"} > 0"#)?.len() == 1)
    })
}

/// Traffic counters, which never decrease.
const TOTALS: [&str; 6] = [
    "observer_packets_total",
    "observer_wire_bytes_total",
    "observer_l3_bytes_total",
    "observer_overhead_bytes_total",
    "observer_path_packets_total",
    "observer_path_l3_bytes_total",
];

/// Checks that no traffic counter decreased.
fn no_reset(prometheus: &Prometheus) -> Result<()> {
    for name in TOTALS {
        let reset = prometheus.query(&format!("resets({name}[10m]) > 0"))?;
        ensure!(reset.is_empty(), "{name} decreased: {:?}", reset.first().map(|sample| &sample.labels));
    }
    Ok(())
}

/// Enables the kernel's BPF statistics during the test; without them programs have no run time.
struct Statistics(#[expect(dead_code, reason = "closing it turns them off")] Option<std::os::fd::OwnedFd>);

impl Statistics {
    fn on() -> Self {
        use std::os::fd::FromRawFd as _;
        const BPF_ENABLE_STATS: libc::c_int = 32;
        // The attribute's first field is the type; 0 is the run time.
        let attribute = [0_u8; 16];
        // SAFETY: the attribute lives through the call, and the kernel reads no more than its length.
        let fd =
            unsafe { libc::syscall(libc::SYS_bpf, BPF_ENABLE_STATS, attribute.as_ptr(), attribute.len()) };
        let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0);
        // SAFETY: the kernel has just given this descriptor to us alone.
        Self(fd.map(|fd| unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) }))
    }
}

/// A temporary folder with a bpffs.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        let bpf = path.join("bpf");
        std::fs::create_dir_all(&bpf).with_context(|| format!("cannot create {}", path.display()))?;
        let scratch = Self(path);
        shell::output(Command::new("mount").args(["-t", "bpf", "bpf"]).arg(&bpf))?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let unmounted = shell::output(Command::new("umount").arg(self.0.join("bpf")));
        let removed = std::fs::remove_dir_all(&self.0);
        if unmounted.is_err() || removed.is_err() {
            eprintln!("warning: {} was not removed", self.0.display());
        }
    }
}
