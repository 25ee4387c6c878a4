//! Totals and rare events by device and direction.

use std::fmt::Error;

use observer_common::counters::{Event, FIRST_REASON, Total};
use observer_common::kind::Direction;
use prometheus_client::encoding::DescriptorEncoder;

use super::families as f;
use super::write::Writer;
use crate::model::{Figures, Fragments};
use crate::snapshot::{Device, Hook, Snapshot, Totals};

/// Every direction of every device, and its hook.
pub(super) fn places(snapshot: &Snapshot) -> impl Iterator<Item = (&Device, Direction, Hook)> {
    snapshot.devices.iter().flat_map(|device| {
        Direction::ALL.map(move |direction| (device, direction, device.hooks[direction as usize]))
    })
}

fn all(snapshot: &Snapshot) -> impl Iterator<Item = (&Device, &Totals)> {
    snapshot.devices.iter().flat_map(|device| device.totals.iter().map(move |totals| (device, totals)))
}

/// Plain counters.
pub(super) fn totals(to: &mut DescriptorEncoder, snapshot: &Snapshot) -> Result<(), Error> {
    type Value = fn(&Figures) -> u64;
    let families: [(&f::Family, Value); 12] = [
        (&f::PACKETS, Figures::packets),
        (&f::WIRE_BYTES, |figures| figures.get(Total::WireBytes)),
        (&f::L3_BYTES, |figures| figures.get(Total::L3Bytes)),
        (&f::INNER_BYTES, |figures| figures.get(Total::InnerBytes)),
        (&f::OVERHEAD_BYTES, Figures::overhead_bytes),
        (&f::FRAGMENTATION_OVERHEAD, |figures| figures.get(Total::FragmentationOverheadBytes)),
        (&f::OVERSIZED, |figures| figures.get(Total::Oversized)),
        (&f::WOULD_FRAGMENT, |figures| figures.get(Total::WouldFragment)),
        (&f::WOULD_DROP, |figures| figures.get(Total::WouldDrop)),
        (&f::UNKNOWN_PEER, |figures| figures.get(Total::UnknownPeer)),
        (&f::UNKNOWN_VNI, |figures| figures.get(Total::UnknownVni)),
        (&f::NESTED, |figures| figures.get(Total::Nested)),
    ];
    for (family, value) in families {
        let mut writer = Writer::start(to, family)?;
        for (device, totals) in all(snapshot) {
            let labels = [
                ("device", device.name.as_str()),
                ("role", device.role.label()),
                ("direction", totals.direction.label()),
                ("encapsulation", totals.class.label()),
            ];
            writer.counter(&labels, value(&Figures(totals.counters)))?;
        }
    }
    Ok(())
}

/// Fragments; combinations that never occurred are omitted.
pub(super) fn fragments(to: &mut DescriptorEncoder, snapshot: &Snapshot) -> Result<(), Error> {
    let mut writer = Writer::start(to, &f::FRAGMENTS)?;
    for (device, totals) in all(snapshot) {
        let figures = Figures(totals.counters);
        for (layer, found) in [("outer", figures.outer_fragments()), ("inner", figures.inner_fragments())] {
            for (family, position, count) in positions(&found).filter(|(_, _, count)| *count != 0) {
                let labels = [
                    ("device", device.name.as_str()),
                    ("direction", totals.direction.label()),
                    ("encapsulation", totals.class.label()),
                    ("layer", layer),
                    ("family", family),
                    ("position", position),
                ];
                writer.counter(&labels, count)?;
            }
        }
    }
    Ok(())
}

fn positions(found: &Fragments) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
    let named = |family, counts: [u64; 3]| {
        ["first", "middle", "last"].into_iter().zip(counts).map(move |(position, n)| (family, position, n))
    };
    named("ipv4", found.ipv4).chain(named("ipv6", found.ipv6)).chain([("ipv6", "atomic", found.atomic)])
}

/// Packet sizes and the largest packet.
#[expect(clippy::cast_precision_loss, reason = "the format uses floats; bytes above 2^53 lose precision")]
pub(super) fn sizes(to: &mut DescriptorEncoder, snapshot: &Snapshot) -> Result<(), Error> {
    let labels = |device: &'_ Device, totals: &Totals| {
        [
            ("device", device.name.clone()),
            ("direction", totals.direction.label().to_owned()),
            ("encapsulation", totals.class.label().to_owned()),
        ]
    };
    let bounds = snapshot.size_bounds.iter().map(|bound| f64::from(*bound)).chain([f64::INFINITY]);
    let bounds: Vec<f64> = bounds.collect();
    let mut histogram = Writer::start(to, &f::SIZES)?;
    for (device, totals) in all(snapshot) {
        let buckets: Vec<(f64, u64)> = bounds.iter().copied().zip(totals.sizes).collect();
        let sum = totals.counters[Total::L3Bytes as usize] as f64;
        histogram.histogram(&labels(device, totals), sum, &buckets)?;
    }
    let mut largest = Writer::start(to, &f::LARGEST)?;
    for (device, totals) in all(snapshot) {
        largest.gauge(&labels(device, totals), totals.counters[Total::Largest as usize])?;
    }
    Ok(())
}

/// PTB messages and malformed packets.
pub(super) fn events(to: &mut DescriptorEncoder, snapshot: &Snapshot) -> Result<(), Error> {
    let mut messages = Writer::start(to, &f::PTB)?;
    for (device, direction, _) in watched(snapshot) {
        for (family, event) in [("ipv4", Event::PtbV4), ("ipv6", Event::PtbV6)] {
            let labels =
                [("device", device.name.as_str()), ("direction", direction.label()), ("family", family)];
            messages.counter(&labels, device.events[direction as usize][event as usize])?;
        }
    }
    let mut malformed = Writer::start(to, &f::MALFORMED)?;
    for (device, direction, _) in watched(snapshot) {
        for event in &Event::ALL[FIRST_REASON..] {
            let count = device.events[direction as usize][*event as usize];
            let labels = [
                ("device", device.name.as_str()),
                ("direction", direction.label()),
                ("reason", event.label()),
            ];
            if count != 0 {
                malformed.counter(&labels, count)?;
            }
        }
    }
    Ok(())
}

/// Table overflows and unknown peers.
pub(super) fn overflows(to: &mut DescriptorEncoder, snapshot: &Snapshot) -> Result<(), Error> {
    let unknown_peers = |device: &Device, direction: Direction| {
        let of_place = snapshot.unknown_peers.iter().filter(|unknown_peer| {
            *unknown_peer.id.device == *device.name && unknown_peer.id.direction == direction
        });
        of_place.map(|unknown_peer| unknown_peer.packets).sum()
    };
    let event = |device: &Device, direction: Direction, event: Event| {
        device.events[direction as usize][event as usize]
    };
    for (family, which) in [
        (&f::PATH_OVERFLOW, Some(Event::PathOverflow)),
        (&f::UNKNOWN_PEER_SLOTS, None),
        (&f::UNKNOWN_PEER_OVERFLOW, Some(Event::UnknownPeerOverflow)),
    ] {
        let mut writer = Writer::start(to, family)?;
        for (device, direction, _) in watched(snapshot) {
            let labels = [("device", device.name.as_str()), ("direction", direction.label())];
            let value = which
                .map_or_else(|| unknown_peers(device, direction), |which| event(device, direction, which));
            writer.counter(&labels, value)?;
        }
    }
    Ok(())
}

/// Devices and directions that are or were watched: never watched is not zero.
fn watched(snapshot: &Snapshot) -> impl Iterator<Item = (&Device, Direction, Hook)> {
    places(snapshot).filter(|(_, _, hook)| *hook != Hook::None)
}
