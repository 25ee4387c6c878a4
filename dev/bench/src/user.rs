//! User space: CPU, memory and latency of the complete program with many live paths.

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

use crate::baselines::{Baseline, Baselines, Senders};
use crate::bench::Hook;
use crate::classes;
use crate::clock::{self, median};
use crate::frames::{FAR, Pair, attach_xdp};
use crate::netns::Running;
use crate::process;
use crate::pty::Terminal;
use crate::report::{Section, grouped, verdict};
use crate::scratch::Scratch;

/// Paths.
const PATHS: [u32; 3] = [10, 1_000, 10_000];
/// Map size for peers: a power of two above the highest number of paths.
const MAX_PEERS: u32 = 16_384;
/// First peer address.
const PEERS: [u8; 4] = [172, 16, 0, 0];
/// Highest allowed CPU usage at 10,000 paths, in percent of one CPU.
const CPU_BUDGET: f64 = 1.0;
/// Highest allowed time of a scrape of 10,000 paths, in milliseconds.
const SCRAPE_BUDGET: f64 = 50.0;
/// Peers that are exported individually: the default.
const EXPORTED: u32 = 100;
/// Address of the exporter, in the benchmark's namespace.
const EXPORTER: &str = "127.0.0.1:9475";
/// Highest allowed memory usage, in MB.
const MEMORY_BUDGET: f64 = 40.0;
/// Highest allowed time of `top` from attaching to the first frame with figures, in milliseconds.
const FRAME_BUDGET: f64 = 300.0;
/// Highest allowed response time to a key, in milliseconds: feels instant to the user.
const KEY_BUDGET: f64 = 100.0;
/// First output of `top`: it has attached and takes over the terminal.
const ATTACHED: &str = "\x1b[?1049h";
/// Text that only frames with figures contain.
const FIGURES: &str = "Traffic";
/// Time between two keys.
const KEYS_APART: Duration = Duration::from_millis(73);
/// Text that only the help window contains: its border.
const HELP: &str = "───";
/// Time within which a program must report.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Number of measurements.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Starts.
    pub starts: usize,
    /// Scrapes.
    pub scrapes: usize,
    /// Seconds that a program is measured.
    pub seconds: u32,
    /// Key presses.
    pub keys: usize,
}

/// A command to measure.
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

/// Cost of a command.
struct Measured {
    command: Command,
    paths: u32,
    cpu_percent: f64,
    resident: f64,
    peak: f64,
}

/// A node with peers that send.
struct Site<'a> {
    observer: &'a Path,
    baselines: Baselines,
    pair: Pair,
    frame: Vec<u8>,
    config: Scratch,
    report: Scratch,
}

impl Site<'_> {
    /// Writes a configuration with this many peers.
    fn write_config(&self, peers: u32) -> Result<()> {
        let mut text = "peers = [".to_owned();
        for n in 0..peers {
            let _ = write!(text, "\"{}\",", Ipv4Addr::from(u32::from_be_bytes(PEERS) + n));
        }
        // The default is too small for the highest number.
        let _ = write!(text, "]\nmax-peers = {MAX_PEERS}\n");
        std::fs::write(self.config.path(), text).context("cannot write a configuration")
    }

    fn command(&self, options: &str) -> std::process::Command {
        let mut command = self.pair.netns.command(self.observer);
        command.arg("--config").arg(self.config.path()).args(options.split(' '));
        command
    }

    fn start(&self, command: Command) -> Result<Running> {
        let mut program = self.command(command.options());
        let report = File::create(self.report.path()).context("cannot create a file")?;
        let child = program.stdin(Stdio::null()).stdout(report).spawn().context("cannot start observer")?;
        Ok(Running(child))
    }

    /// Sends two packets from every peer.
    fn send(&mut self, peers: u32) -> Result<()> {
        self.baselines.set_senders(Senders::new(PEERS, 1, peers))?;
        self.pair.send(&self.baselines, &self.frame, 2 * peers)?;
        Ok(())
    }

    fn watch(&mut self, command: Command, paths: u32, seconds: u32) -> Result<Measured> {
        self.write_config(paths)?;
        if command == Command::Top {
            let mut terminal = Terminal::spawn(&mut self.command(command.options()))?;
            terminal.wait_for(FIGURES, TIMEOUT)?;
            return self.account(command, terminal.running, paths, seconds);
        }
        let mut running = self.start(command)?;
        let start = Instant::now();
        while std::fs::metadata(self.report.path())?.len() == 0 {
            if let Some(status) = running.0.try_wait()? {
                bail!("observer {} ended: {status}", command.label());
            }
            if start.elapsed() > TIMEOUT {
                bail!("observer {} reports nothing", command.label());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.account(command, running, paths, seconds)
    }

    /// Cost of a running program over this many seconds.
    fn account(&mut self, command: Command, running: Running, paths: u32, seconds: u32) -> Result<Measured> {
        let id = running.0.id();
        self.send(paths)?;
        std::thread::sleep(Duration::from_millis(1_500));
        let (before, since) = (process::cpu_time(id)?, Instant::now());
        for second in 1..=seconds {
            self.send(paths)?;
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

    /// The last complete report must contain every path.
    fn check(&self, paths: u32) -> Result<()> {
        let text = std::fs::read_to_string(self.report.path()).context("cannot read the report")?;
        let last = text.rsplit('\n').find_map(|line| serde_json::from_str::<Value>(line).ok());
        let is = last.and_then(|report| report["paths"].as_array().map(Vec::len));
        if is != Some(paths as usize) {
            bail!("expected {paths} paths in the report, found {is:?}");
        }
        Ok(())
    }

    /// Wall and CPU time of a run with a single report, excluding its interval, in milliseconds.
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

/// Latency of `top`, in milliseconds.
struct Latency {
    paths: u32,
    /// From start to attaching, and from there to the first frame with figures: medians.
    attach: f64,
    frame: f64,
    /// Response to a key at any time of the interval: median and maximum.
    key: f64,
    longest_key: f64,
}

impl Site<'_> {
    /// Starts `top` repeatedly, and presses keys while every path carries packets.
    fn latency(&mut self, paths: u32, starts: usize, keys: usize) -> Result<Latency> {
        self.write_config(paths)?;
        let ms = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64() * 1e3;
        let (mut attaches, mut frames, mut presses) = (Vec::new(), Vec::new(), Vec::new());
        for start in 0..starts {
            let begun = Instant::now();
            let mut terminal = Terminal::spawn(&mut self.command(Command::Top.options()))?;
            let attached = terminal.wait_for(ATTACHED, TIMEOUT)?;
            let shown = terminal.wait_for(FIGURES, TIMEOUT)?;
            attaches.push(ms(begun, attached));
            frames.push(ms(attached, shown));
            if start + 1 < starts {
                continue;
            }
            for _ in 0..keys {
                self.send(paths)?;
                let pressed = terminal.press("?")?;
                presses.push(ms(pressed, terminal.wait_for(HELP, TIMEOUT)?));
                terminal.press("?")?;
                // Not a divisor of the interval, so that keys are pressed at any time of it, also while maps are read.
                std::thread::sleep(KEYS_APART);
            }
        }
        Ok(Latency {
            paths,
            attach: median(&attaches),
            frame: median(&frames),
            key: median(&presses),
            longest_key: presses.iter().copied().fold(0.0, f64::max),
        })
    }
}

/// Cost of scrapes of an exporter.
struct Scraped {
    paths: u32,
    /// Peers that are exported individually; paths of the others are summed.
    peers: u32,
    /// Median, in milliseconds.
    latency: f64,
    /// Bytes of a response.
    bytes: usize,
    resident: f64,
    peak: f64,
}

impl Site<'_> {
    /// Starts an exporter that exports this many peers individually, and scrapes it.
    fn scrape(&mut self, paths: u32, peers: u32, scrapes: usize) -> Result<Scraped> {
        self.write_config(paths)?;
        let options = format!("export far --no-pin --listen {EXPORTER} --peers-exported {peers}");
        let child = self.command(&options).stdin(Stdio::null()).spawn().context("cannot start observer")?;
        let running = Running(child);
        let id = running.0.id();
        let start = Instant::now();
        while self.pair.netns.run(|| get("/readyz")).is_err() {
            if start.elapsed() > TIMEOUT {
                bail!("observer export does not answer");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let (mut latencies, mut bytes) = (Vec::new(), 0);
        for _ in 0..scrapes {
            self.send(paths)?;
            let begun = Instant::now();
            let response = self.pair.netns.run(|| get("/metrics"))?;
            latencies.push(begun.elapsed().as_secs_f64() * 1e3);
            let known =
                response.lines().filter(|line| line.starts_with("observer_path_packets_total{")).count();
            // The summed paths are one more row.
            let rows = if peers < paths { peers + 1 } else { paths };
            if known != rows as usize {
                bail!("expected {rows} path rows in a scrape, found {known}");
            }
            bytes = response.len();
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

/// Sends a request to the exporter and returns its response, which must have status 200.
fn get(path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(EXPORTER).context("cannot connect to observer export")?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {EXPORTER}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).context("cannot send a request to observer export")?;
    let mut response = String::new();
    stream.read_to_string(&mut response).context("cannot read the response of observer export")?;
    if !response.starts_with("HTTP/1.1 200 ") {
        bail!("observer export failed for {path}: {}", response.lines().next().unwrap_or_default());
    }
    Ok(response)
}

/// Measures every command.
///
/// # Errors
/// The program cannot be started, or its report lacks paths.
pub fn measure(observer: &Path, effort: Effort) -> Result<Section> {
    let mut baselines = Baselines::load()?;
    let pair = Pair::new(&mut baselines)?;
    pair.netns.ip(&format!("addr add {}/16 dev {FAR}", Ipv4Addr::from(NODE)))?;
    let floor = baselines.program(Hook::Xdp, Baseline::Floor)?;
    let _polling = pair.netns.run(|| attach_xdp(floor, pair.far))?;
    let mut site = Site {
        observer,
        baselines,
        pair,
        frame: classes::ipip(PEERS),
        config: Scratch::new()?,
        report: Scratch::new()?,
    };
    // Do not restrict the program to one CPU.
    clock::pin(clock::all_cpus())?;
    let mut measured = Vec::new();
    let mut starts = Vec::new();
    let (mut scraped, mut latencies) = (Vec::new(), Vec::new());
    for paths in PATHS {
        for command in Command::ALL {
            let one = site.watch(command, paths, effort.seconds)?;
            eprintln!(
                "bench: {:<20} {paths:>6} paths, {:.2} % of one CPU, {:.1} MB",
                one.command.label(),
                one.cpu_percent,
                one.peak
            );
            measured.push(one);
        }
        let one = site.latency(paths, effort.starts, effort.keys)?;
        eprintln!(
            "bench: top, {paths} paths: {:.0} ms to attach, {:.0} ms to the first frame, {:.0} ms per key, at most {:.0} ms",
            one.attach, one.frame, one.key, one.longest_key
        );
        latencies.push(one);
        for peers in [EXPORTED, paths] {
            if peers > paths {
                continue;
            }
            let one = site.scrape(paths, peers, effort.scrapes)?;
            eprintln!(
                "bench: a scrape of {paths} paths, {peers} peers: {:.1} ms, {:.1} MB",
                one.latency, one.peak
            );
            scraped.push(one);
        }
        starts.push((paths, site.startup(paths, effort.starts)?));
    }
    clock::pin_to_one()?;
    Ok(section(&measured, &latencies, &scraped, &starts, effort))
}

fn section(
    measured: &[Measured],
    latencies: &[Latency],
    scraped: &[Scraped],
    starts: &[(u32, (f64, f64))],
    effort: Effort,
) -> Section {
    let (mut rows, mut data) = (Vec::new(), Vec::new());
    let mut add = |(row, value): (Vec<String>, Value)| {
        rows.push(row);
        data.push(value);
    };
    measured.iter().map(usage_row).for_each(&mut add);
    latencies.iter().flat_map(latency_rows).for_each(&mut add);
    scraped.iter().map(scrape_row).for_each(&mut add);
    starts.iter().map(start_row).for_each(&mut add);
    let about = format!(
        "The complete program on a veth, interval 1 s, watched for {} s while every path carries packets each second; \
         CPU time by the kernel's accounting of the process. Budgets: {CPU_BUDGET} % of one CPU and {MEMORY_BUDGET} MB at \
         10,000 paths; {SCRAPE_BUDGET} ms for a scrape of all of them, median of {}. For `top`: the first frame with \
         figures within {FRAME_BUDGET} ms of attaching, medians of {}; the response to each of {} keys within \
         {KEY_BUDGET} ms, in a terminal of 160 × 50. Start: a run with a single report, excluding its interval, median \
         of {}.",
        effort.seconds, effort.scrapes, effort.starts, effort.keys, effort.starts,
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

/// A row of the table and its JSON.
type Row = (Vec<String>, Value);

fn usage_row(m: &Measured) -> Row {
    let row = vec![
        m.command.label().to_owned(),
        grouped(u64::from(m.paths)),
        format!("{:.2} %", m.cpu_percent),
        verdict(m.cpu_percent, CPU_BUDGET),
        format!("{:.1} MB", m.resident),
        format!("{:.1} MB", m.peak),
        verdict(m.peak, MEMORY_BUDGET),
    ];
    let value = json!({
        "command": m.command.label(), "paths": m.paths, "cpu_percent": m.cpu_percent,
        "cpu_budget_percent": CPU_BUDGET, "resident_mb": m.resident, "peak_mb": m.peak,
        "memory_budget_mb": MEMORY_BUDGET,
    });
    (row, value)
}

/// A row of something that takes time and no measured memory.
fn time_row(what: &str, paths: u32, took: String, verdict: String) -> Vec<String> {
    let dash = || "–".to_owned();
    vec![what.to_owned(), grouped(u64::from(paths)), took, verdict, dash(), dash(), dash()]
}

fn latency_rows(l: &Latency) -> [Row; 2] {
    let frame = format!("{:.0} ms after the attach, {:.0} ms in all", l.frame, l.attach + l.frame);
    let key = format!("{:.0} ms, at most {:.0} ms", l.key, l.longest_key);
    [
        (
            time_row("top, the first frame", l.paths, frame, verdict(l.frame, FRAME_BUDGET)),
            json!({
                "command": "top, the first frame", "paths": l.paths, "attach_ms": l.attach,
                "first_frame_ms": l.frame, "first_frame_budget_ms": FRAME_BUDGET,
            }),
        ),
        (
            time_row("top, a key", l.paths, key, verdict(l.longest_key, KEY_BUDGET)),
            json!({
                "command": "top, a key", "paths": l.paths, "key_ms": l.key, "longest_key_ms": l.longest_key,
                "key_budget_ms": KEY_BUDGET,
            }),
        ),
    ]
}

fn scrape_row(s: &Scraped) -> Row {
    let row = vec![
        format!("export, {} peers, a scrape", grouped(u64::from(s.peers))),
        grouped(u64::from(s.paths)),
        format!("{:.1} ms, {} kB", s.latency, grouped(s.bytes as u64 / 1_000)),
        verdict(s.latency, SCRAPE_BUDGET),
        format!("{:.1} MB", s.resident),
        format!("{:.1} MB", s.peak),
        verdict(s.peak, MEMORY_BUDGET),
    ];
    let value = json!({
        "command": "export", "paths": s.paths, "peers_exported": s.peers, "scrape_ms": s.latency,
        "response_bytes": s.bytes, "scrape_budget_ms": SCRAPE_BUDGET, "resident_mb": s.resident,
        "peak_mb": s.peak, "memory_budget_mb": MEMORY_BUDGET,
    });
    (row, value)
}

fn start_row((peers, (wall, cpu)): &(u32, (f64, f64))) -> Row {
    let took = format!("{cpu:.0} ms CPU, {wall:.0} ms in all");
    let value = json!({ "command": "start to first report", "peers": peers, "cpu_ms": cpu, "wall_ms": wall });
    (time_row("start to first report", *peers, took, "–".to_owned()), value)
}
