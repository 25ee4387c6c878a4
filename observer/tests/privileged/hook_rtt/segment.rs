//! TCP segments with timestamps, sent without a TCP socket.

use std::io;
use std::net::Ipv4Addr;

use observer_testing::packets::{Ip4, Ip6};

/// A segment with timestamps, and with data if `data` is not 0.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Source and destination port.
    pub ports: (u16, u16),
    /// TSval and TSecr.
    pub stamps: (u32, u32),
    /// TCP flags.
    pub flags: u8,
    /// Bytes of data.
    pub data: usize,
    /// The first word of the options.
    pub options: u32,
}

/// ACK.
pub const ACK: u8 = 0x10;

impl Segment {
    /// A segment with data.
    pub const fn data(ports: (u16, u16), stamp: u32) -> Self {
        Self { ports, stamps: (stamp, 7), flags: ACK, data: 100, options: 0x0101_080a }
    }

    /// An answer from the other end, without data.
    pub const fn answer(ports: (u16, u16), echo: u32) -> Self {
        Self { ports: (ports.1, ports.0), stamps: (9, echo), flags: ACK, data: 0, options: 0x0101_080a }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.ports.0.to_be_bytes());
        bytes.extend(self.ports.1.to_be_bytes());
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x80, self.flags, 1, 0, 0, 0, 0, 0]);
        bytes.extend(self.options.to_be_bytes());
        bytes.extend(self.stamps.0.to_be_bytes());
        bytes.extend(self.stamps.1.to_be_bytes());
        bytes.resize(bytes.len() + self.data, b'x');
        bytes
    }

    /// In IPv4.
    pub fn v4(&self, from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
        Ip4::new(from, to, 6).around(&self.bytes())
    }

    /// In IPv6.
    pub fn v6(&self, from: [u8; 16], to: [u8; 16]) -> Vec<u8> {
        Ip6::new(from, to, 6).around(&self.bytes())
    }
}

/// Sends raw IPv4 packets from the namespace of this thread.
///
/// # Errors
/// A system call failed.
pub fn send(packets: &[Vec<u8>]) -> io::Result<()> {
    // SAFETY: no pointers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new.
    let socket: std::os::fd::OwnedFd = unsafe { std::os::fd::FromRawFd::from_raw_fd(socket) };
    for packet in packets {
        let to = Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]);
        let address = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.octets()) },
            sin_zero: [0; 8],
        };
        // SAFETY: the packet and the address are valid for the duration of the call.
        let sent = unsafe {
            libc::sendto(
                std::os::fd::AsRawFd::as_raw_fd(&socket),
                packet.as_ptr().cast(),
                packet.len(),
                0,
                (&raw const address).cast(),
                size_of::<libc::sockaddr_in>() as libc::socklen_t,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
