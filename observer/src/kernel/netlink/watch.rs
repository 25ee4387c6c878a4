//! Word that something changed.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use rtnetlink::MulticastGroup;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use tokio::time::{Instant, timeout_at};

use super::read::NetlinkError;

/// What is listened to.
const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
];
/// Changes come in bursts (Felix writes all routes of a node at once): they are one when this much
/// quiet follows,
const QUIET: Duration = Duration::from_millis(100);
/// and in any case after this.
const LONGEST: Duration = Duration::from_millis(1000);
/// The kernel's messages are smaller than this.
const MESSAGE: usize = 32 * 1024;

/// Something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The kernel had more to say than fits its buffer, and threw it away. Reading the node anew is the
    /// answer, as it is to every change.
    pub overrun: bool,
}

/// Listens to the kernel.
pub struct Watcher {
    socket: TokioSocket,
    buffer: BytesMut,
    /// Devices whose neighbours matter; `None`: all.
    tunnels: Option<HashSet<u32>>,
}

impl Watcher {
    /// Starts to listen, in the network namespace of this thread. Read the node *after* this, so that
    /// nothing is missed between.
    ///
    /// # Errors
    /// The kernel refused the socket.
    pub fn new() -> Result<Self, NetlinkError> {
        let failed = NetlinkError::new("listen to", "changes of devices, routes and neighbours");
        let mut socket = TokioSocket::new(NETLINK_ROUTE).map_err(&failed)?;
        let groups = GROUPS.iter().fold(0, |groups, group| groups | 1 << (*group as u32 - 1));
        socket.socket_mut().bind(&SocketAddr::new(0, groups)).map_err(&failed)?;
        Ok(Self { socket, buffer: BytesMut::with_capacity(MESSAGE), tunnels: None })
    }

    /// Neighbours of other devices are to be ignored from now on: on a busy node their states change all
    /// the time, and only those of VXLAN devices say where pods are.
    pub fn set_tunnels(&mut self, tunnels: impl IntoIterator<Item = u32>) {
        self.tunnels = Some(tunnels.into_iter().collect());
    }

    /// Waits for the first message of a change. Nothing is lost when this is cancelled; who calls it
    /// waits a little for the rest of the burst.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn next_event(&mut self) -> Result<Change, NetlinkError> {
        loop {
            if let Some(change) = self.receive().await? {
                return Ok(change);
            }
        }
    }

    /// Waits for a change, and for the end of the burst that it belongs to. May be cancelled: what was
    /// read until then is forgotten, so the caller reads the node anew or calls again at once.
    ///
    /// # Errors
    /// The socket failed.
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
                Err(NetlinkError::new("listen to", "changes of devices, routes and neighbours")(cause))
            }
        }
    }
}

/// `struct nlmsghdr`: length and type stand first.
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

/// Whether a message is a reason to read the node anew.
fn matters(message: &[u8], tunnels: Option<&HashSet<u32>>) -> bool {
    let kind = u16::from_ne_bytes([message[4], message[5]]);
    if !matches!(kind, libc::RTM_NEWNEIGH | libc::RTM_DELNEIGH) {
        return kind >= libc::RTM_NEWLINK;
    }
    // `struct ndmsg`: the interface index stands behind family and padding.
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
    fn a_datagram_is_cut_into_its_messages() {
        let mut datagram = message(libc::RTM_NEWLINK, 1);
        datagram.extend(message(libc::RTM_NEWNEIGH, 2));
        assert_eq!(messages(&datagram).count(), 2);
        // Lying lengths end the list, and never the program.
        datagram[0] = 200;
        assert_eq!(messages(&datagram).count(), 0);
        datagram[0] = 3;
        assert_eq!(messages(&datagram).count(), 0);
        assert_eq!(messages(&[1, 0]).count(), 0);
    }
}
