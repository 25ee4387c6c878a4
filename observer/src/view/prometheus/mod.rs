//! The metrics of `observer export`, written from one snapshot per scrape.

mod classic;
mod cost;
mod families;
mod paths;
mod rows;
#[cfg(test)]
mod tests;
mod write;

use std::fmt::Error;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

pub use families::{FAMILIES, Family, Kind};
pub use paths::{Named, PATHS_PER_PEER, Selection};

use crate::model::Mode;
use crate::snapshot::{Hook, Snapshot};
use families as f;
use write::Writer;

/// Data of the exporter in addition to the snapshot.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// CPU time of this process, if known.
    pub cpu: Option<Duration>,
    /// Resident memory in bytes, if known.
    pub resident: Option<u64>,
    /// Duration of reading the maps.
    pub reading: Duration,
    /// Time without an exporter since counting began.
    pub unwatched: Duration,
    /// Version of the map layout.
    pub layout: u32,
    /// Maximum number of peers with their own series.
    pub peers: usize,
}

/// One scrape.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// All counters.
    pub snapshot: Snapshot,
    /// Its paths as exported.
    pub paths: Vec<Named>,
    /// Data of the exporter.
    pub own: Own,
}

/// Text formats of Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The older format, version 0.0.4; the default.
    Classic,
}

impl Form {
    /// The format for an `Accept` header.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Classic }
    }

    /// The content type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The text of a scrape.
///
/// # Errors
/// None in practice: writing to a string does not fail.
pub fn text(scrape: Scrape, form: Form) -> Result<String, Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(match form {
        Form::OpenMetrics => text,
        Form::Classic => classic::from_open_metrics(&text),
    })
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let to = &mut encoder;
        rows::totals(to, &self.snapshot)?;
        rows::fragments(to, &self.snapshot)?;
        rows::sizes(to, &self.snapshot)?;
        rows::events(to, &self.snapshot)?;
        paths::encode(to, &self.paths)?;
        rows::overflows(to, &self.snapshot)?;
        devices(to, &self.snapshot)?;
        hooks(to, &self.snapshot)?;
        Writer::start(to, &f::UNWATCHED)?.only_counter(self.own.unwatched.as_secs_f64())?;
        routing(to, &self.snapshot)?;
        cost::encode(to, &self.snapshot, self.own.peers)?;
        tables(to, &self.snapshot, &self.paths)?;
        own(to, self)
    }
}

fn devices(to: &mut DescriptorEncoder, snapshot: &Snapshot) -> Result<(), Error> {
    let mut mtu = Writer::start(to, &f::DEVICE_MTU)?;
    for device in snapshot.devices.iter().filter(|device| device.mtu != 0) {
        let labels =
            [("device", device.name.as_str()), ("role", device.role.label()), ("kind", device.kind.as_str())];
        mtu.gauge(&labels, u64::from(device.mtu))?;
    }
    let tunnels = || snapshot.devices.iter().filter_map(|device| Some((device, device.tunnel?)));
    let mut overhead = Writer::start(to, &f::TUNNEL_OVERHEAD)?;
    for (device, tunnel) in tunnels() {
        let labels = [("device", device.name.as_str()), ("encapsulation", tunnel.class.label())];
        overhead.gauge(&labels, u64::from(tunnel.overhead))?;
    }
    let mut underlay = Writer::start(to, &f::TUNNEL_UNDERLAY_MTU)?;
    for (device, tunnel) in tunnels() {
        let labels = [("device", device.name.as_str()), ("encapsulation", tunnel.class.label())];
        if let Some(mtu) = tunnel.underlay_mtu {
            underlay.gauge(&labels, u64::from(mtu))?;
        }
    }
    Ok(())
}

fn hooks(to: &mut DescriptorEncoder, snapshot: &Snapshot) -> Result<(), Error> {
    let mut attached = Writer::start(to, &f::HOOK_ATTACHED)?;
    for (device, direction, hook) in
        rows::places(snapshot).filter(|(_, _, hook)| !matches!(hook, Hook::None | Hook::Gone))
    {
        let labels =
            [("device", device.name.as_str()), ("direction", direction.label()), ("hook", hook.label())];
        attached.gauge(&labels, u64::from(hook != Hook::Lost))?;
    }
    let mut losses = Writer::start(to, &f::HOOK_LOSSES)?;
    for (device, direction, _) in rows::places(snapshot) {
        let labels = [("device", device.name.as_str()), ("direction", direction.label())];
        losses.counter(&labels, device.losses[direction as usize])?;
    }
    Ok(())
}

const fn family(ipv6: bool) -> &'static str {
    if ipv6 { "ipv6" } else { "ipv4" }
}

fn routing(to: &mut DescriptorEncoder, snapshot: &Snapshot) -> Result<(), Error> {
    for (which, blocks) in [(&f::ROUTED_BLOCKS, true), (&f::ROUTED_PEERS, false)] {
        let mut writer = Writer::start(to, which)?;
        for way in &snapshot.routing {
            let labels = [
                ("family", family(way.ipv6)),
                ("encapsulation", way.class.label()),
                ("scope", way.scope.label()),
            ];
            writer.gauge(&labels, if blocks { way.blocks } else { way.peers })?;
        }
    }
    let mut mode = Writer::start(to, &f::MODE)?;
    for ipv6 in [false, true] {
        if let Some(found) = Mode::of(&snapshot.routing, ipv6) {
            mode.info(&[("family", family(ipv6)), ("mode", found.label().as_str())])?;
        }
    }
    Ok(())
}

fn tables(to: &mut DescriptorEncoder, snapshot: &Snapshot, paths: &[Named]) -> Result<(), Error> {
    let fill = &snapshot.fill;
    let tables = [
        ("paths", fill.paths, fill.paths_capacity),
        ("peers", fill.peers, fill.peers_capacity),
        ("blocks", fill.blocks, fill.blocks_capacity),
    ];
    let mut entries = Writer::start(to, &f::TABLE_ENTRIES)?;
    for (table, used, _) in tables {
        entries.gauge(&[("table", table)], used)?;
    }
    let mut capacity = Writer::start(to, &f::TABLE_CAPACITY)?;
    for (table, _, fits) in tables {
        capacity.gauge(&[("table", table)], fits)?;
    }
    let named = paths.iter().filter(|path| path.peer.is_some()).count() as u64;
    Writer::start(to, &f::PATHS_NAMED)?.only_gauge(named)
}

fn own(to: &mut DescriptorEncoder, scrape: &Scrape) -> Result<(), Error> {
    let (snapshot, own) = (&scrape.snapshot, &scrape.own);
    let mut runs = Writer::start(to, &f::PROGRAM_RUNS)?;
    for program in &snapshot.programs {
        runs.counter(&[("program", program.name.as_str())], program.runs)?;
    }
    let mut seconds = Writer::start(to, &f::PROGRAM_SECONDS)?;
    for program in &snapshot.programs {
        seconds.counter(&[("program", program.name.as_str())], program.run_time.as_secs_f64())?;
    }
    let mut cpu = Writer::start(to, &f::CPU_SECONDS)?;
    if let Some(time) = own.cpu {
        cpu.only_counter(time.as_secs_f64())?;
    }
    let mut resident = Writer::start(to, &f::RESIDENT)?;
    if let Some(bytes) = own.resident {
        resident.only_gauge(bytes)?;
    }
    Writer::start(to, &f::SCRAPE_SECONDS)?.only_gauge(own.reading.as_secs_f64())?;
    let layout = own.layout.to_string();
    let kernel = snapshot.origin.trim_start_matches("Linux ");
    Writer::start(to, &f::BUILD)?.info(&[
        ("version", env!("CARGO_PKG_VERSION")),
        ("kernel", kernel),
        ("layout", layout.as_str()),
    ])?;
    let start = snapshot.taken.saturating_sub(snapshot.counting);
    Writer::start(to, &f::START)?.only_gauge(start.as_secs_f64())
}
