//! Measures what Observer costs: programs, growth, end to end, user space (docs/performance.md).
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

/// A ceiling was exceeded, or two runs do not agree.
const EXCEEDED: u8 = 1;
/// Something could not be measured.
const COULD_NOT: u8 = 2;
/// How often the programs are measured before a ceiling counts as exceeded.
const CHECKS: usize = 3;
/// How long a part may wait for a quiet processor.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// The same where seconds count.
const HASTE: Duration = Duration::from_secs(60);
const PAGE: &str = "docs/performance.md";
const CHART: &str = "docs/performance.svg";

/// Parts of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Cost of the programs, for every class of packets
    Program,
    /// Cost of the programs of `observer trace`
    Trace,
    /// Growth: paths, devices, CPUs
    Scale,
    /// A million spoofed senders
    Flood,
    /// Packets a second over a veth
    Veth,
    /// Throughput by iperf3
    Iperf,
    /// What the measurement of the cost of encapsulation costs
    Cost,
    /// CPU and memory of the program
    User,
    /// Capture files
    Pcap,
    /// Verified instructions and sizes of the programs
    Size,
    /// Cost of the programs that time round trips at the hooks
    Wire,
}

/// Measures what Observer costs
#[derive(Parser)]
#[command(name = "observer-bench", disable_version_flag = true)]
struct Cli {
    /// Fewer and shorter rounds: minutes become seconds, and figures rough
    #[arg(long)]
    quick: bool,
    /// Hold programs and sizes against dev/testing/ceilings.toml; exit code 1 where one is exceeded
    #[arg(long)]
    check: bool,
    /// Only these classes of packets, by their letters, in the part `program`: for a look, not for the page
    #[arg(long, value_delimiter = ',', value_name = "LETTER", conflicts_with_all = ["docs", "check"])]
    class: Vec<String>,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    only: Vec<Part>,
    /// Write the results as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Hold the ratios against those of an earlier run, as `--json` wrote them; exit code 1 where one is more than a
    /// tenth off
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Write what was measured into docs/performance.md and its chart, as a full run does
    #[arg(long)]
    docs: bool,
    /// The program `observer` that the parts about user space start
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
            ExitCode::from(COULD_NOT)
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let place = Machine::here(cli.quick || cli.check);
    let earlier = cli.against.as_deref().map(diff::read).transpose()?;
    clock::pin_to_one()?;
    noise::be_patient(if cli.quick || cli.check { HASTE } else { PATIENCE });
    let (mut sections, mut exceeded, mut failed) = (Vec::new(), Vec::new(), false);
    for part in cli.parts() {
        match measure(part, cli, &mut exceeded) {
            Ok(section) => sections.push(section),
            Err(error) => {
                // The others can be measured all the same; this one is not passed over in silence.
                let name =
                    part.to_possible_value().map_or("part", |value| value.get_name().to_owned().leak());
                eprintln!("error: {name}: {error:#}");
                sections.push(Section::failed(name, name, &error));
                failed = true;
                clock::pin_to_one()?;
            }
        }
    }
    print!("{}", report::text(&place, &sections));
    let results = report::json(&place, &sections);
    if let Some(path) = &cli.json {
        write(path, &format!("{results:#}\n"))?;
    }
    let mut disagree = false;
    if let (Some(earlier), Some(path)) = (earlier, &cli.against) {
        let failed = || format!("cannot compare with {}", path.display());
        let agreement = Agreement::of(&earlier, &results).with_context(failed)?;
        let (apart, compared) = (agreement.apart.len(), agreement.compared);
        println!("\n{} of {compared} ratios agree with {} within 10 %", compared - apart, path.display());
        agreement.apart.iter().for_each(|sentence| println!("{sentence}"));
        disagree = apart != 0;
    }
    if cli.writes_docs() {
        report::write_page(Path::new(PAGE), &place, &sections)?;
        for section in sections.iter().filter(|section| !section.bars.is_empty()) {
            write(Path::new(CHART), &chart::svg("R of each class; the line is its budget", &section.bars))?;
        }
    }
    for sentence in &exceeded {
        eprintln!("above the ceiling: {sentence}");
    }
    Ok(if failed {
        ExitCode::from(COULD_NOT)
    } else if disagree || cli.check && !exceeded.is_empty() {
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
            // What else the machine does makes programs look dearer, never cheaper.
            for _ in 1..CHECKS {
                if above.is_empty() || !cli.check {
                    break;
                }
                eprintln!("bench: above a ceiling, which a busy machine can be the reason of: once more");
                program::keep_lowest(&mut measured, program::measure(effort, &cli.class)?);
                above = check::exceeded_ratios(&ceilings, &measured);
            }
            exceeded.extend(above);
            Ok(program::section(&measured, effort))
        }
        Part::Trace => trace::measure(effort),
        Part::Wire => hook_rtt::measure(effort),
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
