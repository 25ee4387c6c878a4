//! `cargo xtask lab walkthrough`: a mode switch under traffic, as an operator does it. The doctor's prediction is
//! compared with what is measured afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::lifecycle::{self, Lab, Options};
use super::topology::Mode;
use super::traffic::{self, worker};

/// Options of the walkthrough.
#[derive(clap::Args)]
pub struct Args {
    /// Mode before the switch
    #[arg(long, default_value = "vxlan-always")]
    from: Mode,
    /// Mode after the switch
    #[arg(long, default_value = "vxlan-crosssubnet")]
    to: Mode,
    /// Duration of each measurement in seconds
    #[arg(long = "for", default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(2..=600))]
    seconds: u64,
    /// Traffic in Mbit/s
    #[arg(long, default_value_t = 20, value_name = "MBIT")]
    rate: u64,
    /// Use this `observer` instead of building it
    #[arg(long, value_name = "FILE")]
    pub(crate) observer: Option<PathBuf>,
    /// Write recordings and reports to this folder and keep them
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

/// Maximum relative difference between prediction and measurement.
const TOLERANCE: f64 = 0.10;

/// A lab, the program, and the folder for results.
struct Walk<'a> {
    name: &'a str,
    lab: &'a Lab,
    observer: &'a Path,
    folder: &'a Path,
    seconds: String,
}

/// Runs the walkthrough.
///
/// # Errors
/// The step that failed, or a prediction that differs from the measurement.
pub fn run(name: &str, args: &Args) -> Result<()> {
    let observer = args.observer.as_deref().context("--observer FILE is required")?;
    let options = Options {
        force: true,
        offloads: true,
        underlay_mtu: 1500,
        tunnel_mtu: None,
        pod_mtu: None,
        fresh_pods: true,
        timeout: 30,
    };
    say(&format!("creating a lab of three nodes, mode {}, {} Mbit/s between its pods", args.from, args.rate));
    let lab = Lab::up(name, args.from, &options)?;
    let temporary = super::state::folder(name).join("walkthrough");
    let folder = args.keep.as_deref().unwrap_or(&temporary);
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let walk = Walk { name, lab: &lab, observer, folder, seconds: args.seconds.to_string() };
    walk.run(args)
}

fn say(what: &str) {
    eprintln!("walkthrough: {what}");
}

impl Walk<'_> {
    fn run(&self, args: &Args) -> Result<()> {
        traffic::start(self.name, &worker::Args::all_pods(900, args.rate))?;

        say("doctor before");
        let before = self.doctor("before", args.from, &[])?;
        self.expect_mode(&before, args.from)?;
        self.expect_findings(&before, &[])?;

        say("plan");
        let planned = self.doctor("plan", args.from, &["--plan", target(args.to)])?;
        let mut mix = Mix::of(&planned)?;
        let recorded = self.record("before")?;
        let paths_before = self.paths()?;

        say(&format!("switch to {} under traffic", args.to));
        lifecycle::switch(self.name, args.to, 30)?;

        say("doctor after");
        let after = self.doctor("after", args.to, &[])?;
        self.expect_mode(&after, args.to)?;
        // Pods keep their MTU, which no longer fits the mode.
        self.expect_findings(&after, &["pod-mtu-low", "pod-mtu-high"])?;
        mix.keep_planned(&planned, &after)?;
        let measured = Saving { before: mix.measured(&paths_before)?, after: mix.measured(&self.paths()?)? };
        if recorded && self.record("after")? {
            self.compare()?;
        }
        compare_savings(&mix.predicted(), &measured)
    }

    /// Runs `observer` in node-a; exit codes above `most` are errors.
    fn observer(&self, arguments: &[&str], most: i32) -> Result<String> {
        let mut program = vec![self.observer.display().to_string()];
        program.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let output = self
            .lab
            .command("node-a", &program)?
            .output()
            .with_context(|| format!("cannot run {}", self.observer.display()))?;
        if output.status.code().is_none_or(|code| code > most) {
            bail!(
                "observer {} failed: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn doctor(&self, file: &str, declared: Mode, more: &[&str]) -> Result<Value> {
        let resources = self.folder.join(format!("resources-{file}.yaml"));
        let yaml = super::resources::yaml(&super::topology::Topology::new(self.name), declared);
        fs::write(&resources, yaml).with_context(|| format!("cannot write {}", resources.display()))?;
        let resources = resources.display().to_string();
        let mut arguments =
            vec!["doctor", "--format", "json", "--for", &self.seconds, "--resources", &resources];
        arguments.extend(more);
        let text = self.observer(&arguments, 1)?;
        let path = self.folder.join(format!("doctor-{file}.json"));
        fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        serde_json::from_str(&text).context("the doctor's JSON cannot be read")
    }

    fn expect_mode(&self, doctor: &Value, mode: Mode) -> Result<()> {
        let wanted = if mode == Mode::Bgp { "native".to_owned() } else { mode.to_string() };
        let four = &doctor["modes"][0];
        for source in ["routes", "observed", "declared"] {
            if four[source] != wanted.as_str() {
                bail!("the doctor reports {} by {source} for IPv4 instead of {wanted}", four[source]);
            }
        }
        say(&format!("mode by routes, traffic and pools: {wanted}"));
        Ok(())
    }

    fn expect_findings(&self, doctor: &Value, allowed: &[&str]) -> Result<()> {
        let ids: Vec<&str> =
            doctor["findings"].as_array().into_iter().flatten().filter_map(|f| f["id"].as_str()).collect();
        if let Some(id) = ids.iter().find(|id| !allowed.contains(id)) {
            bail!("unexpected finding {id}; the reports are in {}", self.folder.display());
        }
        say(&if ids.is_empty() { "no findings".to_owned() } else { format!("findings: {}", ids.join(", ")) });
        Ok(())
    }

    /// The paths between nodes, as `observer stat` measures them.
    fn paths(&self) -> Result<Vec<Value>> {
        let arguments = ["stat", "--format", "json", "--count", "1", "--interval", &self.seconds];
        let report: Value = serde_json::from_str(&self.observer(&arguments, 0)?).context("observer stat")?;
        Ok(report["paths"].as_array().context("the report has no paths")?.clone())
    }

    /// Records if this `observer` can; returns whether it can.
    fn record(&self, what: &str) -> Result<bool> {
        if !self.can("record")? {
            say("this observer has no `record`; continuing without recordings");
            return Ok(false);
        }
        say(&format!("record {what}"));
        let file = self.folder.join(format!("{what}.json")).display().to_string();
        self.observer(&["record", "--for", &self.seconds, "-o", &file], 0)?;
        Ok(true)
    }

    fn compare(&self) -> Result<()> {
        say("compare");
        let file = |what: &str| self.folder.join(format!("{what}.json")).display().to_string();
        let text = self.observer(&["compare", &file("before"), &file("after"), "--format", "json"], 1)?;
        let path = self.folder.join("compare.json");
        fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        let _: Value = serde_json::from_str(&text).context("the comparison cannot be read")?;
        Ok(())
    }

    fn can(&self, command: &str) -> Result<bool> {
        let help = Command::new(self.observer).args([command, "--help"]).output();
        Ok(help.with_context(|| format!("cannot run {}", self.observer.display()))?.status.success())
    }
}

const fn target(mode: Mode) -> &'static str {
    match mode {
        Mode::IpipAlways => "ipip",
        Mode::VxlanAlways => "vxlan",
        Mode::IpipCrossSubnet | Mode::VxlanCrossSubnet => "cross-subnet",
        Mode::Bgp => "native",
    }
}

/// The plan's traffic by family and scope. Later measurements are weighted by it, because the distribution of traffic
/// changes between measurements independently of encapsulation.
struct Mix(BTreeMap<(String, String), Part>);

/// One kind of traffic.
#[derive(Clone, Copy, Default)]
struct Part {
    packets: f64,
    overhead_now: f64,
    overhead_then: f64,
}

impl Mix {
    fn of(planned: &Value) -> Result<Self> {
        let groups = planned["plan"]["traffic"]["groups"].as_array().context("the plan has no traffic")?;
        let mut parts: BTreeMap<(String, String), Part> = BTreeMap::new();
        for group in groups {
            let word = |field: &str| group[field].as_str().unwrap_or_default().to_owned();
            let number = |value: &Value| value.as_f64().unwrap_or_default();
            let part = parts.entry((word("family"), word("scope"))).or_default();
            part.packets += number(&group["packets"]);
            part.overhead_now += number(&group["overhead_bytes"]["now"]);
            part.overhead_then += number(&group["overhead_bytes"]["then"]);
        }
        // Too few packets for a mean.
        parts.retain(|_, part| part.packets >= 100.0);
        if parts.is_empty() {
            bail!("the plan has no traffic between nodes");
        }
        Ok(Self(parts))
    }

    /// Omits a family that the lab switched to another mode than planned: IPv6 is native in the lab's IPIP modes,
    /// while switching an IPv4 pool to IPIP does not change IPv6.
    fn keep_planned(&mut self, planned: &Value, after: &Value) -> Result<()> {
        let family = |modes: &Value, family: &str, field: &str| {
            let list = modes.as_array().into_iter().flatten();
            let found = list.clone().find(|mode| mode["family"] == family);
            found.and_then(|mode| mode[field].as_str()).unwrap_or("none").to_owned()
        };
        for name in ["ipv4", "ipv6"] {
            let then = family(&planned["plan"]["modes"], name, "then");
            let is = family(&after["modes"], name, "routes");
            if then != is {
                say(&format!("{name} is omitted: the plan was {then}, the lab switched to {is}"));
                self.0.retain(|(family, _), _| family != name);
            }
        }
        if self.0.is_empty() {
            bail!("the lab switched no address family as planned");
        }
        Ok(())
    }

    fn packets(&self) -> f64 {
        self.0.values().map(|part| part.packets).sum()
    }

    fn predicted(&self) -> Saving {
        let sum = |value: fn(&Part) -> f64| self.0.values().map(value).sum::<f64>() / self.packets();
        Saving { before: sum(|part| part.overhead_now), after: sum(|part| part.overhead_then) }
    }

    /// Overhead bytes per packet of measured paths, in this mix.
    fn measured(&self, paths: &[Value]) -> Result<f64> {
        let mut sum = 0.0;
        for ((family, scope), part) in &self.0 {
            let (mut overhead, mut packets) = (0.0, 0.0);
            for path in paths {
                let six = path["peer"].as_str().is_some_and(|peer| peer.contains(':'));
                if path["scope"] == scope.as_str() && six == (family == "ipv6") {
                    overhead += path["overhead_bytes"].as_f64().unwrap_or_default();
                    packets += path["counters"]["packets"].as_f64().unwrap_or_default();
                }
            }
            if packets == 0.0 {
                bail!("no {family} packets to {scope} nodes, but the plan has some");
            }
            sum += part.packets * overhead / packets;
        }
        Ok(sum / self.packets())
    }
}

/// Overhead bytes per packet.
struct Saving {
    before: f64,
    after: f64,
}

impl Saving {
    fn saved(&self) -> f64 {
        self.before - self.after
    }
}

/// Compares prediction and measurement.
fn compare_savings(predicted: &Saving, measured: &Saving) -> Result<()> {
    let words = |saving: &Saving| {
        format!("{:.2} → {:.2} bytes per packet, saved {:.2}", saving.before, saving.after, saving.saved())
    };
    say(&format!("predicted: {}", words(predicted)));
    say(&format!("measured:  {}", words(measured)));
    let apart = (predicted.saved() - measured.saved()).abs();
    let scale = measured.saved().abs().max(predicted.saved().abs());
    if scale < 0.5 {
        say("no savings predicted or measured");
        return Ok(());
    }
    say(&format!("difference: {:.1} %", apart / scale * 100.0));
    if apart > scale * TOLERANCE {
        bail!("prediction and measurement differ by {:.0} %", apart / scale * 100.0);
    }
    Ok(())
}
