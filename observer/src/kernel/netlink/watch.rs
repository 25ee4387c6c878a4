//! Waits for changes of the node.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use rtnetlink::MulticastGroup;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use tokio::time::{Instant, timeout_at};

use super::read::NetlinkError;

/// Multicast groups to join.
const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
];
/// Changes come in bursts (Felix writes all routes of a node at once). A burst ends when nothing follows for this
/// long,
const QUIET: Duration = Duration::from_millis(100);
/// or after this time in any case.
const LONGEST: Duration = Duration::from_millis(1000);
/// The kernel's messages are smaller than this.
const MESSAGE: usize = 32 * 1024;

/// Something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The socket's buffer overflowed and messages were lost.
    pub overrun: bool,
}

/// Receives notifications from the kernel.
pub struct Watcher {
    socket: TokioSocket,
    buffer: BytesMut,
    /// Devices with relevant neighbours; `None`: all.
    tunnels: Option<HashSet<u32>>,
}

impl Watcher {
    /// Subscribes, in the network namespace of this thread. Read the node *after* this, so that no change between
    /// the two is missed.
    pub fn new() -> Result<Self, NetlinkError> {
        let failed = NetlinkError::new("receive", "changes of devices, routes and neighbours");
        let mut socket = TokioSocket::new(NETLINK_ROUTE).map_err(&failed)?;
        let groups = GROUPS.iter().fold(0, |groups, group| groups | 1 << (*group as u32 - 1));
        socket.socket_mut().bind(&SocketAddr::new(0, groups)).map_err(&failed)?;
        Ok(Self { socket, buffer: BytesMut::with_capacity(MESSAGE), tunnels: None })
    }

    /// Ignores neighbours of other devices: on a busy node their states change all the time, and only those of
    /// VXLAN devices locate pods.
    pub fn set_tunnels(&mut self, tunnels: impl IntoIterator<Item = u32>) {
        self.tunnels = Some(tunnels.into_iter().collect());
    }

    /// Waits for the first message of a change. The caller waits for the rest of the burst. Safe to cancel.
    pub async fn next_event(&mut self) -> Result<Change, NetlinkError> {
        loop {
            if let Some(change) = self.receive().await? {
                return Ok(change);
            }
        }
    }

    /// Waits for a change and the end of its burst. If this is cancelled, messages may be lost: read the node again.
    pub async fn changed(&mut self) -> Result<Change, NetlinkError> {
        let mut change = loop {
            if let Some(change) = self.receive().await? {
                break change;
            }
        };
        let latest = Instant::now() + LONGEST;
        loop {
            let until = latest.min(Instant::now() + QUIET);
            match timeout_at(until, self.receive()).await {
                Ok(more) => change.overrun |= more?.is_some_and(|more| more.overrun),
                Err(_elapsed) => return Ok(change),
            }
            if Instant::now() >= latest {
                return Ok(change);
            }
        }
    }

    /// One datagram: a change, or nothing of interest.
    async fn receive(&mut self) -> Result<Option<Change>, NetlinkError> {
        self.buffer.clear();
        self.buffer.reserve(MESSAGE);
        match self.socket.recv(&mut self.buffer).await {
            Ok(()) => {
                let matters = messages(&self.buffer).any(|message| matters(message, self.tunnels.as_ref()));
                Ok(matters.then_some(Change { overrun: false }))
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Some(Change { overrun: true })),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(cause) => {
                Err(NetlinkError::new("receive", "changes of devices, routes and neighbours")(cause))
            }
        }
    }
}

/// `struct nlmsghdr`, which begins with length and type.
const HEADER: usize = 16;

/// The messages of a datagram, with their headers.
fn messages(mut datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let len = u32::from_ne_bytes(datagram.get(..4)?.try_into().ok()?) as usize;
        let message = datagram.get(..len).filter(|_| len >= HEADER)?;
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// Whether the node must be read again after a message.
fn matters(message: &[u8], tunnels: Option<&HashSet<u32>>) -> bool {
    let kind = u16::from_ne_bytes([message[4], message[5]]);
    if !matches!(kind, libc::RTM_NEWNEIGH | libc::RTM_DELNEIGH) {
        return kind >= libc::RTM_NEWLINK;
    }
    // `struct ndmsg`: the interface index follows family and padding.
    let ifindex =
        message.get(HEADER + 4..HEADER + 8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
    match (tunnels, ifindex) {
        (Some(tunnels), Some(ifindex)) => tunnels.contains(&ifindex),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, ifindex: u32) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + 12];
        bytes[..4].copy_from_slice(&28_u32.to_ne_bytes());
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[HEADER + 4..HEADER + 8].copy_from_slice(&ifindex.to_ne_bytes());
        bytes
    }

    #[test]
    fn only_neighbours_of_tunnels_matter() {
        let tunnels = HashSet::from([7]);
        // type, interface, tunnels known, matters
        for (kind, ifindex, known, expected) in [
            (libc::RTM_NEWNEIGH, 7, true, true),
            (libc::RTM_DELNEIGH, 7, true, true),
            (libc::RTM_NEWNEIGH, 2, true, false),
            (libc::RTM_NEWNEIGH, 2, false, true),
            (libc::RTM_NEWLINK, 2, true, true),
            (libc::RTM_DELROUTE, 0, true, true),
            (libc::NLMSG_DONE as u16, 0, true, false),
        ] {
            let set = known.then_some(&tunnels);
            assert_eq!(matters(&message(kind, ifindex), set), expected, "{kind} {ifindex} {known}");
        }
    }

    #[test]
    fn a_datagram_is_split_into_messages() {
        let mut datagram = message(libc::RTM_NEWLINK, 1);
        datagram.extend(message(libc::RTM_NEWNEIGH, 2));
        assert_eq!(messages(&datagram).count(), 2);
        // Invalid lengths end the list without a panic.
        datagram[0] = 200;
        assert_eq!(messages(&datagram).count(), 0);
        datagram[0] = 3;
        assert_eq!(messages(&datagram).count(), 0);
        assert_eq!(messages(&[1, 0]).count(), 0);
    }
}
