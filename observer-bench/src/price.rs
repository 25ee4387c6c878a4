//! (f) What the measurement of the price of encapsulation costs: throughput through VXLAN while it is
//! switched on and off in pairs, the counting programs attached all the time.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use observer::kernel::{Live, Measure, Options};
use observer::topology::Choice;
use serde_json::{Value, json};

use crate::clock::{self, median};
use crate::iperf::{Nodes, TUNNEL, UNDERLAY};
use crate::report::{Section, verdict_at_least};

/// Least that must be left of the throughput without it.
const BUDGET: f64 = 0.99;
/// One of so many packets or batches is measured, unless somebody says otherwise.
const SAMPLE: u32 = 64;
/// How long after switching nothing is measured: programs are freed behind the switch.
const SETTLES: Duration = Duration::from_millis(40);
/// The receiver's address inside the tunnel.
const FAR: &str = "10.78.0.2";
/// Bytes of a datagram: with its headers it fits the tunnel, and nothing is fragmented.
const DATAGRAM: usize = 1_000;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Pairs of on and off.
    pub pairs: usize,
    /// Of each half of a pair: longer than the pause between two windows of the measurement.
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

/// What arrived in the two halves of each pair: off, on.
type Pairs = Vec<[f64; 2]>;

/// Measures.
///
/// # Errors
/// The kernel refused, or what was switched on measured nothing.
pub fn measure(effort: Effort) -> Result<Section> {
    let nodes = Nodes::new()?;
    clock::pin(clock::all_cpus())?;
    // Hooks and tracepoints belong to the namespace of the thread that asks for them.
    let measured = nodes.receiver.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let devices = [UNDERLAY, TUNNEL].map(str::to_owned).to_vec();
        let choice = Choice { devices, ..Choice::default() };
        let executor = Executor { runtime, tasks: tokio::task::LocalSet::new() };
        let mut live = executor.run(Live::start(Options { choice, ..Options::default() }))?;
        let measured = Traffic::ALL
            .into_iter()
            .map(|traffic| Ok((traffic, under(&nodes, &executor, &mut live, traffic, effort)?)))
            .collect::<Result<Vec<_>>>();
        executor.run(live.stop());
        measured
    });
    clock::pin_to_one()?;
    Ok(section(&measured?, effort))
}

/// What waits for a source.
struct Executor {
    runtime: tokio::runtime::Runtime,
    tasks: tokio::task::LocalSet,
}

impl Executor {
    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.tasks.block_on(&self.runtime, future)
    }
}

/// One kind of traffic, and pairs of on and off under it.
fn under(
    nodes: &Nodes,
    executor: &Executor,
    live: &mut Live,
    traffic: Traffic,
    effort: Effort,
) -> Result<Pairs> {
    let (arrived, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let flow = scope.spawn(|| flow(nodes, traffic, &arrived, &over));
        let pairs = executor.run(pairs(live, &arrived, effort));
        over.store(true, Ordering::Relaxed);
        flow.join().ok().context("a thread of the benchmark panicked")??;
        pairs
    })
}

async fn pairs(live: &mut Live, arrived: &AtomicU64, effort: Effort) -> Result<Pairs> {
    let begun = Instant::now();
    while arrived.load(Ordering::Relaxed) == 0 {
        if begun.elapsed() > Duration::from_secs(5) {
            bail!("nothing arrives through the tunnel");
        }
        std::thread::sleep(SETTLES);
    }
    let mut pairs = Vec::new();
    for pair in 0..effort.pairs {
        let mut rates = [0.0; 2];
        // Off and on, on and off: what changes slowly falls on both.
        let order = if pair % 2 == 0 { [false, true] } else { [true, false] };
        for on in order {
            live.measure_price(on.then_some(Measure { sample: SAMPLE, hooks: false })).await?;
            std::thread::sleep(SETTLES);
            let (start, before) = (Instant::now(), arrived.load(Ordering::Relaxed));
            std::thread::sleep(effort.window);
            let count = arrived.load(Ordering::Relaxed) - before;
            rates[usize::from(on)] = count as f64 / start.elapsed().as_secs_f64();
            if on {
                let price = live.read()?.price.context("the price was switched on")?;
                if price.spans.iter().map(|span| span.packets).sum::<u64>() == 0 {
                    bail!(
                        "the price was switched on, and nothing was measured: {}",
                        price.missing.join("; ")
                    );
                }
            }
        }
        if rates.contains(&0.0) {
            bail!("nothing arrived in pair {pair}");
        }
        pairs.push(rates);
    }
    live.measure_price(None).await?;
    Ok(pairs)
}

/// Sends as fast as it can on the last CPU, where the kernel encapsulates and takes out of the tunnel too;
/// receives on the first.
fn flow(nodes: &Nodes, traffic: Traffic, arrived: &AtomicU64, over: &AtomicBool) -> Result<()> {
    let (first, last) = match clock::all_cpus() {
        [first, .., last] => (*first, *last),
        _ => bail!("two CPUs are needed"),
    };
    match traffic {
        Traffic::Tcp => {
            let listener = nodes.receiver.run(|| Ok(TcpListener::bind((FAR, 0))?))?;
            let target = listener.local_addr()?;
            let mut sender = nodes.sender.run(|| Ok(TcpStream::connect(target)?))?;
            let (mut receiver, _) = listener.accept()?;
            std::thread::scope(|scope| {
                scope.spawn(move || -> Result<()> {
                    clock::pin(&[first])?;
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
            receiver.set_read_timeout(Some(Duration::from_millis(100)))?;
            let sender = nodes.sender.run(|| Ok(UdpSocket::bind("0.0.0.0:0")?))?;
            sender.connect(target)?;
            std::thread::scope(|scope| {
                scope.spawn(move || -> Result<()> {
                    clock::pin(&[first])?;
                    let mut buffer = [0; DATAGRAM];
                    while !over.load(Ordering::Relaxed) {
                        if receiver.recv(&mut buffer).is_ok() {
                            arrived.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    Ok(())
                });
                clock::pin(&[last])?;
                let data = [0x5a; DATAGRAM];
                while !over.load(Ordering::Relaxed) {
                    // A full queue loses it; what arrives counts.
                    let _ = sender.send(&data);
                }
                Ok(())
            })
        }
    }
}

/// The median and the interval that holds it with 95 %: order statistics, without a thought about how the
/// values are distributed (sign test).
fn interval(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let rank = ((n - 1.96 * n.sqrt()) / 2.0).floor().max(0.0) as usize;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    (at(rank), median(values), at(sorted.len().saturating_sub(rank + 1)))
}

fn section(measured: &[(Traffic, Pairs)], effort: Effort) -> Section {
    let (mut rows, mut data) = (Vec::new(), Vec::<Value>::new());
    for (traffic, pairs) in measured {
        let ratios: Vec<f64> = pairs.iter().map(|[off, on]| on / off).collect();
        let (low, ratio, high) = interval(&ratios);
        let off = median(&pairs.iter().map(|[off, _]| *off).collect::<Vec<_>>());
        rows.push(vec![
            traffic.label().to_owned(),
            match traffic {
                Traffic::Tcp => format!("{:.2} Gbit/s", off * 8.0 / 1e9),
                Traffic::Udp => format!("{:.0} k packets/s", off / 1e3),
            },
            format!("{ratio:.4}"),
            format!("{low:.4} to {high:.4}"),
            format!("≥ {BUDGET:.2}"),
            verdict_at_least(ratio, BUDGET),
        ]);
        data.push(json!({
            "traffic": traffic.label(), "off": off, "ratio": ratio, "low": low, "high": high,
            "pairs": pairs, "budget": BUDGET,
        }));
    }
    let about = format!(
        "Traffic through VXLAN between two namespaces, sent on one CPU, which encapsulates and takes out of the \
         tunnel too, and received on another; Observer's counting programs attached all the time. The measurement \
         of the price (one of {SAMPLE}) is switched on and off in {} pairs of {} ms each, off and on, on and off. \
         Ratio: the median of on by off in a pair, and the interval that holds it with 95 % (sign test). The \
         tracepoints see both namespaces, so each packet passes them twice as often as on a node.",
        effort.pairs,
        effort.window.as_millis(),
    );
    Section {
        name: "price",
        title: "The measurement of the price",
        about,
        columns: &["traffic", "off", "on by off", "95 %", "budget", "verdict"],
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
    fn the_interval_is_of_the_sign_test() {
        let values: Vec<f64> = (1..=40).map(f64::from).collect();
        // Binomial(40, 1/2): the 14th and the 27th.
        assert_eq!(interval(&values), (14.0, 20.5, 27.0));
        assert_eq!(interval(&[3.0, 1.0, 2.0]), (1.0, 2.0, 3.0));
    }
}
