//! Sockets in pods: those of the standard library, opened in a pod's namespace, with a few options it lacks.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::netns;
use crate::topology::{Family, Pod};

/// How long one wait on a socket may take before its owner looks whether to go on.
pub const TICK: Duration = Duration::from_millis(200);

fn any(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// A UDP socket in a pod at a free port, with a large receive buffer, that waits for [`TICK`] at most.
///
/// # Errors
/// The namespace cannot be entered or the socket not be opened.
pub fn udp(pod: &Pod, family: Family) -> Result<UdpSocket> {
    netns::within(&pod.netns, || {
        let socket = UdpSocket::bind((any(family), 0))
            .with_context(|| format!("cannot open a UDP socket in {}", pod.name))?;
        socket.set_read_timeout(Some(TICK)).context("cannot set a time limit")?;
        set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, 4 << 20)?;
        Ok(socket)
    })
}

/// Sets or clears DF on what a UDP socket sends. Cleared, a datagram larger than the MTU is sent in fragments
/// whatever the kernel knows about the path.
///
/// # Errors
/// The kernel refuses.
pub fn set_dont_fragment(socket: &UdpSocket, family: Family, on: bool) -> Result<()> {
    match family {
        Family::V4 => {
            let value = if on { libc::IP_PMTUDISC_DO } else { libc::IP_PMTUDISC_DONT };
            set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value)
        }
        Family::V6 => {
            // The same numbers as for IPv4. A host fragments by the path MTU; nobody else does in IPv6.
            let value = if on { libc::IPV6_PMTUDISC_DO } else { libc::IPV6_PMTUDISC_WANT };
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, value)
        }
    }
}

fn set(socket: &UdpSocket, level: i32, option: i32, value: i32) -> Result<()> {
    let size = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the value outlives the call, and `size` is its size.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), size) };
    if done != 0 {
        return Err(io::Error::last_os_error()).context("cannot set an option of a UDP socket");
    }
    Ok(())
}

/// A listening TCP socket in a pod and its port; accepting does not block.
///
/// # Errors
/// The namespace cannot be entered or the socket not be opened.
pub fn listen(pod: &Pod, family: Family) -> Result<(TcpListener, SocketAddr)> {
    let listener = netns::within(&pod.netns, || {
        TcpListener::bind((any(family), 0))
            .with_context(|| format!("cannot open a TCP socket in {}", pod.name))
    })?;
    listener.set_nonblocking(true).context("cannot make a listener non-blocking")?;
    let port = listener.local_addr().context("a listener without an address")?.port();
    Ok((listener, SocketAddr::new(pod.ip(family), port)))
}

/// A TCP connection from a pod; its reads and writes wait for `limit` at most.
///
/// # Errors
/// The namespace cannot be entered or the other end does not answer.
pub fn connect(pod: &Pod, to: SocketAddr, limit: Duration) -> Result<TcpStream> {
    let stream = netns::within(&pod.netns, || {
        TcpStream::connect_timeout(&to, limit).with_context(|| format!("{} cannot reach {to}", pod.name))
    })?;
    set_limits(&stream, limit)?;
    Ok(stream)
}

/// Bounds every read and write of a connection, and sends small messages at once.
///
/// # Errors
/// The kernel refuses.
pub fn set_limits(stream: &TcpStream, limit: Duration) -> Result<()> {
    stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_read_timeout(Some(limit)))
        .and_then(|()| stream.set_write_timeout(Some(limit)))
        .and_then(|()| stream.set_nodelay(true))
        .context("cannot set the time limits of a connection")
}

/// Whether an error only says that the wait was over.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
