//! A running exporter's maps as a source: nothing is loaded, nothing is attached.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::KernelError;
use super::options::{Ingress, Options};
use super::pins;
use super::registry::Registry;
use super::state::State;
use super::sys;
use super::tables::Tables;
use crate::snapshot::{Hook, Snapshot};

pub use super::pins::possible;

/// How often a directory is looked into that cannot be read.
const TRIES: u32 = 10;
/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// The maps of an exporter.
pub struct Pinned {
    directory: PathBuf,
    tables: Tables,
    /// Which state the books are of.
    id: u32,
    since: Duration,
    registry: Registry,
    state: State,
    /// Only these devices; all where it is empty.
    devices: Vec<String>,
}

impl std::fmt::Debug for Pinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pinned").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// The exporter that is at work in this directory and network namespace, if there is one.
///
/// # Errors
/// There is one, but its maps cannot be read: of another version, or not ours to read.
pub fn find(directory: &Path) -> Result<Option<Pinned>, KernelError> {
    let mut tries = 1;
    loop {
        match look(directory) {
            // One that is just starting makes some of its maps anew.
            Err(_) if tries < TRIES => std::thread::sleep(PAUSE),
            found => return found,
        }
        tries += 1;
    }
}

fn look(directory: &Path) -> Result<Option<Pinned>, KernelError> {
    if !pins::is_owned(directory) {
        return Ok(None);
    }
    let Some((id, state)) = pins::read_state(directory)? else { return Ok(None) };
    if state.netns != sys::netns().unwrap_or(0) {
        return Ok(None);
    }
    let tables = Tables::open(directory)?;
    let registry = state.registry(tables.blocks()?);
    let since = state.since;
    Ok(Some(Pinned {
        directory: directory.to_owned(),
        tables,
        id,
        since,
        registry,
        state,
        devices: Vec::new(),
    }))
}

impl Pinned {
    /// Whether the exporter watches what these options ask for; if so, snapshots hold the devices that
    /// they name and no others.
    pub fn serves(&mut self, options: &Options) -> bool {
        let has = &self.state.watching;
        let choice = &options.choice;
        let serves = choice.devices.iter().all(|name| self.state.devices().any(|device| device == name))
            && (!choice.workloads || has.workloads)
            && (options.ingress == Ingress::Tc || has.xdp)
            && choice.extra_peers.iter().all(|peer| has.extra_peers.contains(peer))
            && choice.pod_cidrs.iter().all(|prefix| has.pod_cidrs.contains(prefix));
        if serves {
            self.devices.clone_from(&choice.devices);
        }
        serves
    }

    /// Whose maps they are.
    #[must_use]
    pub fn describe(&self) -> String {
        let who = pins::owner(&self.directory).map_or_else(String::new, |pid| format!(", process {pid}"));
        format!("read from the exporter's maps in {}{who}", self.directory.display())
    }

    /// The state of all counters now.
    ///
    /// # Errors
    /// The maps are gone, or cannot be read.
    pub fn read(&mut self) -> Result<Snapshot, KernelError> {
        self.follow()?;
        let mut snapshot = self.registry.snapshot(&self.tables, [])?;
        // Not among the notes: they say what is incomplete, and nothing is.
        snapshot.origin = format!("{}, {}", snapshot.origin, self.describe());
        if !pins::is_owned(&self.directory) {
            snapshot.notes.push("the exporter has ended: nobody counts until it is started again".to_owned());
            for hook in snapshot.devices.iter_mut().flat_map(|device| &mut device.hooks) {
                if !matches!(hook, Hook::None | Hook::Gone) {
                    *hook = Hook::Lost;
                }
            }
        }
        if !self.devices.is_empty() {
            snapshot.devices.retain(|device| self.devices.contains(&device.name));
            let wanted = |device: &str| self.devices.iter().any(|wanted| wanted == device);
            snapshot.paths.retain(|path| wanted(&path.id.device));
            snapshot.unknown_peers.retain(|unknown_peer| wanted(&unknown_peer.id.device));
        }
        Ok(snapshot)
    }

    /// Takes over what has changed in the books.
    fn follow(&mut self) -> Result<(), KernelError> {
        let Some((id, state)) = pins::read_state(&self.directory)? else { return Ok(()) };
        if id == self.id {
            return Ok(());
        }
        if state.since != self.since {
            // Totals began anew, in other maps.
            self.tables = Tables::open(&self.directory)?;
            self.since = state.since;
        }
        self.registry = state.registry(self.tables.blocks()?);
        self.id = id;
        self.state = state;
        Ok(())
    }
}
