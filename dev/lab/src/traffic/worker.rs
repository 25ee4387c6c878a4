//! Background traffic: one process with both ends of every flow.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::socket;
use crate::topology::{Family, Pod, Topology};
use crate::{background, netns};

/// Pairs of pods: both directions within and across subnets, and pod-a2 with its old MTU.
const PAIRS: [(&str, &str); 6] =
    [("a1", "b1"), ("b1", "a1"), ("a1", "c1"), ("c1", "a1"), ("a2", "b1"), ("a2", "c1")];
/// Sizes of large datagrams. The first fits pod-a2's MTU of 1500 but no tunnel; the others fit no MTU.
const LARGE: [usize; 3] = [1472, 1600, 2000];

/// Options of background traffic.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Duration in seconds
    #[arg(long = "for", default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Total bulk TCP traffic in Mbit/s
    #[arg(long, default_value_t = 100, value_name = "MBIT", value_parser = clap::value_parser!(u64).range(1..=1000))]
    rate: u64,
    /// Large datagrams per second and flow, which are fragmented; 0 for none
    #[arg(long, default_value_t = 20, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(0..=10_000))]
    large: u64,
    /// Send only from this pod
    #[arg(long, value_name = "POD", requires = "to")]
    from: Option<String>,
    /// Send only to this pod
    #[arg(long, value_name = "POD", requires = "from")]
    to: Option<String>,
    /// Use only this address family
    #[arg(long, value_enum)]
    family: Option<Family>,
    /// Payload of large datagrams in bytes [default: several sizes in turn]
    #[arg(long, value_name = "BYTES")]
    size: Option<usize>,
}

impl Args {
    /// Traffic between all pods, both ways, at `rate` Mbit/s in total.
    pub fn all_pods(seconds: u64, rate: u64) -> Self {
        Self { seconds, rate, large: 20, from: None, to: None, family: None, size: None }
    }

    /// One pod's traffic to another over IPv4: requests, a transfer, and large datagrams of one size.
    pub fn between(from: &str, to: &str, seconds: u64, rate: u64, large: u64, size: usize) -> Self {
        Self {
            seconds,
            rate,
            large,
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
            family: Some(Family::V4),
            size: Some(size),
        }
    }

    /// The command line of the worker.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![
            background::TRAFFIC.to_owned(),
            format!("--for={}", self.seconds),
            format!("--rate={}", self.rate),
            format!("--large={}", self.large),
        ];
        words.extend(self.from.iter().map(|pod| format!("--from={pod}")));
        words.extend(self.to.iter().map(|pod| format!("--to={pod}")));
        words.extend(self.family.map(|family| format!("--family={}", family.number())));
        words.extend(self.size.map(|size| format!("--size={size}")));
        words
    }
}

/// Sends until the time is over or the lab is removed.
///
/// # Errors
/// It cannot start.
pub fn run(name: &str, args: &Args) -> Result<()> {
    let topology = Topology::new(name);
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let stop = AtomicBool::new(false);
    let pairs: Vec<(&str, &str)> = match (&args.from, &args.to) {
        (Some(from), Some(to)) => vec![(from.as_str(), to.as_str())],
        _ => PAIRS.to_vec(),
    };
    let families: Vec<Family> = args.family.map_or(Family::ALL.to_vec(), |family| vec![family]);
    let sizes = args.size.map_or(LARGE.to_vec(), |size| vec![size]);
    let flows = (pairs.len() * families.len()) as u64;
    let bytes_per_second = (args.rate * 1_000_000 / 8 / flows).max(1);
    std::thread::scope(|scope| {
        for (from, to) in &pairs {
            let (Some(from), Some(to)) = (topology.pod(from), topology.pod(to)) else { continue };
            for family in families.iter().copied() {
                let flow = Flow { from, to, family, stop: &stop };
                scope.spawn(move || flow.repeat(|| flow.bulk(bytes_per_second)));
                scope.spawn(move || flow.repeat(|| flow.requests(100)));
                scope.spawn(move || flow.repeat(|| flow.datagrams(&[200], 50)));
                if args.large > 0 {
                    let sizes = &sizes;
                    scope.spawn(move || flow.repeat(|| flow.datagrams(sizes, args.large)));
                }
            }
        }
        let there = || topology.namespaces().iter().all(|netns| netns::path(netns).exists());
        while Instant::now() < end && there() {
            std::thread::sleep(Duration::from_millis(500));
        }
        stop.store(true, Ordering::Release);
    });
    Ok(())
}

/// One direction of traffic between two pods.
#[derive(Clone, Copy)]
struct Flow<'a> {
    from: &'a Pod,
    to: &'a Pod,
    family: Family,
    stop: &'a AtomicBool,
}

impl Flow<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Restarts after an error, as a client does when its connection breaks in a mode switch.
    fn repeat(&self, work: impl Fn() -> Result<()>) {
        while !self.stopped() {
            if work().is_err() {
                std::thread::sleep(socket::TICK);
            }
        }
    }

    fn bulk(&self, bytes_per_second: u64) -> Result<()> {
        let (listener, target) = socket::listen(self.to, self.family)?;
        std::thread::scope(|scope| {
            scope.spawn(|| self.serve(&listener, false));
            let mut stream = socket::connect(self.from, target, Duration::from_secs(2))?;
            let chunk = vec![0x5a_u8; 16 << 10];
            let mut pace = Pace::new(bytes_per_second as f64 / chunk.len() as f64);
            while !self.stopped() {
                pace.wait();
                stream.write_all(&chunk).context("cannot send")?;
            }
            Ok(())
        })
    }

    fn requests(&self, per_second: u64) -> Result<()> {
        let (listener, target) = socket::listen(self.to, self.family)?;
        std::thread::scope(|scope| {
            scope.spawn(|| self.serve(&listener, true));
            let mut stream = socket::connect(self.from, target, Duration::from_secs(2))?;
            let mut message = [0x5a_u8; 64];
            let mut pace = Pace::new(per_second as f64);
            while !self.stopped() {
                pace.wait();
                stream.write_all(&message).context("cannot send a request")?;
                stream.read_exact(&mut message).context("no answer")?;
            }
            Ok(())
        })
    }

    /// The other end of one connection: reads everything and, with `echoes`, sends it back. Times out after a few
    /// seconds without connection or data.
    fn serve(&self, listener: &TcpListener, echoes: bool) {
        let patience = Instant::now() + Duration::from_secs(3);
        let mut stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) if self.stopped() || Instant::now() > patience => return,
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        if socket::set_limits(&stream, Duration::from_secs(3)).is_err() {
            return;
        }
        let mut buffer = vec![0_u8; 64 << 10];
        while let Ok(got) = stream.read(&mut buffer) {
            let data = buffer.get(..got).unwrap_or_default();
            if got == 0 || (echoes && stream.write_all(data).is_err()) {
                return;
            }
        }
    }

    fn datagrams(&self, sizes: &[usize], per_second: u64) -> Result<()> {
        let receiver = socket::udp(self.to, self.family)?;
        let sender = socket::udp(self.from, self.family)?;
        socket::set_dont_fragment(&sender, self.family, false)?;
        let port = receiver.local_addr().context("a socket without an address")?.port();
        let target = SocketAddr::new(self.to.ip(self.family), port);
        receiver.set_nonblocking(true).context("cannot make a socket non-blocking")?;
        let mut buffer = vec![0_u8; 4096];
        let mut pace = Pace::new(per_second as f64);
        for size in sizes.iter().cycle() {
            if self.stopped() {
                break;
            }
            pace.wait();
            let payload = vec![0x5a_u8; *size];
            sender.send_to(&payload, target).context("cannot send")?;
            while receiver.recv(&mut buffer).is_ok() {}
        }
        Ok(())
    }
}

/// Limits a loop to a number of rounds per second. It does not catch up after a pause.
struct Pace {
    step: Duration,
    next: Instant,
}

impl Pace {
    fn new(per_second: f64) -> Self {
        Self { step: Duration::from_secs_f64(1.0 / per_second.max(0.2)), next: Instant::now() }
    }

    fn wait(&mut self) {
        let now = Instant::now();
        if self.next > now {
            std::thread::sleep(self.next - now);
        }
        self.next = self.next.max(now.checked_sub(self.step).unwrap_or(now)) + self.step;
    }
}
