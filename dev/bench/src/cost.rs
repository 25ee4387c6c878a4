//! Overhead of the cost measurement (`--cost`): throughput through VXLAN while it is turned on and off in
//! pairs, with the counting programs attached all the time.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use observer::kernel::{Live, Measure, Options};
use observer::topology::Choice;
use serde_json::{Value, json};

use crate::clock::{self, interval, median};
use crate::iperf::{Nodes, TUNNEL, UNDERLAY};
use crate::report::{Section, verdict_at_least};

/// Lowest allowed share of the throughput without it, by the cost of windows.
const BUDGET: f64 = 0.99;
/// Measuring windows cover one of this many parts of the time: the default.
const SAMPLE: u32 = 64;
/// The same with many windows, so that their cost exceeds the machine's noise.
const DENSE: u32 = 4;
/// How many times more windows that gives: 10 ms each, 1 ms each to attach and detach, and pauses 63 or 3 times
/// as long as the window.
const WINDOW_FACTOR: f64 = (10.0 + 2.0 + 63.0 * 10.0) / (10.0 + 2.0 + 3.0 * 10.0);
/// Pause after turning it on or off: programs are freed in the background.
const SETTLE_TIME: Duration = Duration::from_millis(40);
/// The receiver's address inside the tunnel.
const FAR: &str = "10.78.0.2";
/// How long a receiver with an empty socket waits.
///
/// A blocking receiver would be woken up by the sender. A slower sender then wakes it more often and slows down by
/// another third, for 20 ms after each window, and that effect would be measured instead.
const RECEIVER_WAITS: Duration = Duration::from_micros(20);
/// Bytes of a datagram, which fits into the tunnel without fragmentation.
const DATAGRAM: usize = 1_000;

/// Number of measurements.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Pairs of on and off.
    pub pairs: usize,
    /// Length of each half of a pair, longer than the pause between two windows.
    pub window: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traffic {
    Tcp,
    Udp,
}

impl Traffic {
    const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    const fn label(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP 1,000 B, one buffer each",
        }
    }
}

/// Rate of arrival in the halves of each pair: off, on.
type Pairs = Vec<[f64; 2]>;

/// One kind of traffic, with the default number of windows and with many.
struct Measured {
    traffic: Traffic,
    sparse: Pairs,
    dense: Pairs,
}

/// Measures both kinds of traffic.
///
/// # Errors
/// The kernel refused, or the cost measurement had no result.
pub fn measure(effort: Effort) -> Result<Section> {
    let nodes = Nodes::new()?;
    clock::pin(clock::all_cpus())?;
    // Hooks are attached in the namespace of the calling thread.
    let measured = nodes.receiver.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let devices = [UNDERLAY, TUNNEL].map(str::to_owned).to_vec();
        let choice = Choice { devices, ..Choice::default() };
        let executor = Executor { runtime, tasks: tokio::task::LocalSet::new() };
        let mut live = executor.run(Live::start(Options { choice, ..Options::default() }))?;
        let measured = Traffic::ALL
            .into_iter()
            .map(|traffic| with_traffic(&nodes, &executor, &mut live, traffic, effort))
            .collect::<Result<Vec<_>>>();
        executor.run(live.stop());
        measured
    });
    clock::pin_to_one()?;
    Ok(section(&measured?, effort))
}

/// Runs the futures of a source.
struct Executor {
    runtime: tokio::runtime::Runtime,
    tasks: tokio::task::LocalSet,
}

impl Executor {
    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.tasks.block_on(&self.runtime, future)
    }
}

/// Measures pairs of on and off with one kind of traffic.
fn with_traffic(
    nodes: &Nodes,
    executor: &Executor,
    live: &mut Live,
    traffic: Traffic,
    effort: Effort,
) -> Result<Measured> {
    let (arrived, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let flow = scope.spawn(|| flow(nodes, traffic, &arrived, &over));
        let sparse = executor.run(pairs(live, &arrived, SAMPLE, effort));
        let dense = sparse.is_ok().then(|| executor.run(pairs(live, &arrived, DENSE, effort)));
        over.store(true, Ordering::Relaxed);
        flow.join().ok().context("a thread of the benchmark panicked")??;
        Ok(Measured { traffic, sparse: sparse?, dense: dense.transpose()?.unwrap_or_default() })
    })
}

async fn pairs(live: &mut Live, arrived: &AtomicU64, sample: u32, effort: Effort) -> Result<Pairs> {
    let begun = Instant::now();
    while arrived.load(Ordering::Relaxed) == 0 {
        if begun.elapsed() > Duration::from_secs(5) {
            bail!("nothing arrives through the tunnel");
        }
        std::thread::sleep(SETTLE_TIME);
    }
    let mut pairs = Vec::new();
    for pair in 0..effort.pairs {
        let mut rates = [0.0; 2];
        // Alternate the order, so that slow changes affect both.
        let order = if pair % 2 == 0 { [false, true] } else { [true, false] };
        for on in order {
            live.measure_cost(on.then_some(Measure { sample, hooks: false })).await?;
            std::thread::sleep(SETTLE_TIME);
            let (start, before) = (Instant::now(), arrived.load(Ordering::Relaxed));
            std::thread::sleep(effort.window);
            let count = arrived.load(Ordering::Relaxed) - before;
            rates[usize::from(on)] = count as f64 / start.elapsed().as_secs_f64();
            if on {
                let cost = live.read()?.cost.context("the cost measurement is on but has no result")?;
                if cost.spans.iter().map(|span| span.packets).sum::<u64>() == 0 {
                    bail!("the cost measurement is on but measured no packets: {}", cost.missing.join("; "));
                }
            }
        }
        if rates.contains(&0.0) {
            bail!("nothing arrived in pair {pair}");
        }
        pairs.push(rates);
    }
    live.measure_cost(None).await?;
    Ok(pairs)
}

/// Sends as fast as possible on the last CPU, which also encapsulates and decapsulates.
///
/// TCP is received there too: on two CPUs, its throughput depends on how the protocol's work is distributed, and
/// changes by half from second to second. UDP is received on the first CPU, because its sender never waits for the
/// receiver.
fn flow(nodes: &Nodes, traffic: Traffic, arrived: &AtomicU64, over: &AtomicBool) -> Result<()> {
    let (first, last) = match clock::all_cpus() {
        [first, .., last] => (*first, *last),
        _ => bail!("the part `cost` needs two CPUs"),
    };
    match traffic {
        Traffic::Tcp => {
            let listener = nodes.receiver.run(|| Ok(TcpListener::bind((FAR, 0))?))?;
            let target = listener.local_addr()?;
            let mut sender = nodes.sender.run(|| Ok(TcpStream::connect(target)?))?;
            let (mut receiver, _) = listener.accept()?;
            std::thread::scope(|scope| {
                scope.spawn(move || -> Result<()> {
                    clock::pin(&[last])?;
                    let mut buffer = vec![0; 1 << 18];
                    loop {
                        match receiver.read(&mut buffer)? {
                            0 => return Ok(()),
                            read => arrived.fetch_add(read as u64, Ordering::Relaxed),
                        };
                    }
                });
                clock::pin(&[last])?;
                let data = vec![0x5a; 1 << 17];
                while !over.load(Ordering::Relaxed) {
                    sender.write_all(&data)?;
                }
                drop(sender);
                Ok(())
            })
        }
        Traffic::Udp => {
            let receiver = nodes.receiver.run(|| Ok(UdpSocket::bind((FAR, 0))?))?;
            let target = receiver.local_addr()?;
            receiver.set_nonblocking(true)?;
            let sender = nodes.sender.run(|| Ok(UdpSocket::bind("0.0.0.0:0")?))?;
            sender.connect(target)?;
            std::thread::scope(|scope| {
                scope.spawn(move || -> Result<()> {
                    clock::pin(&[first])?;
                    let mut buffer = [0; DATAGRAM];
                    while !over.load(Ordering::Relaxed) {
                        match ready(receiver.recv(&mut buffer))? {
                            Some(_) => {
                                arrived.fetch_add(1, Ordering::Relaxed);
                            }
                            None => std::thread::sleep(RECEIVER_WAITS),
                        }
                    }
                    Ok(())
                });
                clock::pin(&[last])?;
                let data = [0x5a; DATAGRAM];
                while !over.load(Ordering::Relaxed) {
                    // A full queue drops it; only arrivals are counted.
                    let _ = sender.send(&data);
                }
                Ok(())
            })
        }
    }
}

/// `None` if there is no data yet.
fn ready(read: std::io::Result<usize>) -> Result<Option<usize>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Median and confidence interval of on / off.
fn ratio(pairs: &Pairs) -> (f64, f64, f64) {
    interval(&pairs.iter().map(|[off, on]| on / off).collect::<Vec<_>>())
}

fn section(measured: &[Measured], effort: Effort) -> Section {
    let (mut rows, mut data) = (Vec::new(), Vec::<Value>::new());
    for Measured { traffic, sparse, dense } in measured {
        let (low, on, high) = ratio(sparse);
        let (dense_low, dense_on, dense_high) = ratio(dense);
        let windows = |ratio: f64| (1.0 - ratio) / WINDOW_FACTOR;
        let off = median(&sparse.iter().map(|[off, _]| *off).collect::<Vec<_>>());
        rows.push(vec![
            traffic.label().to_owned(),
            match traffic {
                Traffic::Tcp => format!("{:.2} Gbit/s", off * 8.0 / 1e9),
                Traffic::Udp => format!("{:.0} k packets/s", off / 1e3),
            },
            format!("{on:.4}"),
            format!("{low:.4} to {high:.4}"),
            format!("{dense_on:.4}"),
            format!("{:.2} %", windows(dense_on) * 100.0),
            format!("{:.2} to {:.2} %", windows(dense_high) * 100.0, windows(dense_low) * 100.0),
            format!("≥ {BUDGET:.2}"),
            verdict_at_least(1.0 - windows(dense_on), BUDGET),
        ]);
        data.push(json!({
            "traffic": traffic.label(), "off": off, "ratio": on, "low": low, "high": high, "pairs": sparse,
            "dense": {
                "sample": DENSE, "ratio": dense_on, "low": dense_low, "high": dense_high, "pairs": dense,
                "times_as_many_windows": WINDOW_FACTOR, "cost_of_windows_ratio": windows(dense_on),
            },
            "budget": BUDGET,
        }));
    }
    let about = format!(
        "Traffic through VXLAN between two namespaces, with Observer's counting programs attached all the time. One CPU \
         sends, encapsulates and decapsulates; TCP is received on it too, UDP on the other one by a receiver that is \
         never woken up. The cost measurement (one of {SAMPLE}) is turned on and off in {} pairs of {} ms each, \
         alternately off and on, on and off. Ratio: the median of on / off within a pair, with its 95 % confidence \
         interval (sign test). Windows: the same with one of {DENSE}, with the loss divided by {WINDOW_FACTOR:.1}, which is how \
         many times more windows there are. The verdict is based on this value: for packets that are neither dropped \
         nor retransmitted, all of the cost occurs in windows, and the normal variation of a busy machine is larger than \
         one percent. The tracepoints see both namespaces, so each packet passes them twice as often as on a node.",
        effort.pairs,
        effort.window.as_millis(),
    );
    Section {
        name: "cost",
        title: "The cost measurement",
        about,
        columns: &[
            "traffic",
            "off",
            "on / off",
            "95 %",
            "one of 4 / off",
            "cost of windows",
            "95 %",
            "budget",
            "verdict",
        ],
        rows,
        data: data.into(),
        bars: Vec::new(),
        missing: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_interval_matches_the_sign_test() {
        let values: Vec<f64> = (1..=40).map(f64::from).collect();
        // Binomial(40, 1/2): the 14th and the 27th.
        assert_eq!(interval(&values), (14.0, 20.5, 27.0));
        assert_eq!(interval(&[3.0, 1.0, 2.0]), (1.0, 2.0, 3.0));
    }
}
