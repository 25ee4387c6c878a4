//! A running exporter's maps as a source: nothing is loaded or attached.

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

/// How often to try to read the maps.
const TRIES: u32 = 10;
/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// The maps of an exporter.
pub struct Pinned {
    directory: PathBuf,
    tables: Tables,
    /// The id of the state that `registry` is from.
    id: u32,
    since: Duration,
    registry: Registry,
    state: State,
    /// Only these devices; all if empty.
    devices: Vec<String>,
}

impl std::fmt::Debug for Pinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pinned").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// The exporter that is running with this directory in this network namespace, if any.
///
/// # Errors
/// Its maps cannot be read: another version, or no permission.
pub fn find(directory: &Path) -> Result<Option<Pinned>, KernelError> {
    let mut tries = 1;
    loop {
        match try_find(directory) {
            // An exporter that is starting recreates some of its maps.
            Err(_) if tries < TRIES => std::thread::sleep(PAUSE),
            found => return found,
        }
        tries += 1;
    }
}

fn try_find(directory: &Path) -> Result<Option<Pinned>, KernelError> {
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
    /// Whether the exporter watches everything these options select. If so, snapshots are limited to the devices
    /// they name.
    pub fn serves(&mut self, options: &Options) -> bool {
        let watching = &self.state.watching;
        let choice = &options.choice;
        let serves = choice.devices.iter().all(|name| self.state.devices().any(|device| device == name))
            && (!choice.workloads || watching.workloads)
            && (options.ingress == Ingress::Tc || watching.xdp)
            && choice.extra_peers.iter().all(|peer| watching.extra_peers.contains(peer))
            && choice.pod_cidrs.iter().all(|prefix| watching.pod_cidrs.contains(prefix));
        if serves {
            self.devices.clone_from(&choice.devices);
        }
        serves
    }

    /// Where the maps are and which process owns them.
    #[must_use]
    pub fn describe(&self) -> String {
        let who = pins::owner(&self.directory).map_or_else(String::new, |pid| format!(", process {pid}"));
        format!("read from the exporter's maps in {}{who}", self.directory.display())
    }

    /// All counters now.
    pub fn read(&mut self) -> Result<Snapshot, KernelError> {
        self.follow()?;
        let mut snapshot = self.registry.snapshot(&self.tables, [])?;
        // Not a note: notes describe what is incomplete.
        snapshot.origin = format!("{}, {}", snapshot.origin, self.describe());
        if !pins::is_owned(&self.directory) {
            snapshot
                .notes
                .push("the exporter has stopped: packets are not counted until it is restarted".to_owned());
            for hook in snapshot.devices.iter_mut().flat_map(|device| &mut device.hooks) {
                if !matches!(hook, Hook::None | Hook::Gone) {
                    *hook = Hook::Lost;
                }
            }
        }
        if !self.devices.is_empty() {
            snapshot.devices.retain(|device| self.devices.contains(&device.name));
            let selected = |device: &str| self.devices.iter().any(|selected| selected == device);
            snapshot.paths.retain(|path| selected(&path.id.device));
            snapshot.unknown_peers.retain(|peer| selected(&peer.id.device));
        }
        Ok(snapshot)
    }

    /// Adopts a new state.
    fn follow(&mut self) -> Result<(), KernelError> {
        let Some((id, state)) = pins::read_state(&self.directory)? else { return Ok(()) };
        if id == self.id {
            return Ok(());
        }
        if state.since != self.since {
            // The owner has reset the totals: its maps are others.
            self.tables = Tables::open(&self.directory)?;
            self.since = state.since;
        }
        self.registry = state.registry(self.tables.blocks()?);
        self.id = id;
        self.state = state;
        Ok(())
    }
}
