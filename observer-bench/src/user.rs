//! (d) User space: CPU, memory and start-up of the program, whole, while its tables are full of paths.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use observer_testing::node::NODE;
use serde_json::{Value, json};

use crate::bench::Hook;
use crate::classes;
use crate::clock::{self, median};
use crate::frames::{FAR, Pair, attach_xdp};
use crate::netns::Running;
use crate::process;
use crate::pty;
use crate::report::{Section, grouped, verdict};
use crate::scratch::Scratch;
use crate::yardsticks::{Senders, Yardstick, Yardsticks};

/// Paths.
const PATHS: [u32; 3] = [10, 1_000, 10_000];
/// Room for peers: a power of two above the most paths.
const ROOM: u32 = 16_384;
/// Where the peers begin.
const PEERS: [u8; 4] = [172, 16, 0, 0];
/// Most of one CPU that it may need at 10,000 paths, in percent.
const CPU_BUDGET: f64 = 1.0;
/// Most that a scrape of 10,000 paths may take, in milliseconds.
const SCRAPE_BUDGET: f64 = 50.0;
/// Peers that an exporter exports one by one where nothing else is said.
const EXPORTED: u32 = 100;
/// Where the exporter listens, in the benchmark's own namespace.
const EXPORTER: &str = "127.0.0.1:9475";
/// Most memory, in MB.
const MEMORY_BUDGET: f64 = 40.0;
/// How long a program may take until it reports.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Starts.
    pub starts: usize,
    /// Scrapes.
    pub scrapes: usize,
    /// Seconds that a program is watched.
    pub seconds: u32,
}

/// What is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Json,
    Table,
    Top,
}

impl Command {
    const ALL: [Self; 3] = [Self::Json, Self::Table, Self::Top];

    const fn label(self) -> &'static str {
        match self {
            Self::Json => "stat --format json",
            Self::Table => "stat --paths",
            Self::Top => "top",
        }
    }

    const fn options(self) -> &'static str {
        match self {
            Self::Json => "stat far --interval 1 --format json",
            Self::Table => "stat far --interval 1 --paths",
            Self::Top => "top far --interval 1",
        }
    }
}

/// What one costs.
struct Measured {
    command: Command,
    paths: u32,
    cpu_percent: f64,
    resident: f64,
    peak: f64,
}

/// A node whose peers send.
struct Site<'a> {
    observer: &'a Path,
    yardsticks: Yardsticks,
    pair: Pair,
    frame: Vec<u8>,
    config: Scratch,
    report: Scratch,
}

impl Site<'_> {
    /// Writes a configuration that names so many peers.
    fn write_config(&self, peers: u32) -> Result<()> {
        let mut text = "peers = [".to_owned();
        for n in 0..peers {
            let _ = write!(text, "\"{}\",", Ipv4Addr::from(u32::from_be_bytes(PEERS) + n));
        }
        // The default has no room for the most of them.
        let _ = write!(text, "]\nmax-peers = {ROOM}\n");
        std::fs::write(self.config.path(), text).context("cannot write a configuration")
    }

    fn command(&self, options: &str) -> std::process::Command {
        let mut command = self.pair.netns.command(self.observer);
        command.arg("--config").arg(self.config.path()).args(options.split(' '));
        command
    }

    fn start(&self, command: Command) -> Result<Running> {
        let mut program = self.command(command.options());
        if command == Command::Top {
            return pty::spawn(&mut program);
        }
        let report = File::create(self.report.path()).context("cannot create a file")?;
        let child = program.stdin(Stdio::null()).stdout(report).spawn().context("cannot start observer")?;
        Ok(Running(child))
    }

    /// Lets every peer send twice.
    fn pump(&mut self, peers: u32) -> Result<()> {
        self.yardsticks.set_senders(Senders::new(PEERS, 1, peers))?;
        self.pair.send(&self.yardsticks, &self.frame, 2 * peers)?;
        Ok(())
    }

    fn watch(&mut self, command: Command, paths: u32, seconds: u32) -> Result<Measured> {
        self.write_config(paths)?;
        let mut running = self.start(command)?;
        let id = running.0.id();
        let start = Instant::now();
        while command != Command::Top && std::fs::metadata(self.report.path())?.len() == 0 {
            if let Some(status) = running.0.try_wait()? {
                bail!("observer {} ended: {status}", command.label());
            }
            if start.elapsed() > PATIENCE {
                bail!("observer {} reports nothing", command.label());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        if command == Command::Top {
            std::thread::sleep(Duration::from_secs(3));
        }
        self.pump(paths)?;
        std::thread::sleep(Duration::from_millis(1_500));
        let (before, since) = (process::cpu_time(id)?, Instant::now());
        for second in 1..=seconds {
            self.pump(paths)?;
            let due = since + Duration::from_secs(u64::from(second));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let cpu = (process::cpu_time(id)? - before).as_secs_f64() / since.elapsed().as_secs_f64();
        let (resident, peak) = process::memory(id)?;
        drop(running);
        if command == Command::Json {
            self.check(paths)?;
        }
        let mb = |bytes: u64| bytes as f64 / 1e6;
        Ok(Measured { command, paths, cpu_percent: cpu * 100.0, resident: mb(resident), peak: mb(peak) })
    }

    /// The last whole report must know every path.
    fn check(&self, paths: u32) -> Result<()> {
        let text = std::fs::read_to_string(self.report.path()).context("cannot read the report")?;
        let last = text.rsplit('\n').find_map(|line| serde_json::from_str::<Value>(line).ok());
        let is = last.and_then(|report| report["paths"].as_array().map(Vec::len));
        if is != Some(paths as usize) {
            bail!("the report should know {paths} paths: {is:?}");
        }
        Ok(())
    }

    /// Milliseconds from the start to the end of a run that reports once, the interval taken off: wall
    /// time, CPU time.
    fn startup(&self, peers: u32, starts: usize) -> Result<(f64, f64)> {
        self.write_config(peers)?;
        let (mut wall, mut cpu) = (Vec::new(), Vec::new());
        for _ in 0..starts {
            let run = process::run(&mut self.command("stat far --interval 0.1 --count 1 --format json"))?;
            wall.push((run.wall.as_secs_f64() - 0.1) * 1e3);
            cpu.push(run.cpu.as_secs_f64() * 1e3);
        }
        Ok((median(&wall), median(&cpu)))
    }
}

/// What scrapes of an exporter cost.
struct Scraped {
    paths: u32,
    /// Peers that are exported one by one; the others' paths are summed.
    peers: u32,
    /// Milliseconds, the median.
    latency: f64,
    /// Bytes of an answer.
    bytes: usize,
    resident: f64,
    peak: f64,
}

impl Site<'_> {
    /// Starts an exporter that exports so many peers, and scrapes it.
    fn scrape(&mut self, paths: u32, peers: u32, scrapes: usize) -> Result<Scraped> {
        self.write_config(paths)?;
        let options = format!("export far --no-pin --listen {EXPORTER} --peers-exported {peers}");
        let child = self.command(&options).stdin(Stdio::null()).spawn().context("cannot start observer")?;
        let running = Running(child);
        let id = running.0.id();
        let start = Instant::now();
        while self.pair.netns.run(|| get("/readyz")).is_err() {
            if start.elapsed() > PATIENCE {
                bail!("observer export does not answer");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let (mut latencies, mut bytes) = (Vec::new(), 0);
        for _ in 0..scrapes {
            self.pump(paths)?;
            let begun = Instant::now();
            let answer = self.pair.netns.run(|| get("/metrics"))?;
            latencies.push(begun.elapsed().as_secs_f64() * 1e3);
            let known =
                answer.lines().filter(|line| line.starts_with("observer_path_packets_total{")).count();
            // Those that are summed are one row more.
            let rows = if peers < paths { peers + 1 } else { paths };
            if known != rows as usize {
                bail!("a scrape should have {rows} rows of paths: {known}");
            }
            bytes = answer.len();
        }
        let (resident, peak) = process::memory(id)?;
        drop(running);
        let mb = |bytes: u64| bytes as f64 / 1e6;
        Ok(Scraped {
            paths,
            peers,
            latency: median(&latencies),
            bytes,
            resident: mb(resident),
            peak: mb(peak),
        })
    }
}

/// Asks the exporter, and returns what it answers with 200.
fn get(path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(EXPORTER).context("cannot connect to observer export")?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {EXPORTER}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).context("cannot ask observer export")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("cannot read the answer of observer export")?;
    if !answer.starts_with("HTTP/1.1 200 ") {
        bail!("observer export refuses {path}: {}", answer.lines().next().unwrap_or_default());
    }
    Ok(answer)
}

/// Measures all of them.
///
/// # Errors
/// The program cannot be started, or does not know the paths.
pub fn measure(observer: &Path, effort: Effort) -> Result<Section> {
    let mut yardsticks = Yardsticks::load()?;
    let pair = Pair::new(&mut yardsticks)?;
    pair.netns.ip(&format!("addr add {}/16 dev {FAR}", Ipv4Addr::from(NODE)))?;
    let floor = yardsticks.program(Hook::Xdp, Yardstick::Floor)?;
    let _polling = pair.netns.run(|| attach_xdp(floor, pair.far))?;
    let mut site = Site {
        observer,
        yardsticks,
        pair,
        frame: classes::ipip(PEERS),
        config: Scratch::new()?,
        report: Scratch::new()?,
    };
    // The program runs where the kernel likes.
    clock::pin(clock::all_cpus())?;
    let mut measured = Vec::new();
    let mut starts = Vec::new();
    let mut scraped = Vec::new();
    for paths in PATHS {
        for command in Command::ALL {
            let one = site.watch(command, paths, effort.seconds)?;
            eprintln!(
                "bench: {:<20} {paths:>6} paths {:.2} % of a CPU, {:.1} MB",
                one.command.label(),
                one.cpu_percent,
                one.peak
            );
            measured.push(one);
        }
        for peers in [EXPORTED, paths] {
            if peers > paths {
                continue;
            }
            let one = site.scrape(paths, peers, effort.scrapes)?;
            eprintln!(
                "bench: a scrape of {paths} paths, {peers} peers {:.1} ms, {:.1} MB",
                one.latency, one.peak
            );
            scraped.push(one);
        }
        starts.push((paths, site.startup(paths, effort.starts)?));
    }
    clock::pin_to_one()?;
    Ok(section(&measured, &scraped, &starts, effort))
}

fn section(
    measured: &[Measured],
    scraped: &[Scraped],
    starts: &[(u32, (f64, f64))],
    effort: Effort,
) -> Section {
    let dash = || "–".to_owned();
    let mut rows = Vec::new();
    let mut data = Vec::new();
    for m in measured {
        let within = [verdict(m.cpu_percent, CPU_BUDGET), verdict(m.peak, MEMORY_BUDGET)];
        rows.push(vec![
            m.command.label().to_owned(),
            grouped(u64::from(m.paths)),
            format!("{:.2} %", m.cpu_percent),
            within[0].clone(),
            format!("{:.1} MB", m.resident),
            format!("{:.1} MB", m.peak),
            within[1].clone(),
        ]);
        data.push(json!({
            "command": m.command.label(), "paths": m.paths, "cpu_percent": m.cpu_percent,
            "cpu_budget_percent": CPU_BUDGET, "resident_mb": m.resident, "peak_mb": m.peak,
            "memory_budget_mb": MEMORY_BUDGET,
        }));
    }
    for s in scraped {
        rows.push(vec![
            format!("export, {} peers, a scrape", grouped(u64::from(s.peers))),
            grouped(u64::from(s.paths)),
            format!("{:.1} ms, {} kB", s.latency, grouped(s.bytes as u64 / 1_000)),
            verdict(s.latency, SCRAPE_BUDGET),
            format!("{:.1} MB", s.resident),
            format!("{:.1} MB", s.peak),
            verdict(s.peak, MEMORY_BUDGET),
        ]);
        data.push(json!({
            "command": "export", "paths": s.paths, "peers_exported": s.peers, "scrape_ms": s.latency, "answer_bytes": s.bytes,
            "scrape_budget_ms": SCRAPE_BUDGET, "resident_mb": s.resident, "peak_mb": s.peak,
            "memory_budget_mb": MEMORY_BUDGET,
        }));
    }
    for (peers, (wall, cpu)) in starts {
        rows.push(vec![
            "start to first report".to_owned(),
            grouped(u64::from(*peers)),
            format!("{cpu:.0} ms CPU, {wall:.0} ms in all"),
            dash(),
            dash(),
            dash(),
            dash(),
        ]);
        data.push(json!({
            "command": "start to first report", "peers": peers, "cpu_ms": cpu, "wall_ms": wall,
        }));
    }
    let about = format!(
        "The whole program on a veth, interval 1 s, watched for {} s while every path carries packets each \
         second; CPU time by the kernel's account of the process. Budgets: {CPU_BUDGET} % of one CPU, \
         {MEMORY_BUDGET} MB at 10,000 paths; a scrape of all of them {SCRAPE_BUDGET} ms, median of {}. Start: a run that reports once, without its interval, \
         median of {}.",
        effort.seconds, effort.scrapes, effort.starts,
    );
    Section {
        name: "user",
        title: "User space",
        about,
        columns: &["command", "paths", "CPU", "≤ 1 %", "memory", "peak", "≤ 40 MB"],
        rows,
        data: data.into(),
        bars: Vec::new(),
        missing: Vec::new(),
    }
}
