//! The cost of encapsulation: facts, which are complete if present, and tables of counters.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use observer_common::cost::BUCKETS;
use observer_common::kind::{Class, Direction};
use serde::{Deserialize, Deserializer, Serialize};

use super::table::{Row, TableForm, apply, difference};
use super::time::{Time, nanoseconds};
use crate::cost::{Cost, Discarded, Drops, HookRttPath, Offload, Softirq, Span, TcpPath};

/// The section of a line. A field that did not change is missing.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct CostForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sample: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    measuring: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probe_nanoseconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    discarded: Option<Discarded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missing: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encapsulation: Option<TableForm<SpanForm>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    softirqs: Option<TableForm<SoftirqForm>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tcp: Option<TableForm<TcpForm>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drops: Option<TableForm<DropsForm>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hook_rtt: Option<TableForm<HookRttForm>>,
}

/// A section that is present is `Some`, even if it is `null`.
pub(super) fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<CostForm>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// The identity of a row of encapsulation.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SpanForm {
    device: String,
    direction: Direction,
    encapsulation: Class,
}

/// A CPU.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SoftirqForm {
    cpu: u32,
}

/// The far end of TCP connections.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TcpForm {
    peer: IpAddr,
    encapsulation: Class,
}

/// Drops on the way to or from a peer, by reason.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DropsForm {
    peer: IpAddr,
    encapsulation: Class,
    direction: Direction,
    reason: String,
}

/// The far end of TCP traffic at the hooks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HookRttForm {
    peer: IpAddr,
    encapsulation: Class,
}

/// The difference between two states: `None` if there is none, `Some(None)` if the cost is no longer measured.
pub(super) fn between(before: Option<&Cost>, after: Option<&Cost>) -> Option<Option<CostForm>> {
    let Some(after) = after else { return before.map(|_| None) };
    // The first section has every fact.
    let first = before.is_none();
    let nothing = Cost::default();
    let before = before.unwrap_or(&nothing);
    let form = CostForm {
        sample: (first || before.sample != after.sample).then_some(after.sample),
        measuring: (first || before.measuring != after.measuring).then_some(Time(after.measuring)),
        probe_nanoseconds: (first || before.probe != after.probe).then(|| nanoseconds(after.probe)),
        discarded: (before.discarded != after.discarded).then_some(after.discarded),
        missing: (before.missing != after.missing).then(|| after.missing.clone()),
        encapsulation: difference(&before.spans, &after.spans),
        softirqs: difference(&before.softirqs, &after.softirqs),
        tcp: difference(&before.tcp, &after.tcp),
        drops: difference(&before.drops, &after.drops),
        hook_rtt: difference(&before.hook_rtt, &after.hook_rtt),
    };
    (before != after || first).then_some(Some(form))
}

impl CostForm {
    /// Applies a difference.
    ///
    /// # Errors
    /// The first section lacks a fact, or a table is invalid.
    pub(super) fn apply(self, state: &mut Option<Cost>) -> Result<(), String> {
        let whole = self.sample.is_some() && self.measuring.is_some() && self.probe_nanoseconds.is_some();
        if state.is_none() && !whole {
            return Err("the first cost lacks `sample`, `measuring` or `probe_nanoseconds`".to_owned());
        }
        let cost = state.get_or_insert_default();
        if let Some(sample) = self.sample {
            cost.sample = sample;
        }
        if let Some(measuring) = self.measuring {
            cost.measuring = measuring.0;
        }
        if let Some(probe) = self.probe_nanoseconds {
            cost.probe = Duration::from_nanos(probe);
        }
        if let Some(discarded) = self.discarded {
            cost.discarded = discarded;
        }
        if let Some(missing) = self.missing {
            cost.missing = missing;
        }
        let within = |name: &'static str| move |cause: String| format!("cost: {name}: {cause}");
        self.encapsulation
            .map_or(Ok(()), |form| apply(&mut cost.spans, form))
            .map_err(within("encapsulation"))?;
        self.softirqs.map_or(Ok(()), |form| apply(&mut cost.softirqs, form)).map_err(within("softirqs"))?;
        self.tcp.map_or(Ok(()), |form| apply(&mut cost.tcp, form)).map_err(within("tcp"))?;
        self.drops.map_or(Ok(()), |form| apply(&mut cost.drops, form)).map_err(within("drops"))?;
        self.hook_rtt.map_or(Ok(()), |form| apply(&mut cost.hook_rtt, form)).map_err(within("hook_rtt"))
    }
}

/// The name of a counter: first those of the row, then the buckets of its histogram.
fn column(names: &[&'static str], index: usize) -> Cow<'static, str> {
    names.get(index).map_or_else(|| format!("buckets_{}", index - names.len()).into(), |name| (*name).into())
}

/// A bucket of a histogram; 0 beyond its end.
fn bucket(buckets: &[u64], index: usize) -> u64 {
    buckets.get(index).copied().unwrap_or(0)
}

const SPAN: [&str; 9] = [
    "skbs",
    "packets",
    "time_nanoseconds",
    "own_nanoseconds",
    "gso_skbs_whole",
    "gso_skbs_cut",
    "gso_segments_cut",
    "checksums_left",
    "checksums_computed",
];

impl Row for Span {
    type Form = SpanForm;
    const COLUMNS: usize = SPAN.len() + BUCKETS;

    fn column(index: usize) -> Cow<'static, str> {
        column(&SPAN, index)
    }

    fn same(&self, other: &Self) -> bool {
        self.device == other.device && self.direction == other.direction && self.class == other.class
    }

    fn form(&self) -> SpanForm {
        SpanForm { device: self.device.clone(), direction: self.direction, encapsulation: self.class }
    }

    fn new(form: SpanForm) -> Self {
        Self {
            device: form.device,
            direction: form.direction,
            class: form.encapsulation,
            skbs: 0,
            packets: 0,
            time: Duration::ZERO,
            own: Duration::ZERO,
            offload: Offload::default(),
            buckets: vec![0; BUCKETS],
        }
    }

    fn get(&self, column: usize) -> u64 {
        match column {
            0 => self.skbs,
            1 => self.packets,
            2 => nanoseconds(self.time),
            3 => nanoseconds(self.own),
            4 => self.offload.whole,
            5 => self.offload.cut,
            6 => self.offload.segments,
            7 => self.offload.left,
            8 => self.offload.summed,
            _ => bucket(&self.buckets, column - SPAN.len()),
        }
    }

    fn set(&mut self, column: usize, value: u64) {
        match column {
            0 => self.skbs = value,
            1 => self.packets = value,
            2 => self.time = Duration::from_nanos(value),
            3 => self.own = Duration::from_nanos(value),
            4 => self.offload.whole = value,
            5 => self.offload.cut = value,
            6 => self.offload.segments = value,
            7 => self.offload.left = value,
            8 => self.offload.summed = value,
            _ => self.buckets[column - SPAN.len()] = value,
        }
    }
}

const SOFTIRQ: [&str; 2] = ["net_tx_nanoseconds", "net_rx_nanoseconds"];

impl Row for Softirq {
    type Form = SoftirqForm;
    const COLUMNS: usize = SOFTIRQ.len();

    fn column(index: usize) -> Cow<'static, str> {
        SOFTIRQ[index].into()
    }

    fn same(&self, other: &Self) -> bool {
        self.cpu == other.cpu
    }

    fn form(&self) -> SoftirqForm {
        SoftirqForm { cpu: self.cpu }
    }

    fn new(form: SoftirqForm) -> Self {
        Self { cpu: form.cpu, transmit: Duration::ZERO, receive: Duration::ZERO }
    }

    fn get(&self, column: usize) -> u64 {
        nanoseconds(if column == 0 { self.transmit } else { self.receive })
    }

    fn set(&mut self, column: usize, value: u64) {
        *(if column == 0 { &mut self.transmit } else { &mut self.receive }) = Duration::from_nanos(value);
    }
}

const TCP: [&str; 3] = ["samples", "sum_nanoseconds", "retransmitted_segments"];

impl Row for TcpPath {
    type Form = TcpForm;
    const COLUMNS: usize = TCP.len() + BUCKETS;

    fn column(index: usize) -> Cow<'static, str> {
        column(&TCP, index)
    }

    fn same(&self, other: &Self) -> bool {
        self.peer == other.peer && self.class == other.class
    }

    fn form(&self) -> TcpForm {
        TcpForm { peer: self.peer, encapsulation: self.class }
    }

    fn new(form: TcpForm) -> Self {
        Self {
            peer: form.peer,
            class: form.encapsulation,
            samples: 0,
            sum: Duration::ZERO,
            retransmits: 0,
            buckets: vec![0; BUCKETS],
        }
    }

    fn get(&self, column: usize) -> u64 {
        match column {
            0 => self.samples,
            1 => nanoseconds(self.sum),
            2 => self.retransmits,
            _ => bucket(&self.buckets, column - TCP.len()),
        }
    }

    fn set(&mut self, column: usize, value: u64) {
        match column {
            0 => self.samples = value,
            1 => self.sum = Duration::from_nanos(value),
            2 => self.retransmits = value,
            _ => self.buckets[column - TCP.len()] = value,
        }
    }
}

impl Row for Drops {
    type Form = DropsForm;
    const COLUMNS: usize = 1;

    fn column(_: usize) -> Cow<'static, str> {
        "packets".into()
    }

    fn same(&self, other: &Self) -> bool {
        self.peer == other.peer
            && self.class == other.class
            && self.direction == other.direction
            && self.reason == other.reason
    }

    fn form(&self) -> DropsForm {
        DropsForm {
            peer: self.peer,
            encapsulation: self.class,
            direction: self.direction,
            reason: self.reason.clone(),
        }
    }

    fn new(form: DropsForm) -> Self {
        Self {
            peer: form.peer,
            class: form.encapsulation,
            direction: form.direction,
            reason: form.reason,
            packets: 0,
        }
    }

    fn get(&self, _: usize) -> u64 {
        self.packets
    }

    fn set(&mut self, _: usize, value: u64) {
        self.packets = value;
    }
}

const HOOK_RTT: [&str; 2] = ["samples", "sum_nanoseconds"];

impl Row for HookRttPath {
    type Form = HookRttForm;
    const COLUMNS: usize = HOOK_RTT.len() + BUCKETS;

    fn column(index: usize) -> Cow<'static, str> {
        column(&HOOK_RTT, index)
    }

    fn same(&self, other: &Self) -> bool {
        self.peer == other.peer && self.class == other.class
    }

    fn form(&self) -> HookRttForm {
        HookRttForm { peer: self.peer, encapsulation: self.class }
    }

    fn new(form: HookRttForm) -> Self {
        Self {
            peer: form.peer,
            class: form.encapsulation,
            samples: 0,
            sum: Duration::ZERO,
            buckets: vec![0; BUCKETS],
        }
    }

    fn get(&self, column: usize) -> u64 {
        match column {
            0 => self.samples,
            1 => nanoseconds(self.sum),
            _ => bucket(&self.buckets, column - HOOK_RTT.len()),
        }
    }

    fn set(&mut self, column: usize, value: u64) {
        match column {
            0 => self.samples = value,
            1 => self.sum = Duration::from_nanos(value),
            _ => self.buckets[column - HOOK_RTT.len()] = value,
        }
    }
}
