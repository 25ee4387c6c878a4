//! FDB entries of VXLAN devices (`bridge fdb`) and offloads (`ethtool -K`), so that a lab in a small virtual machine
//! needs no program but `ip`.

use std::ffi::CString;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, bail};

/// Adds an FDB entry to the VXLAN device `device` in the calling thread's namespace.
///
/// # Errors
/// The kernel refuses.
pub fn set_fdb(device: &str, mac: &str, destination: IpAddr) -> Result<()> {
    let index = index_of(device)?;
    let message = fdb_message(index, parse_mac(mac)?, destination);
    let socket = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    // SAFETY: the buffer is valid for its length; without an address the message goes to the kernel.
    let sent = unsafe { libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error()).context("cannot request an FDB entry");
    }
    let mut answer = [0_u8; 512];
    // SAFETY: the buffer is valid and writable for its length.
    let got = unsafe { libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0) };
    // The reply is a header of 16 bytes (type 2: NLMSG_ERROR) and a negative errno or 0.
    let code: Option<[u8; 4]> = answer.get(16..20).and_then(|bytes| bytes.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) if got >= 20 => Ok(()),
        Some(code) if got >= 20 => Err(io::Error::from_raw_os_error(-code))
            .with_context(|| format!("cannot add {mac} to the FDB of {device}")),
        _ => bail!("no reply about the FDB of {device}"),
    }
}

/// `RTM_NEWNEIGH` for the family `AF_BRIDGE`: nlmsghdr, ndmsg, `NDA_DST`, `NDA_LLADDR`.
fn fdb_message(index: u32, mac: [u8; 6], destination: IpAddr) -> Vec<u8> {
    const NTF_SELF: u8 = 2;
    const NUD_PERMANENT: u16 = 0x80;
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
    let mut body = vec![7, 0, 0, 0]; // AF_BRIDGE and padding
    body.extend(index.to_ne_bytes());
    body.extend(NUD_PERMANENT.to_ne_bytes());
    body.extend([NTF_SELF, 0]);
    match destination {
        IpAddr::V4(address) => attribute(&mut body, libc::NDA_DST, &address.octets()),
        IpAddr::V6(address) => attribute(&mut body, libc::NDA_DST, &address.octets()),
    }
    attribute(&mut body, libc::NDA_LLADDR, &mac);
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend((16 + body.len() as u32).to_ne_bytes());
    message.extend(libc::RTM_NEWNEIGH.to_ne_bytes());
    message.extend((flags as u16).to_ne_bytes());
    message.extend([1, 0, 0, 0, 0, 0, 0, 0]); // sequence and port
    message.extend(body);
    message
}

fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    to.extend((4 + value.len() as u16).to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

fn parse_mac(text: &str) -> Result<[u8; 6]> {
    let bytes: Result<Vec<u8>, _> = text.split(':').map(|part| u8::from_str_radix(part, 16)).collect();
    bytes.ok().and_then(|bytes| bytes.try_into().ok()).with_context(|| format!("invalid MAC address {text}"))
}

fn index_of(device: &str) -> Result<u32> {
    let name = CString::new(device).context("a device name with a NUL")?;
    // SAFETY: the name ends with NUL and outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()).with_context(|| format!("no device {device}")),
        index => Ok(index),
    }
}

/// Whether the calling thread's namespace has a device of this name.
pub fn exists(device: &str) -> bool {
    index_of(device).is_ok()
}

/// The names of all devices of the calling thread's namespace.
///
/// # Errors
/// The kernel's list cannot be read.
pub fn devices() -> Result<Vec<String>> {
    // Two lines of headings, then one line per device with its name before the colon. `/proc/net` would be the main
    // thread's namespace.
    let file = "/proc/thread-self/net/dev";
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let names = text.lines().skip(2).filter_map(|line| line.split_once(':'));
    Ok(names.map(|(name, _)| name.trim().to_owned()).collect())
}

/// Opens a socket in the calling thread's namespace.
///
/// # Errors
/// The kernel refuses.
pub fn socket(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd> {
    // SAFETY: socket takes no pointers.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error()).context("cannot open a socket");
    }
    // SAFETY: the descriptor was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An interface request with a device's name in it.
///
/// # Errors
/// The name is too long.
pub fn request(device: &str) -> Result<libc::ifreq> {
    // SAFETY: ifreq is plain data, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if device.len() >= request.ifr_name.len() {
        bail!("{device} is too long for a device name");
    }
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// Turns off segmentation and checksum offloads of a device in the calling thread's namespace. Offloads that the
/// device lacks are ignored.
///
/// # Errors
/// The device does not exist.
pub fn switch_offloads_off(device: &str) -> Result<()> {
    const SIOCETHTOOL: libc::c_ulong = 0x8946;
    // ETHTOOL_SRXCSUM, STXCSUM, SSG, STSO, SGSO, SGRO (linux/ethtool.h)
    const COMMANDS: [u32; 6] = [0x15, 0x17, 0x19, 0x1f, 0x24, 0x2c];
    index_of(device)?;
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    for command in COMMANDS {
        let mut value = [command, 0_u32]; // struct ethtool_value
        let mut request = request(device)?;
        request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
        // SAFETY: the request and the value it points to outlive the call. The cast is for musl's i32 requests.
        let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &mut request) };
        if done != 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EOPNOTSUPP) {
                return Err(error).with_context(|| format!("cannot turn off the offloads of {device}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdb_request_has_the_layout_of_the_kernel_headers() {
        let mac = parse_mac("66:0b:04:00:00:12").expect("a MAC address");
        let message = fdb_message(7, mac, IpAddr::from([10, 10, 1, 12]));
        assert_eq!(message.len(), 16 + 12 + 8 + 12);
        assert_eq!(message.first(), Some(&48));
        assert_eq!(message.get(32..36), Some(&[10, 10, 1, 12][..]));
        assert_eq!(message.get(40..46), Some(&mac[..]));
        assert!(parse_mac("66:0b").is_err());
    }
}
