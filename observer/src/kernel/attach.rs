//! Hooks: watching a device without affecting other programs.
//!
//! TCX, pointd first and unpinned, if the kernel has it (6.6): it ends with the process. Otherwise `clsact` with a
//! fixed priority and handle: its filters outlive a killed process, so leftovers are removed by name first. XDP on
//! request only, native only, by link only.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;

use aya::Ebpf;
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact,
    qdisc_detach_program,
};
use aya::programs::{ProgramError, TcAttachType};
use observer_common::kind::Direction;

use super::clsact;
use super::error::{KernelError, chain};
use super::load::{classifier, explain, xdp};
use super::names::entry;
use super::options::{HookPoint, Ingress, Purpose};
use super::sys;
use crate::snapshot::Hook;

/// The first kernel with TCX.
const TCX: (u32, u32) = (6, 6);
/// Ahead of all others: an earlier filter that returns anything but "next" would hide packets.
const PRIORITY: u16 = 1;
/// MTU above which drivers split a frame into several buffers (a page less headroom and tail).
const ONE_BUFFER: u32 = 3_498;

enum Link {
    Tcx(OwnedFd),
    Clsact(#[expect(dead_code, reason = "dropping it detaches the filter")] SchedClassifierLink),
    Xdp(OwnedFd),
}

/// The attached hooks of every purpose.
pub struct Hooks {
    links: BTreeMap<(Purpose, HookPoint), Link>,
    /// Devices on which we have created a `clsact`.
    created: BTreeSet<u32>,
    tcx: bool,
    /// Hook points at which the filter of a killed process counted until it was repointd.
    taken_over: BTreeSet<(Purpose, HookPoint)>,
    /// While held, filters with our names are leftovers of a killed process.
    alone: Option<UnixListener>,
}

impl Hooks {
    /// No hooks yet. The kernel version decides between TCX and `clsact`.
    #[must_use]
    pub fn new() -> Self {
        let tcx = sys::version().is_some_and(|version| version >= TCX);
        Self {
            links: BTreeMap::new(),
            created: BTreeSet::new(),
            tcx,
            taken_over: BTreeSet::new(),
            alone: None,
        }
    }

    /// Attaches a program of `ebpf`.
    ///
    /// # Errors
    /// The kernel refused, or another program has the XDP hook.
    pub async fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        purpose: Purpose,
        point: &HookPoint,
        ingress: Ingress,
        mtu: u32,
    ) -> Result<Hook, KernelError> {
        let (link, hook) = if ingress == Ingress::Xdp && point.direction == Direction::Ingress {
            (Link::Xdp(attach_xdp(ebpf, point, mtu).await?), Hook::Xdp)
        } else if self.tcx {
            (Link::Tcx(attach_tcx(ebpf, purpose, point)?), Hook::Tcx)
        } else {
            (Link::Clsact(self.attach_clsact(ebpf, purpose, point).await?), Hook::Clsact)
        };
        self.links.insert((purpose, point.clone()), link);
        Ok(hook)
    }

    async fn attach_clsact(
        &mut self,
        ebpf: &mut Ebpf,
        purpose: Purpose,
        point: &HookPoint,
    ) -> Result<SchedClassifierLink, KernelError> {
        if !clsact::present(point.ifindex).await? {
            qdisc_add_clsact(&point.device)
                .map_err(|error| cannot("add a clsact to", point, &error, None))?;
            self.created.insert(point.ifindex);
        }
        if self.alone.is_none() {
            self.alone = sys::only_one_here();
        }
        if self.alone.is_some() {
            // No other process can own them.
            self.remove_leftover(purpose, point)?;
            // A leftover that times round trips has no reader, even if we do not time any.
            if !self.links.contains_key(&(Purpose::Cost, point.clone())) {
                self.remove_leftover(Purpose::Cost, point)?;
            }
        }
        // A second observer in this namespace derives its handle from its process id.
        let minor = if self.alone.is_some() { 1 } else { (std::process::id() as u16).max(2) };
        let handle = TcHandle::new(purpose.handle(), minor);
        let options = NlOptions { priority: PRIORITY, handle, classid: None };
        attach_classifier(ebpf, purpose.program(point.direction), point, TcAttachOptions::Netlink(options))
    }

    fn remove_leftover(&mut self, purpose: Purpose, point: &HookPoint) -> Result<(), KernelError> {
        let name = purpose.program(point.direction);
        match qdisc_detach_program(&point.device, attach_type(point.direction), name) {
            Ok(()) => {
                log::info!("removed a leftover filter of a killed observer from {}", point.device);
                // The killed process also created the clsact; it is removed if it is empty.
                self.created.insert(point.ifindex);
                self.taken_over.insert((purpose, point.clone()));
                Ok(())
            }
            Err(TcError::IoError(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(cannot("remove an old filter from", point, &error, None)),
        }
    }

    /// Whether a program is still attached.
    pub async fn verify(
        &self,
        ebpf: &mut Ebpf,
        purpose: Purpose,
        point: &HookPoint,
    ) -> Result<bool, KernelError> {
        let Some(link) = self.links.get(&(purpose, point.clone())) else { return Ok(false) };
        match link {
            Link::Xdp(link) | Link::Tcx(link) => {
                Ok(sys::link_ifindex(link.as_fd()).is_ok_and(|index| index == point.ifindex))
            }
            Link::Clsact(_) => {
                let id = program_id(ebpf, purpose.program(point.direction))?;
                let filters = clsact::filters(point.ifindex).await?;
                Ok(filters.iter().any(|f| f.direction == point.direction && f.program == Some(id)))
            }
        }
    }

    /// Detaches a program. One that is already gone is not an error.
    pub fn detach(&mut self, purpose: Purpose, point: &HookPoint) {
        drop(self.links.remove(&(purpose, point.clone())));
    }

    /// Whether a killed process's filter counted at every hook point until ours replaced it.
    #[must_use]
    pub fn took_all_over(&self) -> bool {
        let mut counted = self.links.keys().filter(|(of, _)| *of != Purpose::Cost).peekable();
        counted.peek().is_some() && counted.all(|watched| self.taken_over.contains(watched))
    }

    /// Hook points with a program of that purpose.
    pub fn points(&self, purpose: Purpose) -> impl Iterator<Item = &HookPoint> {
        self.links.keys().filter(move |(of, _)| *of == purpose).map(|(_, point)| point)
    }

    /// Detaches everything and restores the devices.
    pub async fn detach_all(&mut self) {
        self.links.clear();
        for ifindex in std::mem::take(&mut self.created) {
            if let Err(error) = clsact::remove_if_empty(ifindex).await {
                log::debug!("{error}");
            }
        }
    }
}

impl Default for Hooks {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks")
            .field("points", &self.links.keys())
            .field("tcx", &self.tcx)
            .finish_non_exhaustive()
    }
}

const fn attach_type(direction: Direction) -> TcAttachType {
    match direction {
        Direction::Ingress => TcAttachType::Ingress,
        Direction::Egress => TcAttachType::Egress,
    }
}

fn program_id(ebpf: &mut Ebpf, name: &'static str) -> Result<u32, KernelError> {
    let info = classifier(ebpf, name)?.info();
    info.map(|info| info.id()).map_err(|error| {
        KernelError::new("get the id of", format!("program {name}"), chain(&error), "see `dmesg`")
    })
}

fn attach_tcx(ebpf: &mut Ebpf, purpose: Purpose, point: &HookPoint) -> Result<OwnedFd, KernelError> {
    let program = classifier(ebpf, purpose.program(point.direction))?;
    let fd = program.fd().map_err(|error| cannot("attach to", point, &error, None))?.as_fd();
    // First: an earlier program's PASS would hide packets.
    sys::attach_tcx(fd, point.ifindex, point.direction)
        .map_err(|error| cannot("attach to", point, &error, error.raw_os_error()))
}

fn attach_classifier(
    ebpf: &mut Ebpf,
    name: &'static str,
    point: &HookPoint,
    options: TcAttachOptions,
) -> Result<SchedClassifierLink, KernelError> {
    let program = classifier(ebpf, name)?;
    let id = program
        .attach_with_options(&point.device, attach_type(point.direction), options)
        .map_err(|error| cannot("attach to", point, &error, errno_of(&error)))?;
    program.take_link(id).map_err(|error| cannot("attach to", point, &error, None))
}

async fn attach_xdp(ebpf: &mut Ebpf, point: &HookPoint, mtu: u32) -> Result<OwnedFd, KernelError> {
    let name = if mtu > ONE_BUFFER { entry::XDP_FRAGS } else { entry::XDP };
    let program = xdp(ebpf, name)?;
    let fd = program.fd().map_err(|error| cannot("attach XDP to", point, &error, None))?.as_fd();
    let error = match sys::attach_xdp(fd, point.ifindex) {
        Ok(link) => return Ok(link),
        Err(error) => error,
    };
    let object = format!("{} ingress", point.device);
    Err(match error.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => KernelError::new(
            "attach XDP to",
            object,
            format!("the hook belongs to {}", clsact::xdp_owner(point.ifindex).await),
            "leave it in place and use the default `--ingress tc`, which sees the same packets",
        ),
        Some(libc::EOPNOTSUPP) => KernelError::new(
            "attach XDP to",
            object,
            "the driver has no native XDP, and generic XDP would disable GRO",
            "use the default `--ingress tc`",
        ),
        errno => explain("attach XDP to", &object, &error, errno),
    })
}

fn errno_of(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}

fn cannot(
    operation: &'static str,
    point: &HookPoint,
    error: &dyn std::error::Error,
    errno: Option<i32>,
) -> KernelError {
    explain(operation, &format!("{} {}", point.device, point.direction.label()), error, errno)
}
