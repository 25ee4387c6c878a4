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
/// Most that `top` may take from the attach to the first frame with figures, in milliseconds.
const FRAME_BUDGET: f64 = 300.0;
/// Most that it may take from a key to what the key asks for, in milliseconds: what is felt as at once.
const KEY_BUDGET: f64 = 100.0;
/// Its first words: it has attached, and takes the terminal.
const ATTACHED: &str = "\x1b[?1049h";
/// What only a frame with figures has.
const FIGURES: &str = "Traffic";
/// Time between two keys.
const KEYS_APART: Duration = Duration::from_millis(73);
/// What the key `?` draws, and nothing else: a frame.
const HELP: &str = "───";
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
    /// Keys that are pressed.
    pub keys: usize,
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
    baselines: Baselines,
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
        let report = File::create(self.report.path()).context("cannot create a file")?;
        let child = program.stdin(Stdio::null()).stdout(report).spawn().context("cannot start observer")?;
        Ok(Running(child))
    }

    /// Lets every peer send twice.
    fn pump(&mut self, peers: u32) -> Result<()> {
        self.baselines.set_senders(Senders::new(PEERS, 1, peers))?;
        self.pair.send(&self.baselines, &self.frame, 2 * peers)?;
        Ok(())
    }

    fn watch(&mut self, command: Command, paths: u32, seconds: u32) -> Result<Measured> {
        self.write_config(paths)?;
        if command == Command::Top {
            let mut terminal = Terminal::spawn(&mut self.command(command.options()))?;
            terminal.wait_for(FIGURES, PATIENCE)?;
            return self.account(command, terminal.running, paths, seconds);
        }
        let mut running = self.start(command)?;
        let start = Instant::now();
        while std::fs::metadata(self.report.path())?.len() == 0 {
            if let Some(status) = running.0.try_wait()? {
                bail!("observer {} ended: {status}", command.label());
            }
            if start.elapsed() > PATIENCE {
                bail!("observer {} reports nothing", command.label());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.account(command, running, paths, seconds)
    }

    /// What a program costs that has started, for so many seconds.
    fn account(&mut self, command: Command, running: Running, paths: u32, seconds: u32) -> Result<Measured> {
        let id = running.0.id();
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

/// How soon `top` is there: milliseconds.
struct Shown {
    paths: u32,
    /// From the start to the attach, from there to the first frame with figures: medians.
    attach: f64,
    frame: f64,
    /// From a key to what it asks for, at any time of the interval: the median and the longest.
    key: f64,
    longest_key: f64,
}

impl Site<'_> {
    /// Starts `top` so many times, and presses so many keys while every path carries packets.
    fn show(&mut self, paths: u32, starts: usize, keys: usize) -> Result<Shown> {
        self.write_config(paths)?;
        let ms = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64() * 1e3;
        let (mut attaches, mut frames, mut presses) = (Vec::new(), Vec::new(), Vec::new());
        for start in 0..starts {
            let begun = Instant::now();
            let mut terminal = Terminal::spawn(&mut self.command(Command::Top.options()))?;
            let attached = terminal.wait_for(ATTACHED, PATIENCE)?;
            let shown = terminal.wait_for(FIGURES, PATIENCE)?;
            attaches.push(ms(begun, attached));
            frames.push(ms(attached, shown));
            if start + 1 < starts {
                continue;
            }
            for _ in 0..keys {
                self.pump(paths)?;
                let pressed = terminal.press("?")?;
                presses.push(ms(pressed, terminal.wait_for(HELP, PATIENCE)?));
                terminal.press("?")?;
                // No divisor of the interval: keys come at every time of it, while the maps are read too.
                std::thread::sleep(KEYS_APART);
            }
        }
        Ok(Shown {
            paths,
            attach: median(&attaches),
            frame: median(&frames),
            key: median(&presses),
            longest_key: presses.iter().copied().fold(0.0, f64::max),
        })
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
    // The program runs where the kernel likes.
    clock::pin(clock::all_cpus())?;
    let mut measured = Vec::new();
    let mut starts = Vec::new();
    let (mut scraped, mut shown) = (Vec::new(), Vec::new());
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
        let one = site.show(paths, effort.starts, effort.keys)?;
        eprintln!(
            "bench: top, {paths} paths: {:.0} ms to the attach, {:.0} ms to the first frame, a key {:.0} ms, at most {:.0}",
            one.attach, one.frame, one.key, one.longest_key
        );
        shown.push(one);
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
    Ok(section(&measured, &shown, &scraped, &starts, effort))
}

fn section(
    measured: &[Measured],
    shown: &[Shown],
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
    for s in shown {
        let row = |what: &str, took: String, verdict: String| {
            vec![what.to_owned(), grouped(u64::from(s.paths)), took, verdict, dash(), dash(), dash()]
        };
        let took = format!("{:.0} ms after the attach, {:.0} ms in all", s.frame, s.attach + s.frame);
        rows.push(row("top, the first frame", took, verdict(s.frame, FRAME_BUDGET)));
        let took = format!("{:.0} ms, at most {:.0} ms", s.key, s.longest_key);
        rows.push(row("top, a key", took, verdict(s.longest_key, KEY_BUDGET)));
        data.push(json!({
            "command": "top", "paths": s.paths, "attach_ms": s.attach, "first_frame_ms": s.frame,
            "first_frame_budget_ms": FRAME_BUDGET, "key_ms": s.key, "longest_key_ms": s.longest_key,
            "key_budget_ms": KEY_BUDGET,
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
         {MEMORY_BUDGET} MB at 10,000 paths; a scrape of all of them {SCRAPE_BUDGET} ms, median of {}. Start: a run that \
         reports once, without its interval, median of {}. The first frame of `top` with figures {FRAME_BUDGET} ms after \
         the attach, medians of {}; what one of {} keys asks for {KEY_BUDGET} ms after it at the longest, in a terminal \
         of 160 × 50.",
        effort.seconds, effort.scrapes, effort.starts, effort.starts, effort.keys,
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
