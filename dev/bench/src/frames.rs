//! A veth pair with live frames sent into one end and programs on the other.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use aya::programs::tc::{SchedClassifierLink, qdisc_add_clsact};
use aya::programs::{Program, TcAttachType, TestRun as _, TestRunAttrs, TestRunOptions};
use observer::kernel::sys;

use crate::baselines::{Baselines, REDIRECT};
use crate::netns::Netns;

/// Frames per batch.
const BATCH: u32 = 64;
/// Time without arrivals after which the remaining frames count as lost.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The end that frames are sent into.
pub const NEAR: &str = "near";
/// The end that they arrive at.
pub const FAR: &str = "far";

/// Result of sending frames.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Frames sent.
    pub sent: u64,
    /// Frames received.
    pub received: u64,
    /// Time from the call until the last frame arrived.
    pub took: Duration,
    /// Nanoseconds per frame by the kernel's clock.
    pub kernel: f64,
}

impl Sent {
    /// Frames received per second.
    pub fn rate(&self) -> f64 {
        self.received as f64 / self.took.as_secs_f64()
    }
}

/// A veth pair in a separate namespace.
pub struct Pair {
    /// The namespace.
    pub netns: Netns,
    /// The index of [`FAR`].
    pub far: u32,
}

impl Pair {
    /// Creates it and directs the redirect into it. [`FAR`] needs an XDP program to accept frames.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn new(baselines: &mut Baselines) -> Result<Self> {
        let netns = Netns::new()?;
        netns.ip(&format!("link add {NEAR} type veth peer name {FAR}"))?;
        for end in [NEAR, FAR] {
            // Without link-local addresses, only the benchmark sends packets here.
            netns.ip(&format!("link set {end} addrgenmode none"))?;
            netns.ip(&format!("link set {end} up"))?;
        }
        let (near, far) = (netns.ifindex(NEAR)?, netns.ifindex(FAR)?);
        netns.run(|| baselines.set_out(near))?;
        Ok(Self { netns, far })
    }

    /// Sends frames and waits for their arrival.
    ///
    /// # Errors
    /// The kernel does not support live frames (before 5.18) or refused.
    pub fn send(&self, baselines: &Baselines, frame: &[u8], count: u32) -> Result<Sent> {
        let Program::Xdp(redirect) = baselines.named(REDIRECT)? else {
            bail!("{REDIRECT} is not an XDP program");
        };
        self.netns.run(|| {
            let mut options = TestRunOptions::new();
            options.data_in = Some(frame);
            options.repeat = count;
            options.attrs = TestRunAttrs::new().xdp_live_frames(BATCH);
            let before = received()?;
            let start = Instant::now();
            let result = redirect.test_run(options).context("cannot send live frames")?;
            let (mut arrived, mut last) = (received()? - before, Instant::now());
            while arrived < u64::from(count) && last.elapsed() < TIMEOUT {
                std::thread::sleep(Duration::from_millis(1));
                let now = received()? - before;
                if now > arrived {
                    (arrived, last) = (now, Instant::now());
                }
            }
            Ok(Sent {
                sent: u64::from(count),
                received: arrived,
                took: last.duration_since(start),
                kernel: result.duration.as_nanos() as f64,
            })
        })
    }
}

/// Packets that [`FAR`] has received, in the namespace of this thread.
fn received() -> Result<u64> {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").context("cannot read /proc/net/dev")?;
    table
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(FAR)?.strip_prefix(':'))
        .and_then(|counters| counters.split_whitespace().nth(1)?.parse().ok())
        .with_context(|| format!("/proc/net/dev does not list {FAR}"))
}

/// Attaches a program for TC to a device of this thread's namespace.
///
/// # Errors
/// The kernel refused.
pub fn attach_tc(program: &mut Program, device: &str, at: TcAttachType) -> Result<SchedClassifierLink> {
    let Program::SchedClassifier(program) = program else { bail!("the program is not for TC") };
    if sys::version().is_some_and(|version| version < (6, 6)) {
        // It may already exist.
        let _ = qdisc_add_clsact(device);
    }
    let id = program.attach(device, at).with_context(|| format!("cannot attach to {device}"))?;
    program.take_link(id).with_context(|| format!("cannot attach to {device}"))
}

/// Attaches a program for XDP to a device of this thread's namespace.
///
/// # Errors
/// The kernel refused.
pub fn attach_xdp(program: &Program, ifindex: u32) -> Result<OwnedFd> {
    let Program::Xdp(program) = program else { bail!("the program is not for XDP") };
    let fd = program.fd().context("the program is not loaded")?.as_fd();
    sys::attach_xdp(fd, ifindex).context("cannot attach XDP to a veth")
}
