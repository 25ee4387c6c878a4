//! Hooks: watching a device without taking anything from anybody.
//!
//! TCX, placed first and unpinned, where the kernel has it (6.6): it ends with us. `clsact` elsewhere,
//! with a priority and handle of our own: it outlives us if we are killed, so leftovers are looked for
//! by name first. XDP on request only, native only, by link only.

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
/// Before everybody's: a filter in front of us that returns anything but "next" would blind us.
const PRIORITY: u16 = 1;
/// MTU above which drivers put a frame into several buffers (a page less headroom and tail).
const ONE_BUFFER: u32 = 3_498;

enum Link {
    Tcx(OwnedFd),
    Clsact(SchedClassifierLink),
    Xdp(OwnedFd),
}

/// All hooks that are ours, of every purpose: they share what is on a device.
pub struct Hooks {
    links: BTreeMap<(Purpose, HookPoint), Link>,
    /// Devices whose `clsact` was made by us.
    made: BTreeSet<u32>,
    tcx: bool,
    /// Places where the filter of a killed one was still at work when we came.
    taken_over: BTreeSet<(Purpose, HookPoint)>,
    /// Held as long as leftovers with our name may be taken for those of the dead.
    alone: Option<UnixListener>,
}

impl Hooks {
    /// No hooks yet; decides between TCX and `clsact` by the kernel's version.
    #[must_use]
    pub fn new() -> Self {
        let tcx = sys::version().is_some_and(|version| version >= TCX);
        Self { links: BTreeMap::new(), made: BTreeSet::new(), tcx, taken_over: BTreeSet::new(), alone: None }
    }

    /// Starts to watch a place, by a program of `ebpf`.
    ///
    /// # Errors
    /// What is in the way, and whose it is.
    pub async fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        purpose: Purpose,
        place: &HookPoint,
        ingress: Ingress,
        mtu: u32,
    ) -> Result<Hook, KernelError> {
        let (link, hook) = if ingress == Ingress::Xdp && place.direction == Direction::Ingress {
            (Link::Xdp(attach_xdp(ebpf, place, mtu).await?), Hook::Xdp)
        } else if self.tcx {
            (Link::Tcx(attach_tcx(ebpf, purpose, place)?), Hook::Tcx)
        } else {
            (Link::Clsact(self.attach_clsact(ebpf, purpose, place).await?), Hook::Clsact)
        };
        self.links.insert((purpose, place.clone()), link);
        Ok(hook)
    }

    async fn attach_clsact(
        &mut self,
        ebpf: &mut Ebpf,
        purpose: Purpose,
        place: &HookPoint,
    ) -> Result<SchedClassifierLink, KernelError> {
        if !clsact::present(place.ifindex).await? {
            qdisc_add_clsact(&place.device)
                .map_err(|error| in_the_way("add a clsact to", place, &error, None))?;
            self.made.insert(place.ifindex);
        }
        if self.alone.is_none() {
            self.alone = sys::only_one_here();
        }
        if self.alone.is_some() {
            // Nobody else lives who could own them.
            self.remove_leftover(purpose, place)?;
            // One that timed round trips does it for nobody, whether we do it or not.
            if !self.links.contains_key(&(Purpose::Cost, place.clone())) {
                self.remove_leftover(Purpose::Cost, place)?;
            }
        }
        // A second observer in this namespace takes a handle by its process id.
        let minor = if self.alone.is_some() { 1 } else { (std::process::id() as u16).max(2) };
        let handle = TcHandle::new(purpose.handle(), minor);
        let options = NlOptions { priority: PRIORITY, handle, classid: None };
        attach_classifier(ebpf, purpose.program(place.direction), place, TcAttachOptions::Netlink(options))
    }

    fn remove_leftover(&mut self, purpose: Purpose, place: &HookPoint) -> Result<(), KernelError> {
        let name = purpose.program(place.direction);
        match qdisc_detach_program(&place.device, attach_type(place.direction), name) {
            Ok(()) => {
                log::info!("removed a filter of a killed observer from {}", place.device);
                // The clsact was the dead one's too, unless others have put something on it since.
                self.made.insert(place.ifindex);
                self.taken_over.insert((purpose, place.clone()));
                Ok(())
            }
            Err(TcError::IoError(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(in_the_way("remove an old filter from", place, &error, None)),
        }
    }

    /// Whether a place is still watched.
    ///
    /// # Errors
    /// The kernel could not be asked.
    pub async fn verify(
        &self,
        ebpf: &mut Ebpf,
        purpose: Purpose,
        place: &HookPoint,
    ) -> Result<bool, KernelError> {
        let Some(link) = self.links.get(&(purpose, place.clone())) else { return Ok(false) };
        match link {
            Link::Xdp(link) | Link::Tcx(link) => {
                Ok(sys::link_ifindex(link.as_fd()).is_ok_and(|index| index == place.ifindex))
            }
            Link::Clsact(_) => {
                let id = program_id(ebpf, purpose.program(place.direction))?;
                let filters = clsact::filters(place.ifindex).await?;
                Ok(filters.iter().any(|f| f.direction == place.direction && f.program == Some(id)))
            }
        }
    }

    /// Stops watching a place; what is gone already is no error.
    pub fn detach(&mut self, purpose: Purpose, place: &HookPoint) {
        match self.links.remove(&(purpose, place.clone())) {
            None => {}
            Some(Link::Xdp(link) | Link::Tcx(link)) => drop(link),
            Some(Link::Clsact(link)) => drop(link),
        }
    }

    /// Whether at every place a killed one's filter counted until ours came.
    #[must_use]
    pub fn took_all_over(&self) -> bool {
        let mut counted = self.links.keys().filter(|(of, _)| *of != Purpose::Cost).peekable();
        counted.peek().is_some() && counted.all(|watched| self.taken_over.contains(watched))
    }

    /// Places that are watched for a purpose.
    pub fn points(&self, purpose: Purpose) -> impl Iterator<Item = &HookPoint> {
        self.links.keys().filter(move |(of, _)| *of == purpose).map(|(_, place)| place)
    }

    /// Stops watching everything and leaves the devices as they were found.
    pub async fn detach_all(&mut self) {
        self.links.clear();
        for ifindex in std::mem::take(&mut self.made) {
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
            .field("places", &self.links.keys())
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
        KernelError::new("ask for the id of", format!("program {name}"), chain(&error), "see `dmesg`")
    })
}

fn attach_tcx(ebpf: &mut Ebpf, purpose: Purpose, place: &HookPoint) -> Result<OwnedFd, KernelError> {
    let program = classifier(ebpf, purpose.program(place.direction))?;
    let fd = program.fd().map_err(|error| in_the_way("attach to", place, &error, None))?.as_fd();
    // First: an earlier program's PASS would blind us.
    sys::attach_tcx(fd, place.ifindex, place.direction)
        .map_err(|error| in_the_way("attach to", place, &error, error.raw_os_error()))
}

fn attach_classifier(
    ebpf: &mut Ebpf,
    name: &'static str,
    place: &HookPoint,
    options: TcAttachOptions,
) -> Result<SchedClassifierLink, KernelError> {
    let program = classifier(ebpf, name)?;
    let id = program
        .attach_with_options(&place.device, attach_type(place.direction), options)
        .map_err(|error| in_the_way("attach to", place, &error, errno_of(&error)))?;
    program.take_link(id).map_err(|error| in_the_way("attach to", place, &error, None))
}

async fn attach_xdp(ebpf: &mut Ebpf, place: &HookPoint, mtu: u32) -> Result<OwnedFd, KernelError> {
    let name = if mtu > ONE_BUFFER { entry::XDP_FRAGS } else { entry::XDP };
    let program = xdp(ebpf, name)?;
    let fd = program.fd().map_err(|error| in_the_way("attach XDP to", place, &error, None))?.as_fd();
    let error = match sys::attach_xdp(fd, place.ifindex) {
        Ok(link) => return Ok(link),
        Err(error) => error,
    };
    let object = format!("{} ingress", place.device);
    Err(match error.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => KernelError::new(
            "attach XDP to",
            object,
            format!("the hook belongs to {}", clsact::xdp_owner(place.ifindex).await),
            "leave it in place and use the default `--ingress tc`, which sees the same packets",
        ),
        Some(libc::EOPNOTSUPP) => KernelError::new(
            "attach XDP to",
            object,
            "the driver has no native XDP (generic XDP would switch GRO off)",
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

fn in_the_way(
    operation: &'static str,
    place: &HookPoint,
    error: &dyn std::error::Error,
    errno: Option<i32>,
) -> KernelError {
    explain(operation, &format!("{} {}", place.device, place.direction.label()), error, errno)
}
