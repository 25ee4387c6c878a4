//! The rows of the tables: totals, paths, unknown peers, programs.

use std::borrow::Cow;
use std::time::Duration;

use observer_common::abi::SIZE_CLASSES;
use observer_common::counters::{PATH_COUNTERS, PathCounter, TOTALS, Total};

use super::form::{IdForm, PathForm, ProgramForm, TotalsForm};
use super::table::Row;
use super::time::nanoseconds;
use crate::snapshot::{Path, PathId, Program, Totals, UnknownPeer, Vni};

/// Totals with the device that they belong to.
pub(super) struct DeviceTotals {
    pub(super) device: String,
    pub(super) totals: Totals,
}

impl Row for DeviceTotals {
    type Form = TotalsForm;
    const COLUMNS: usize = TOTALS + SIZE_CLASSES;

    fn column(index: usize) -> Cow<'static, str> {
        match Total::ALL.get(index) {
            Some(counter) => counter.label().into(),
            None => format!("sizes_{}", index - TOTALS).into(),
        }
    }

    fn same(&self, other: &Self) -> bool {
        self.device == other.device
            && self.totals.direction == other.totals.direction
            && self.totals.class == other.totals.class
    }

    fn form(&self) -> TotalsForm {
        TotalsForm {
            device: self.device.clone(),
            direction: self.totals.direction,
            encapsulation: self.totals.class,
        }
    }

    fn new(form: TotalsForm) -> Self {
        Self {
            device: form.device,
            totals: Totals {
                direction: form.direction,
                class: form.encapsulation,
                counters: [0; TOTALS],
                sizes: [0; SIZE_CLASSES],
            },
        }
    }

    fn get(&self, column: usize) -> u64 {
        let counter = self.totals.counters.get(column);
        counter.copied().unwrap_or_else(|| self.totals.sizes[column - TOTALS])
    }

    fn set(&mut self, column: usize, value: u64) {
        match self.totals.counters.get_mut(column) {
            Some(counter) => *counter = value,
            None => self.totals.sizes[column - TOTALS] = value,
        }
    }
}

impl From<&PathId> for IdForm {
    fn from(id: &PathId) -> Self {
        Self {
            device: id.device.to_string(),
            direction: id.direction,
            encapsulation: id.class,
            vni: if let Vni::Own(number) = id.vni { Some(number) } else { None },
            unknown_vni: id.vni == Vni::Unknown,
            peer: id.peer,
        }
    }
}

impl From<IdForm> for PathId {
    fn from(form: IdForm) -> Self {
        Self {
            device: form.device.into(),
            direction: form.direction,
            class: form.encapsulation,
            vni: match form.vni {
                Some(number) => Vni::Own(number),
                None if form.unknown_vni => Vni::Unknown,
                None => Vni::None,
            },
            peer: form.peer,
            local: None,
        }
    }
}

impl Row for Path {
    type Form = PathForm;
    const COLUMNS: usize = PATH_COUNTERS;

    fn column(index: usize) -> Cow<'static, str> {
        PathCounter::ALL[index].label().into()
    }

    fn same(&self, other: &Self) -> bool {
        self.id == other.id && self.scope == other.scope
    }

    fn form(&self) -> PathForm {
        PathForm { id: (&self.id).into(), scope: self.scope }
    }

    fn new(form: PathForm) -> Self {
        Self { id: form.id.into(), scope: form.scope, counters: [0; PATH_COUNTERS] }
    }

    fn get(&self, column: usize) -> u64 {
        self.counters[column]
    }

    fn set(&mut self, column: usize, value: u64) {
        self.counters[column] = value;
    }
}

impl Row for UnknownPeer {
    type Form = IdForm;
    const COLUMNS: usize = 2;

    fn column(index: usize) -> Cow<'static, str> {
        [PathCounter::Packets, PathCounter::WireBytes][index].label().into()
    }

    fn same(&self, other: &Self) -> bool {
        self.id == other.id
    }

    fn form(&self) -> IdForm {
        (&self.id).into()
    }

    fn new(form: IdForm) -> Self {
        Self { id: form.into(), packets: 0, wire_bytes: 0 }
    }

    fn get(&self, column: usize) -> u64 {
        if column == 0 { self.packets } else { self.wire_bytes }
    }

    fn set(&mut self, column: usize, value: u64) {
        *(if column == 0 { &mut self.packets } else { &mut self.wire_bytes }) = value;
    }
}

impl Row for Program {
    type Form = ProgramForm;
    const COLUMNS: usize = 2;

    fn column(index: usize) -> Cow<'static, str> {
        ["runs", "run_time_nanoseconds"][index].into()
    }

    fn same(&self, other: &Self) -> bool {
        self.name == other.name
    }

    fn form(&self) -> ProgramForm {
        ProgramForm { name: self.name.to_string() }
    }

    fn new(form: ProgramForm) -> Self {
        Self { name: form.name, runs: 0, run_time: Duration::ZERO }
    }

    fn get(&self, column: usize) -> u64 {
        if column == 0 { self.runs } else { nanoseconds(self.run_time) }
    }

    fn set(&mut self, column: usize, value: u64) {
        if column == 0 {
            self.runs = value;
        } else {
            self.run_time = Duration::from_nanos(value);
        }
    }
}
