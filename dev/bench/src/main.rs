//! Measures the cost of Observer: programs, growth, throughput, user space (docs/performance.md).
//!
//! `cargo xtask bench` builds and runs it.

mod baselines;
mod bench;
mod chart;
mod check;
mod classes;
mod clock;
mod cost;
mod diff;
mod dispatcher_pin;
mod frames;
mod growth;
mod hook_rtt;
mod iperf;
mod netns;
mod noise;
mod pcap;
mod process;
mod program;
mod pty;
mod report;
mod scratch;
mod trace;
mod user;
mod veth;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use bench::Effort;
use diff::Agreement;
use observer_testing::ceilings::Ceilings;
use report::{Machine, Section};

/// Exit code if a ceiling was exceeded or two runs do not agree.
const EXCEEDED: u8 = 1;
/// Exit code if something could not be measured.
const FAILED: u8 = 2;
/// Attempts before a ceiling counts as exceeded.
const CHECKS: usize = 3;
/// How long a part may wait for an undisturbed core.
const WAIT: Duration = Duration::from_secs(10 * 60);
/// The same with `--quick` and `--check`.
const WAIT_QUICK: Duration = Duration::from_secs(60);
const PAGE: &str = "docs/performance.md";
const CHART: &str = "docs/performance.svg";

/// Parts of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// CPU time per packet of the counting programs, for every class of packets
    Program,
    /// CPU time per packet of the programs of `observer trace`
    Trace,
    /// Growth of the cost with paths, devices and CPUs
    Scale,
    /// Growth of the cost in a flood from a million spoofed senders
    Flood,
    /// Packets per second over a veth
    Veth,
    /// Throughput of iperf3
    Iperf,
    /// Throughput with and without the cost measurement (`--cost`)
    Cost,
    /// CPU, memory and latency of the user-space program
    User,
    /// Speed of `observer pcap` compared with other programs
    Pcap,
    /// Verified instructions and sizes of the programs
    Size,
    /// CPU time per packet of the programs that time round trips at the hooks
    HookRtt,
}

/// Measure the cost of Observer
#[derive(Parser)]
#[command(name = "observer-bench", disable_version_flag = true)]
struct Cli {
    /// Run fewer and shorter rounds: rough results in seconds
    #[arg(long)]
    quick: bool,
    /// Compare R and program sizes with dev/testing/ceilings.toml; exit with 1 if a ceiling is exceeded
    #[arg(long)]
    check: bool,
    /// Measure only these classes of packets in the part `program`, by letter (a to i)
    #[arg(long, value_delimiter = ',', value_name = "LETTER", conflicts_with_all = ["docs", "check"])]
    class: Vec<String>,
    /// Run only these parts (default: all)
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    only: Vec<Part>,
    /// Write the results to FILE as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Compare the ratios with FILE, which an earlier run wrote with `--json`; exit with 1 if one differs by more
    /// than 10 %
    #[arg(long, value_name = "FILE")]
    diff: Option<PathBuf>,
    /// Update docs/performance.md and its chart with the measured parts (default for a full run)
    #[arg(long)]
    docs: bool,
    /// Path of the `observer` program for the parts `user` and `pcap`
    #[arg(long, value_name = "PROGRAM", default_value = "observer")]
    observer: PathBuf,
}

impl Cli {
    fn parts(&self) -> Vec<Part> {
        let default: &[Part] = if self.check { &[Part::Program, Part::Size] } else { Part::value_variants() };
        if self.only.is_empty() { default.to_vec() } else { self.only.clone() }
    }

    fn effort(&self) -> Effort {
        match (self.check, self.quick) {
            (true, _) => Effort { rounds: 5, repeat: 100_000 },
            (_, true) => Effort { rounds: 5, repeat: 200_000 },
            _ => Effort { rounds: 11, repeat: 1_000_000 },
        }
    }

    fn writes_docs(&self) -> bool {
        self.docs || !(self.quick || self.check) && self.only.is_empty() && self.class.is_empty()
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let machine = Machine::current(cli.quick || cli.check);
    let earlier = cli.diff.as_deref().map(diff::read).transpose()?;
    clock::pin_to_one()?;
    noise::limit_waiting(if cli.quick || cli.check { WAIT_QUICK } else { WAIT });
    let (mut sections, mut exceeded, mut failed) = (Vec::new(), Vec::new(), false);
    for part in cli.parts() {
        match measure(part, cli, &mut exceeded) {
            Ok(section) => sections.push(section),
            Err(error) => {
                // Measure the remaining parts, but report this one as failed.
                let name =
                    part.to_possible_value().map_or("part", |value| value.get_name().to_owned().leak());
                eprintln!("error: {name}: {error:#}");
                sections.push(Section::failed(name, name, &error));
                failed = true;
                clock::pin_to_one()?;
            }
        }
    }
    print!("{}", report::text(&machine, &sections));
    let results = report::json(&machine, &sections);
    if let Some(path) = &cli.json {
        write(path, &format!("{results:#}\n"))?;
    }
    let mut differs = false;
    if let (Some(earlier), Some(path)) = (earlier, &cli.diff) {
        let failed = || format!("cannot compare with {}", path.display());
        let agreement = Agreement::of(&earlier, &results).with_context(failed)?;
        let (different, compared) = (agreement.different.len(), agreement.compared);
        println!("\n{} of {compared} ratios agree with {} within 10 %", compared - different, path.display());
        agreement.different.iter().for_each(|line| println!("{line}"));
        differs = different != 0;
    }
    if cli.writes_docs() {
        report::write_page(Path::new(PAGE), &machine, &sections)?;
        for section in sections.iter().filter(|section| !section.bars.is_empty()) {
            write(
                Path::new(CHART),
                &chart::svg("R of each class of packets; the line is its budget", &section.bars),
            )?;
        }
    }
    for line in &exceeded {
        eprintln!("above the ceiling: {line}");
    }
    Ok(if failed {
        ExitCode::from(FAILED)
    } else if differs || cli.check && !exceeded.is_empty() {
        ExitCode::from(EXCEEDED)
    } else {
        ExitCode::SUCCESS
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn measure(part: Part, cli: &Cli, exceeded: &mut Vec<String>) -> Result<Section> {
    let (effort, quick) = (cli.effort(), cli.quick);
    let choose = |few: usize, many: usize| if quick { few } else { many };
    match part {
        Part::Program => {
            let mut measured = program::measure(effort, &cli.class)?;
            let ceilings = Ceilings::read();
            let mut above = check::exceeded_ratios(&ceilings, &measured);
            // Other load only increases the measured cost, so the lowest attempt counts.
            for _ in 1..CHECKS {
                if above.is_empty() || !cli.check {
                    break;
                }
                eprintln!("bench: above a ceiling, possibly because the machine is busy; measuring again");
                program::keep_lowest(&mut measured, program::measure(effort, &cli.class)?);
                above = check::exceeded_ratios(&ceilings, &measured);
            }
            exceeded.extend(above);
            Ok(program::section(&measured, effort))
        }
        Part::Trace => trace::measure(effort),
        Part::HookRtt => hook_rtt::measure(effort),
        Part::Scale => growth::scale(effort),
        Part::Flood => growth::flood(effort),
        Part::Veth => {
            veth::measure(veth::Effort { rounds: choose(3, 31), frames: choose(300_000, 1_000_000) as u32 })
        }
        Part::Iperf => iperf::measure(iperf::Effort { rounds: choose(2, 27) }),
        Part::Cost => {
            cost::measure(cost::Effort { pairs: choose(10, 30), window: Duration::from_millis(1_000) })
        }
        Part::User => user::measure(
            &cli.observer,
            user::Effort {
                starts: choose(2, 7),
                scrapes: choose(5, 31),
                seconds: choose(3, 15) as u32,
                keys: choose(10, 60),
            },
        ),
        Part::Pcap => {
            let packets = choose(50_000, 100_000) as u32;
            pcap::measure(&cli.observer, pcap::Effort { rounds: choose(2, 3), packets })
        }
        Part::Size => {
            let (section, above) = check::sizes(&Ceilings::read())?;
            exceeded.extend(above);
            Ok(section)
        }
    }
}
