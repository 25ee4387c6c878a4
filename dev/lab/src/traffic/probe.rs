//! Whether one pod reaches another: a UDP datagram there and back.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::socket;
use crate::topology::{Family, Pod};

/// Waits until `to` has responded to `from`.
///
/// # Errors
/// There is no response by `deadline`.
pub fn wait(from: &Pod, to: &Pod, family: Family, deadline: Instant) -> Result<()> {
    let server = socket::udp(to, family)?;
    let client = socket::udp(from, family)?;
    let port = server.local_addr().context("a socket without an address")?.port();
    let target = SocketAddr::new(to.ip(family), port);
    let mut last = None;
    loop {
        let mut buffer = [0_u8; 16];
        // One end after the other, so a lost datagram costs one tick.
        let there = client.send_to(b"there?", target).and_then(|_| server.recv_from(&mut buffer));
        let back = there.and_then(|(_, sender)| server.send_to(b"here", sender));
        match back.and_then(|_| client.recv(&mut buffer)) {
            Ok(_) => return Ok(()),
            Err(error) => last = (!socket::is_timeout(&error)).then_some(error).or(last),
        }
        if Instant::now() >= deadline {
            let why = last.map_or_else(|| "no answer".to_owned(), |error| error.to_string());
            bail!("{} does not reach {} over IPv{}: {why}", from.name, to.name, family.number());
        }
        if last.is_some() {
            // An error is immediate: wait as long as a lost datagram would take.
            std::thread::sleep(socket::TICK);
        }
    }
}
