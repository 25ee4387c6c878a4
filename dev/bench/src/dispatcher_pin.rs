//! Keeps XDP programs in the kernel's dispatcher by attaching them where no packet arrives.
//!
//! The kernel calls XDP programs through a dispatcher. `BPF_PROG_TEST_RUN` rewrites it before and after each
//! call, unless the program is attached somewhere (kernel/bpf/dispatcher.c). Each rewrite waits for a grace
//! period, which takes about a hundred times as long as a short run.

use std::os::fd::OwnedFd;

use anyhow::Result;
use aya::programs::Program;

use crate::frames::attach_xdp;
use crate::netns::Netns;

/// Programs attached to devices in a separate network namespace.
pub struct DispatcherPin {
    _links: Vec<OwnedFd>,
    _netns: Netns,
}

impl DispatcherPin {
    /// Attaches the XDP programs among `programs`.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn new<'a>(programs: impl IntoIterator<Item = &'a Program>) -> Result<Self> {
        let netns = Netns::new()?;
        let mut links = Vec::new();
        let programs = programs.into_iter().filter(|program| matches!(program, Program::Xdp(_)));
        for (n, program) in programs.enumerate() {
            let device = format!("pin{n}");
            netns.ip(&format!("link add {device} type veth"))?;
            let ifindex = netns.ifindex(&device)?;
            links.push(netns.run(|| attach_xdp(program, ifindex))?);
        }
        Ok(Self { _links: links, _netns: netns })
    }
}
