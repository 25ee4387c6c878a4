//! What systemd is told (sd_notify(3)), where it started us and wants to know.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// Sends one message; that nobody listens is no matter.
fn tell(message: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let name = name.to_string_lossy();
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name.as_bytes()),
        None => SocketAddr::from_pathname(name.as_ref()),
    };
    let sent =
        address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address));
    if let Err(error) = sent {
        log::debug!("systemd was not told {message}: {error}");
    }
}

/// We serve.
pub fn ready() {
    tell("READY=1");
}

/// We read the configuration again; [`ready`] ends it.
pub fn reloading() {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is valid for the duration of the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let micros = i64::from(time.tv_sec) * 1_000_000 + i64::from(time.tv_nsec) / 1_000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

/// We end.
pub fn stopping() {
    tell("STOPPING=1");
}

/// We are not stuck.
pub fn alive() {
    tell("WATCHDOG=1");
}

/// When [`alive`] is due.
#[derive(Debug)]
pub struct Watchdog(Option<Interval>);

/// As often as systemd wants it, and once more in between.
#[must_use]
pub fn watchdog() -> Watchdog {
    let micros = std::env::var("WATCHDOG_USEC").ok().and_then(|micros| micros.parse().ok());
    let period =
        micros.map(|micros: u64| Duration::from_micros(micros) / 2).filter(|period| !period.is_zero());
    Watchdog(period.map(|period| {
        let mut due = interval(period);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        due
    }))
}

impl Watchdog {
    /// Waits until it is due; for ever where nobody wants it.
    pub async fn due(&mut self) {
        match &mut self.0 {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}
