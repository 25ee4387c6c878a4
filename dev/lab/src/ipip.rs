//! A user-space IPIP tunnel for kernels without the ipip module: a process in a node's namespace that connects a TUN
//! device named `tunl0` with raw sockets of protocol 4.
//!
//! Packets look like those of the kernel's `tunl0`: outer protocol 4, DF and type of service copied from the inner
//! header. The kernel writes the outer header and creates the fragments, so its counters (`IpFragCreates`,
//! `ReasmReqds`) count them. A DF packet that does not fit causes ICMP "fragmentation needed", as in the kernel.

use std::fs::OpenOptions;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use anyhow::{Context as _, Result, bail};

use super::netlink;
use super::netns;
use super::topology::{Family, Prefix, TUNL, Topology};

/// The largest IPv4 packet.
const LARGEST: usize = 65_535;
/// Interval at which an idle endpoint checks whether its lab still exists, in milliseconds.
const LOOK: i32 = 500;
/// Packets taken from one side before the other side's turn.
const BATCH: usize = 64;

/// Another node: its block, and a raw socket connected to its address.
struct Peer {
    block: Prefix,
    socket: OwnedFd,
    dont_fragment: Option<bool>,
    tos: Option<u8>,
}

/// Runs the endpoint of a node until its device or its namespace is gone.
///
/// # Errors
/// It cannot start.
pub fn run(topology: &Topology, node: &str) -> Result<()> {
    let own = topology
        .nodes
        .iter()
        .find(|candidate| candidate.name == node)
        .with_context(|| format!("no node {node}"))?;
    netns::enter(&own.netns)?;
    let tun = open_tun()?;
    let mut peers = Vec::new();
    for peer in topology.nodes.iter().filter(|peer| peer.name != own.name) {
        let socket = open_raw(own.address, peer.address)?;
        peers.push(Peer { block: peer.block(Family::V4), socket, dont_fragment: None, tos: None });
    }
    let mut buffer = vec![0_u8; LARGEST];
    while netns::is_current(&own.netns) {
        if !wait(&tun, &peers)? || !send_all(&tun, &mut peers, &mut buffer, own.address)? {
            break;
        }
        for peer in &peers {
            receive_all(&tun, peer, &mut buffer);
        }
    }
    Ok(())
}

fn open_tun() -> Result<OwnedFd> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .context("cannot open /dev/net/tun (kernel module tun)")?;
    let mut request = netlink::request(TUNL)?;
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the request outlives the call.
    if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request) } != 0 {
        return Err(io::Error::last_os_error()).with_context(|| format!("cannot take {TUNL}"));
    }
    let fd = OwnedFd::from(file);
    set_nonblocking(&fd)?;
    Ok(fd)
}

fn set_nonblocking(fd: &OwnedFd) -> Result<()> {
    // SAFETY: fcntl with these commands takes no pointers.
    let done = unsafe {
        let flags = libc::fcntl(fd.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK)
    };
    if done < 0 {
        return Err(io::Error::last_os_error()).context("cannot make a descriptor non-blocking");
    }
    Ok(())
}

/// A raw socket of protocol 4 between two nodes. It receives reassembled packets of that peer only.
fn open_raw(own: Ipv4Addr, peer: Ipv4Addr) -> Result<OwnedFd> {
    let socket = netlink::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_NONBLOCK, libc::IPPROTO_IPIP)?;
    for (level, option, value) in [
        (libc::IPPROTO_IP, libc::IP_TTL, 64),
        (libc::SOL_SOCKET, libc::SO_RCVBUF, 4 << 20),
        (libc::SOL_SOCKET, libc::SO_SNDBUF, 4 << 20),
    ] {
        set_option(&socket, level, option, value)?;
    }
    for (address, connect) in [(own, false), (peer, true)] {
        let address = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: u32::from(address).to_be() },
            sin_zero: [0; 8],
        };
        let size = size_of_val(&address) as libc::socklen_t;
        let pointer = (&raw const address).cast();
        // SAFETY: the address outlives the calls, and `size` is its size.
        let done = unsafe {
            if connect {
                libc::connect(socket.as_raw_fd(), pointer, size)
            } else {
                libc::bind(socket.as_raw_fd(), pointer, size)
            }
        };
        if done != 0 {
            return Err(io::Error::last_os_error())
                .with_context(|| format!("cannot connect a raw socket from {own} to {peer}"));
        }
    }
    Ok(socket)
}

fn set_option(socket: &OwnedFd, level: i32, option: i32, value: i32) -> Result<()> {
    let size = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the value outlives the call, and `size` is its size.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), size) };
    if done != 0 {
        return Err(io::Error::last_os_error()).context("cannot set an option of a raw socket");
    }
    Ok(())
}

/// The kernel's path MTU towards the peer.
fn path_mtu(socket: &OwnedFd) -> u16 {
    let mut value: i32 = 0;
    let mut size = size_of_val(&value) as libc::socklen_t;
    // SAFETY: value and size outlive the call, and `size` is the value's size.
    unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MTU,
            (&raw mut value).cast(),
            &raw mut size,
        );
    }
    u16::try_from(value).ok().filter(|mtu| *mtu >= 68).unwrap_or(1500)
}

/// Waits for a packet; `false` once the device is gone.
fn wait(tun: &OwnedFd, peers: &[Peer]) -> Result<bool> {
    let poll = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut set: Vec<libc::pollfd> = std::iter::once(poll(tun.as_raw_fd()))
        .chain(peers.iter().map(|peer| poll(peer.socket.as_raw_fd())))
        .collect();
    // SAFETY: the array outlives the call, and its length is given.
    let ready = unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, LOOK) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error).context("cannot wait for packets");
        }
    }
    Ok(set.first().is_some_and(|tun| tun.revents & (libc::POLLERR | libc::POLLNVAL) == 0))
}

/// Takes packets from the device and sends them to the nodes; `false` once the device is gone.
fn send_all(tun: &OwnedFd, peers: &mut [Peer], buffer: &mut [u8], own: Ipv4Addr) -> Result<bool> {
    for _ in 0..BATCH {
        // SAFETY: the buffer is valid and writable for its length.
        let got = unsafe { libc::read(tun.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        let Ok(got) = usize::try_from(got) else {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) => Ok(true),
                // The device was removed.
                Some(libc::EBADFD | libc::EIO) => Ok(false),
                _ => Err(error).with_context(|| format!("cannot read from {TUNL}")),
            };
        };
        let Some(packet) = buffer.get(..got) else { bail!("{TUNL} returned more than was requested") };
        if let Some(mtu) = send_one(packet, peers)
            && let Some(answer) = fragmentation_needed(packet, own, mtu)
        {
            write(tun, &answer);
        }
    }
    Ok(true)
}

/// Sends one packet. Returns the MTU if the packet was too big. Packets without a peer, and those that cannot be sent
/// for other reasons, are dropped as by a full queue.
fn send_one(packet: &[u8], peers: &mut [Peer]) -> Option<u16> {
    let inner = Inner::read(packet)?;
    let peer = peers.iter_mut().find(|peer| peer.block.contains(IpAddr::V4(inner.destination)))?;
    if peer.dont_fragment != Some(inner.dont_fragment) {
        let wanted = if inner.dont_fragment { libc::IP_PMTUDISC_DO } else { libc::IP_PMTUDISC_DONT };
        set_option(&peer.socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, wanted).ok()?;
        peer.dont_fragment = Some(inner.dont_fragment);
    }
    if peer.tos != Some(inner.tos) {
        set_option(&peer.socket, libc::IPPROTO_IP, libc::IP_TOS, i32::from(inner.tos)).ok()?;
        peer.tos = Some(inner.tos);
    }
    // The first attempt may return an error that an earlier ICMP message left on the socket.
    for _ in 0..2 {
        // SAFETY: the packet is valid for its length.
        let sent = unsafe {
            libc::send(peer.socket.as_raw_fd(), packet.as_ptr().cast(), packet.len(), libc::MSG_NOSIGNAL)
        };
        if sent >= 0 {
            return None;
        }
        if io::Error::last_os_error().raw_os_error() == Some(libc::EMSGSIZE) {
            return Some(path_mtu(&peer.socket).saturating_sub(20));
        }
    }
    None
}

/// Receives reassembled packets of a peer, and writes the inner packets to the device.
fn receive_all(tun: &OwnedFd, peer: &Peer, buffer: &mut [u8]) {
    for _ in 0..BATCH {
        // SAFETY: the buffer is valid and writable for its length.
        let got = unsafe { libc::recv(peer.socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let Ok(got) = usize::try_from(got) else { return };
        if let Some(inner) = buffer.get(..got).and_then(decapsulate) {
            write(tun, inner);
        }
    }
}

fn write(tun: &OwnedFd, packet: &[u8]) {
    // A packet that the device refuses is dropped; `wait` notices a removed device.
    // SAFETY: the packet is valid for its length.
    let _ = unsafe { libc::write(tun.as_raw_fd(), packet.as_ptr().cast(), packet.len()) };
}

/// Fields that the outer header copies from the inner one.
#[derive(Debug, PartialEq, Eq)]
struct Inner {
    destination: Ipv4Addr,
    dont_fragment: bool,
    tos: u8,
}

impl Inner {
    /// `None` if the packet is not IPv4.
    fn read(packet: &[u8]) -> Option<Self> {
        let header: &[u8; 20] = packet.first_chunk()?;
        if header[0] >> 4 != 4 {
            return None;
        }
        Some(Self {
            destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]),
            dont_fragment: header[6] & 0x40 != 0,
            tos: header[1],
        })
    }
}

/// The inner packet of an IPIP packet.
fn decapsulate(outer: &[u8]) -> Option<&[u8]> {
    let header = outer.first()?;
    let inner = outer.get(usize::from(header & 0x0f) * 4..)?;
    Inner::read(inner).map(|_| inner)
}

/// ICMP type 3 code 4 from this node to the sender of `packet`. ICMP errors and later fragments get no answer (RFC
/// 1122, 3.2.2).
fn fragmentation_needed(packet: &[u8], own: Ipv4Addr, mtu: u16) -> Option<Vec<u8>> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let later_fragment = header[6] & 0x1f != 0 || header[7] != 0;
    let icmp_error = header[9] == 1 && packet.get(header_len).is_none_or(|kind| !matches!(*kind, 0 | 8));
    if later_fragment || icmp_error {
        return None;
    }
    let quoted = packet.get(..packet.len().min(548))?;
    let mut icmp = vec![3, 4, 0, 0, 0, 0];
    icmp.extend(mtu.to_be_bytes());
    icmp.extend(quoted);
    let sum = checksum(&icmp).to_be_bytes();
    icmp.splice(2..4, sum);

    let total = u16::try_from(20 + icmp.len()).ok()?;
    let mut answer = vec![0x45, 0xc0];
    answer.extend(total.to_be_bytes());
    answer.extend([0, 0, 0, 0, 64, 1, 0, 0]);
    answer.extend(own.octets());
    answer.extend(&header[12..16]);
    let sum = checksum(&answer).to_be_bytes();
    answer.splice(10..12, sum);
    answer.extend(icmp);
    Some(answer)
}

/// The Internet checksum.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(flags: u8, protocol: u8) -> Vec<u8> {
        let mut packet = vec![0x45, 2, 0, 60, 0, 1, flags, 0, 64, protocol, 0, 0];
        packet.extend([10, 244, 10, 2, 10, 244, 20, 66]);
        packet.resize(60, 3);
        packet
    }

    #[test]
    fn df_tos_and_destination_are_read_from_the_inner_header() {
        let destination = Ipv4Addr::new(10, 244, 20, 66);
        assert_eq!(Inner::read(&packet(0x40, 17)), Some(Inner { destination, dont_fragment: true, tos: 2 }));
        assert_eq!(Inner::read(&packet(0x20, 17)), Some(Inner { destination, dont_fragment: false, tos: 2 }));
        assert_eq!(Inner::read(&[0x60; 40]), None);
        assert_eq!(Inner::read(&[0x45; 19]), None);
    }

    #[test]
    fn outer_header_is_removed() {
        let inner = packet(0, 17);
        for words in [5_u8, 6] {
            let mut outer = vec![0; usize::from(words) * 4];
            outer[0] = 0x40 | words;
            outer.extend(&inner);
            assert_eq!(decapsulate(&outer), Some(&inner[..]));
        }
        for bad in [&[][..], &[0x45], &[0x4f; 30], &[0x46; 20]] {
            assert_eq!(decapsulate(bad), None);
        }
    }

    #[test]
    fn oversized_df_packet_is_answered_with_icmp() {
        let own = Ipv4Addr::new(10, 10, 1, 11);
        let answer = fragmentation_needed(&packet(0x40, 17), own, 1440).expect("an answer");
        assert_eq!(checksum(&answer[..20]), 0);
        assert_eq!(checksum(&answer[20..]), 0);
        assert_eq!(answer[20..22], [3, 4]);
        assert_eq!(answer[26..28], 1440_u16.to_be_bytes());
        assert_eq!(answer[16..20], [10, 244, 10, 2]);
        assert_eq!(usize::from(answer[2]) << 8 | usize::from(answer[3]), answer.len());
        assert!(fragmentation_needed(&packet(0x01, 17), own, 1440).is_none(), "a later fragment");
        assert!(fragmentation_needed(&packet(0x40, 1), own, 1440).is_none(), "an ICMP error");
    }
}
