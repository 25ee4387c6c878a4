//! XDP programs where no packet ever comes.
//!
//! The kernel calls XDP programs by a dispatcher, which it rewrites when a program is attached for the first
//! time or, for the time of the call, by `BPF_PROG_TEST_RUN` (kernel/bpf/dispatcher.c). Each time it waits for a grace
//! period, so that short runs would take a hundred times as long as what they measure. A program that is
//! attached somewhere has its place there already.

use std::os::fd::OwnedFd;

use anyhow::Result;
use aya::programs::Program;

use crate::frames::attach_xdp;
use crate::netns::Netns;

/// Programs that are attached to devices in a network namespace of their own.
pub struct Parked {
    _links: Vec<OwnedFd>,
    _netns: Netns,
}

impl Parked {
    /// Attaches those among them that are for XDP.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn new<'a>(programs: impl IntoIterator<Item = &'a Program>) -> Result<Self> {
        let netns = Netns::new()?;
        let mut links = Vec::new();
        let programs = programs.into_iter().filter(|program| matches!(program, Program::Xdp(_)));
        for (n, program) in programs.enumerate() {
            let device = format!("parked{n}");
            netns.ip(&format!("link add {device} type veth"))?;
            let ifindex = netns.ifindex(&device)?;
            links.push(netns.run(|| attach_xdp(program, ifindex))?);
        }
        Ok(Self { _links: links, _netns: netns })
    }
}
