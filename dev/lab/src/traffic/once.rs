//! `traffic once`: a finite transfer. Both ends run in this process, each in its pod's namespace.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};

use super::socket;
use crate::topology::{Family, Pod, Topology};

/// Maximum datagrams in flight before the sender waits for the receiver.
const WINDOW: u64 = 32;

/// Options of `traffic once`.
#[derive(clap::Args)]
pub struct Args {
    /// Kind of traffic
    #[arg(long, value_enum)]
    kind: Kind,
    /// Sending pod
    #[arg(long)]
    from: String,
    /// Receiving pod
    #[arg(long)]
    to: String,
    /// Address family
    #[arg(long, value_enum, default_value = "4")]
    family: Family,
    /// tcp: number of bytes to send
    #[arg(long, default_value_t = 1_000_000)]
    bytes: u64,
    /// udp, rr: number of datagrams or requests to send
    #[arg(long, default_value_t = 100)]
    count: u64,
    /// udp, rr: payload size in bytes
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(8..=65_000))]
    size: u32,
    /// udp: set DF instead of allowing fragmentation
    #[arg(long)]
    dont_fragment: bool,
    /// Timeout of the transfer in seconds
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    timeout: u64,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    /// One TCP connection in one direction
    Tcp,
    /// Small requests and responses over one TCP connection
    Rr,
    /// UDP datagrams
    Udp,
}

/// What was sent and received.
#[derive(Default)]
struct Outcome {
    sent: u64,
    sent_bytes: u64,
    refused: u64,
    received: u64,
    received_bytes: u64,
}

/// Runs the transfer and reports it.
///
/// # Errors
/// A pod that does not exist, or a transfer over TCP that did not end in time.
pub fn run(topology: &Topology, args: &Args) -> Result<Value> {
    let pod = |name: &str| topology.pod(name).with_context(|| format!("no pod {name} in the lab"));
    let (from, to) = (pod(&args.from)?, pod(&args.to)?);
    let start = Instant::now();
    let deadline = start + Duration::from_secs(args.timeout);
    let outcome = match args.kind {
        Kind::Tcp => tcp(from, to, args, deadline)?,
        Kind::Rr => request_response(from, to, args, deadline)?,
        Kind::Udp => udp(from, to, args, deadline)?,
    };
    let kind = format!("{:?}", args.kind).to_lowercase();
    Ok(json!({
        "schema": "observer-lab-traffic/1",
        "kind": kind,
        "family": args.family.number(),
        "from": from.name,
        "to": to.name,
        "from_address": from.ip(args.family),
        "to_address": to.ip(args.family),
        "sent": outcome.sent,
        "sent_bytes": outcome.sent_bytes,
        "refused": outcome.refused,
        "received": outcome.received,
        "received_bytes": outcome.received_bytes,
        "milliseconds": u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
    }))
}

/// Runs the receiving end in a thread while `client` runs here.
fn both<T: Send>(
    server: impl FnOnce() -> Result<T> + Send,
    client: impl FnOnce() -> Result<Outcome>,
) -> Result<(T, Outcome)> {
    std::thread::scope(|scope| {
        let server = scope.spawn(server);
        let client = client();
        let server = server.join().map_err(|_| anyhow!("the receiving end panicked"))?;
        // If both fail, the sender's error explains more.
        let client = client?;
        Ok((server?, client))
    })
}

fn accept(listener: &TcpListener, deadline: Instant) -> Result<TcpStream> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                socket::set_limits(&stream, left(deadline)?)?;
                return Ok(stream);
            }
            Err(error) if socket::is_timeout(&error) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(error).context("cannot accept a connection"),
        }
        left(deadline)?;
    }
}

fn left(deadline: Instant) -> Result<Duration> {
    match deadline.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => Ok(left),
        _ => bail!("the transfer took too long"),
    }
}

fn connect(from: &Pod, target: SocketAddr, deadline: Instant) -> Result<TcpStream> {
    socket::connect(from, target, left(deadline)?)
}

fn tcp(from: &Pod, to: &Pod, args: &Args, deadline: Instant) -> Result<Outcome> {
    let (listener, target) = socket::listen(to, args.family)?;
    let server = || {
        let mut stream = accept(&listener, deadline)?;
        let mut buffer = vec![0_u8; 64 << 10];
        let mut received = 0_u64;
        loop {
            left(deadline)?;
            match stream.read(&mut buffer).context("cannot receive")? {
                0 => break,
                got => received += got as u64,
            }
        }
        stream.write_all(&received.to_be_bytes()).context("cannot confirm")?;
        Ok(received)
    };
    let client = || {
        let mut stream = connect(from, target, deadline)?;
        let chunk = vec![0x5a_u8; 64 << 10];
        let mut rest = args.bytes;
        while rest > 0 {
            left(deadline)?;
            let size = usize::try_from(rest).unwrap_or(usize::MAX).min(chunk.len());
            stream.write_all(chunk.get(..size).unwrap_or_default()).context("cannot send")?;
            rest -= size as u64;
        }
        stream.shutdown(std::net::Shutdown::Write).context("cannot end the connection")?;
        let mut confirmed = [0_u8; 8];
        stream.read_exact(&mut confirmed).context("the receiver did not confirm")?;
        Ok(Outcome { sent: 1, sent_bytes: args.bytes, ..Outcome::default() })
    };
    let (received_bytes, outcome) = both(server, client)?;
    Ok(Outcome { received: 1, received_bytes, ..outcome })
}

fn request_response(from: &Pod, to: &Pod, args: &Args, deadline: Instant) -> Result<Outcome> {
    let (listener, target) = socket::listen(to, args.family)?;
    let size = args.size as usize;
    let server = || {
        let mut stream = accept(&listener, deadline)?;
        let mut message = vec![0_u8; size];
        for _ in 0..args.count {
            left(deadline)?;
            stream.read_exact(&mut message).context("no request")?;
            stream.write_all(&message).context("cannot answer")?;
        }
        Ok(args.count)
    };
    let client = || {
        let mut stream = connect(from, target, deadline)?;
        let mut message = vec![0x5a_u8; size];
        for _ in 0..args.count {
            left(deadline)?;
            stream.write_all(&message).context("cannot send a request")?;
            stream.read_exact(&mut message).context("no answer")?;
        }
        let bytes = args.count * size as u64;
        Ok(Outcome { sent: args.count, sent_bytes: bytes, received_bytes: bytes, ..Outcome::default() })
    };
    let (received, outcome) = both(server, client)?;
    Ok(Outcome { received, ..outcome })
}

/// Sends datagrams, at most [`WINDOW`] ahead of the receiver unless they are lost. Ends when all have arrived, or a
/// second after the last one that arrived.
fn udp(from: &Pod, to: &Pod, args: &Args, deadline: Instant) -> Result<Outcome> {
    let receiver = socket::udp(to, args.family)?;
    let sender = socket::udp(from, args.family)?;
    socket::set_dont_fragment(&sender, args.family, args.dont_fragment)?;
    let port = receiver.local_addr().context("a socket without an address")?.port();
    let target = SocketAddr::new(to.ip(args.family), port);
    let (arrived, all_sent) = (AtomicU64::new(0), AtomicBool::new(false));
    let size = args.size as usize;
    let server = || {
        let mut buffer = vec![0_u8; 65_536];
        let (mut bytes, mut last) = (0_u64, Instant::now());
        while arrived.load(Ordering::Acquire) < args.count && Instant::now() < deadline {
            match receiver.recv(&mut buffer) {
                Ok(got) => {
                    bytes += got as u64;
                    last = Instant::now();
                    arrived.fetch_add(1, Ordering::AcqRel);
                }
                Err(error) if socket::is_timeout(&error) => {
                    if all_sent.load(Ordering::Acquire) && last.elapsed() > Duration::from_secs(1) {
                        break;
                    }
                }
                Err(error) => return Err(error).context("cannot receive"),
            }
        }
        Ok((arrived.load(Ordering::Acquire), bytes))
    };
    let client = || {
        let payload = vec![0x5a_u8; size];
        let mut outcome = Outcome::default();
        let mut lost = 0;
        while outcome.sent + outcome.refused < args.count && Instant::now() < deadline {
            let waited = Instant::now();
            while outcome.sent.saturating_sub(arrived.load(Ordering::Acquire) + lost) >= WINDOW {
                if waited.elapsed() > socket::TICK {
                    lost = outcome.sent - arrived.load(Ordering::Acquire);
                }
                std::thread::sleep(Duration::from_micros(50));
            }
            match sender.send_to(&payload, target) {
                Ok(_) => {
                    outcome.sent += 1;
                    outcome.sent_bytes += size as u64;
                }
                // DF and larger than the MTU, which the caller counts.
                Err(_) => outcome.refused += 1,
            }
        }
        all_sent.store(true, Ordering::Release);
        Ok(outcome)
    };
    let ((received, received_bytes), outcome) = both(server, client)?;
    Ok(Outcome { received, received_bytes, ..outcome })
}
