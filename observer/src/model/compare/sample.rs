//! The sums of a report that are compared.

use observer_common::counters::{Event, Total};
use observer_common::kind::{Class, Direction};

use super::Extras;
use crate::model::{Figures, Report, State};
use crate::snapshot::Hook;
use crate::topology::{Role, Scope};

/// Sums over one interval or several, of one node or several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Seconds, summed over all nodes.
    pub seconds: f64,
    /// Pod traffic on the underlay without encapsulation.
    pub native: Figures,
    /// Tunnel packets on the underlay.
    pub tunnelled: Figures,
    /// Everything else on the underlay.
    pub other: Figures,
    /// Incoming pod traffic, encapsulated or not.
    pub entering: Figures,
    /// Packets sent through tunnel devices, ahead of encapsulation.
    pub tunnels: Figures,
    /// PTB messages on the underlay.
    pub ptb: u64,
    /// L3 bytes on the underlay by [`Class`].
    pub classes: [u64; Class::ALL.len()],
    /// Pod packets by [`Scope`], without and with encapsulation. Packets without a path have unknown scope.
    pub scopes: [[u64; 2]; Scope::ALL.len()],
    /// Figures that not every node measures.
    pub extras: Extras,
}

impl Sample {
    /// The sums of a report; `None` if a direction of an underlay device was not measured for the whole interval.
    #[must_use]
    pub fn of(report: &Report) -> Option<Self> {
        if report.interval.is_zero() || !report.underlay()?.complete {
            return None;
        }
        let mut sample = Self { seconds: report.interval.as_secs_f64(), ..Self::default() };
        for line in report.lines() {
            let Some(row) = line.row.filter(|_| line.state == State::Measured) else { continue };
            match line.device.device.role {
                Role::Underlay => sample.underlay(row.class, line.direction, &row.figures),
                Role::Tunnel if line.direction == Direction::Egress => sample.tunnels.add(&row.figures),
                Role::Tunnel | Role::Workload | Role::Other => {}
            }
        }
        for row in report.devices.iter().filter(|row| row.device.role == Role::Underlay) {
            for (events, hook) in row.events.iter().zip(row.device.hooks) {
                if hook != Hook::None {
                    sample.ptb += events[Event::PtbV4 as usize] + events[Event::PtbV6 as usize];
                }
            }
        }
        sample.scopes(report);
        sample.extras = Extras::of(report, sample.extras.sent);
        Some(sample)
    }

    fn underlay(&mut self, class: Class, direction: Direction, figures: &Figures) {
        self.classes[class as usize] += figures.get(Total::L3Bytes);
        let sum = match class {
            Class::None => &mut self.native,
            class if class.is_tunnel() => &mut self.tunnelled,
            _ => return self.other.add(figures),
        };
        sum.add(figures);
        match direction {
            Direction::Ingress => self.entering.add(figures),
            Direction::Egress => self.extras.sent[usize::from(class.is_tunnel())] += figures.packets(),
        }
    }

    fn scopes(&mut self, report: &Report) {
        let mut rest = [self.native.packets(), self.tunnelled.packets()];
        for path in &report.paths {
            let tunnelled = usize::from(path.id.class.is_tunnel());
            let packets = path.figures.packets().min(rest[tunnelled]);
            self.scopes[path.scope as usize][tunnelled] += packets;
            rest[tunnelled] -= packets;
        }
        for (sum, rest) in self.scopes[Scope::Unknown as usize].iter_mut().zip(rest) {
            *sum += rest;
        }
    }

    /// Pod traffic on the underlay, encapsulated or not.
    #[must_use]
    pub fn pods(&self) -> Figures {
        let mut sum = self.native;
        sum.add(&self.tunnelled);
        sum
    }

    /// Everything on the underlay.
    #[must_use]
    pub fn all(&self) -> Figures {
        let mut sum = self.pods();
        sum.add(&self.other);
        sum
    }

    /// Adds another sample.
    pub fn add(&mut self, other: &Self) {
        let first = self.seconds == 0.0;
        self.seconds += other.seconds;
        self.each(other, Figures::add, |sum, value| *sum += value);
        self.extras = if first { other.extras.clone() } else { self.extras.with(&other.extras) };
    }

    /// Without a part of it; maxima are unchanged.
    #[must_use]
    pub fn without(&self, part: &Self) -> Self {
        let mut rest = self.clone();
        rest.seconds -= part.seconds;
        rest.each(part, |all, part| *all = all.since(part), |all, part| *all = all.saturating_sub(part));
        rest.extras = self.extras.without(&part.extras);
        rest
    }

    fn each(&mut self, other: &Self, figures: fn(&mut Figures, &Figures), count: fn(&mut u64, u64)) {
        figures(&mut self.native, &other.native);
        figures(&mut self.tunnelled, &other.tunnelled);
        figures(&mut self.other, &other.other);
        figures(&mut self.entering, &other.entering);
        figures(&mut self.tunnels, &other.tunnels);
        count(&mut self.ptb, other.ptb);
        for (sum, value) in self.classes.iter_mut().zip(other.classes) {
            count(sum, value);
        }
        for (sum, value) in self.scopes.iter_mut().flatten().zip(other.scopes.iter().flatten()) {
            count(sum, *value);
        }
    }
}
