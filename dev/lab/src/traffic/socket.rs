//! Sockets in a pod's namespace, with options that the standard library lacks.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::netns;
use crate::topology::{Family, Pod};

/// Timeout of a single wait on a socket.
pub const TICK: Duration = Duration::from_millis(200);

fn any(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// A UDP socket in a pod on a free port, with a large receive buffer and a timeout of [`TICK`].
///
/// # Errors
/// The namespace cannot be entered, or the socket cannot be opened.
pub fn udp(pod: &Pod, family: Family) -> Result<UdpSocket> {
    netns::within(&pod.netns, || {
        let socket = UdpSocket::bind((any(family), 0))
            .with_context(|| format!("cannot open a UDP socket in {}", pod.name))?;
        socket.set_read_timeout(Some(TICK)).context("cannot set a timeout")?;
        set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, 4 << 20)?;
        Ok(socket)
    })
}

/// Sets or clears DF on a UDP socket. Without DF, a datagram larger than the MTU is fragmented whatever the path MTU
/// is.
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
            // The same values as for IPv4. In IPv6 only the sending host fragments, by the path MTU.
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
/// The namespace cannot be entered, or the socket cannot be opened.
pub fn listen(pod: &Pod, family: Family) -> Result<(TcpListener, SocketAddr)> {
    let listener = netns::within(&pod.netns, || {
        TcpListener::bind((any(family), 0))
            .with_context(|| format!("cannot open a TCP socket in {}", pod.name))
    })?;
    listener.set_nonblocking(true).context("cannot make a listener non-blocking")?;
    let port = listener.local_addr().context("a listener without an address")?.port();
    Ok((listener, SocketAddr::new(pod.ip(family), port)))
}

/// A TCP connection from a pod, with `limit` as the timeout of reads and writes.
///
/// # Errors
/// The namespace cannot be entered or the other end does not respond.
pub fn connect(pod: &Pod, to: SocketAddr, limit: Duration) -> Result<TcpStream> {
    let stream = netns::within(&pod.netns, || {
        TcpStream::connect_timeout(&to, limit).with_context(|| format!("{} cannot reach {to}", pod.name))
    })?;
    set_limits(&stream, limit)?;
    Ok(stream)
}

/// Sets timeouts of a connection, and TCP_NODELAY.
///
/// # Errors
/// The kernel refuses.
pub fn set_limits(stream: &TcpStream, limit: Duration) -> Result<()> {
    stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_read_timeout(Some(limit)))
        .and_then(|()| stream.set_write_timeout(Some(limit)))
        .and_then(|()| stream.set_nodelay(true))
        .context("cannot set the timeouts of a connection")
}

/// Whether an error is a timeout.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
