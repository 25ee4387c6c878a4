//! Rows as views show them: every watched direction of every device has a line, also where nothing was
//! counted or nothing could be counted, because unknown is not zero.

use std::collections::BTreeMap;
use std::net::IpAddr;

use observer_common::counters::{PathCounter, Total};
use observer_common::kind::Direction;

use super::{DeviceRow, Figures, PathRow, Report, Row};
use crate::snapshot::Hook;
use crate::topology::Role;

/// Whether the figures of a line say what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// They do.
    #[default]
    Measured,
    /// The hook is lost, or was lost when the interval began: what was counted is a lower bound, the
    /// rest is unknown.
    Lost,
    /// There is no hook.
    NotWatched,
}

impl State {
    /// The word that every view uses.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Lost => "lost",
            Self::NotWatched => "not_watched",
        }
    }

    const fn of(device: &DeviceRow, direction: Direction) -> Self {
        match device.device.hooks[direction as usize] {
            Hook::None | Hook::Gone => Self::NotWatched,
            Hook::Lost => Self::Lost,
            _ if device.gaps[direction as usize] => Self::Lost,
            Hook::Tcx | Hook::Clsact | Hook::Xdp | Hook::File | Hook::Undirected => Self::Measured,
        }
    }
}

/// One line of the table by device, direction and class.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The device.
    pub device: &'a DeviceRow,
    /// Direction.
    pub direction: Direction,
    /// Whether it was measured.
    pub state: State,
    /// The row; `None` where nothing was counted.
    pub row: Option<&'a Row>,
}

impl Line<'_> {
    /// The figures; `None` where there are none to show, as opposed to zeros.
    #[must_use]
    pub fn figures(&self) -> Option<Figures> {
        match (self.row, self.state) {
            (Some(row), _) => Some(row.figures),
            (None, State::Measured) => Some(Figures::default()),
            (None, State::Lost | State::NotWatched) => None,
        }
    }

    /// The direction, if it is known.
    #[must_use]
    pub fn known_direction(&self) -> Option<Direction> {
        self.device.device.known_direction(self.direction)
    }

    /// A counter; `None` if it was not measured.
    #[must_use]
    pub fn count(&self, counter: Total) -> Option<u64> {
        let device = &self.device.device;
        let measured = match counter {
            Total::Oversized => device.mtu != 0,
            // A capture has neither a node's tables nor the sizes of segments.
            Total::Aggregates
            | Total::WouldFragment
            | Total::WouldDrop
            | Total::UnknownPeer
            | Total::UnknownVni => !device.is_captured(),
            _ => true,
        };
        self.figures().filter(|_| measured).map(|figures| figures.get(counter))
    }
}

/// One line of the table of paths.
#[derive(Clone, Copy, Debug)]
pub struct PathLine<'a> {
    /// The path.
    pub path: &'a PathRow,
    /// Whether its device and direction was measured.
    pub state: State,
    /// Its device, unless that is gone.
    pub device: Option<&'a DeviceRow>,
}

impl PathLine<'_> {
    /// The direction, if it is known.
    #[must_use]
    pub fn known_direction(&self) -> Option<Direction> {
        let direction = self.path.id.direction;
        self.device.map_or(Some(direction), |row| row.device.known_direction(direction))
    }

    /// The peer node, if it is known which end that is.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        self.known_direction().map(|_| self.path.id.peer)
    }

    /// The outer source and destination, if they are known.
    #[must_use]
    pub fn ends(&self) -> Option<(IpAddr, IpAddr)> {
        let (local, peer) = (self.path.id.local?, self.path.id.peer);
        Some(if self.known_direction() == Some(Direction::Ingress) { (peer, local) } else { (local, peer) })
    }

    /// A counter; `None` if it was not measured.
    #[must_use]
    pub fn count(&self, counter: PathCounter) -> Option<u64> {
        let measured = self.device.is_none_or(|row| match counter {
            PathCounter::Oversized => row.device.mtu != 0,
            PathCounter::Aggregates | PathCounter::WouldFragment | PathCounter::WouldDrop => {
                !row.device.is_captured()
            }
            _ => true,
        });
        measured.then(|| self.path.figures.get(counter))
    }
}

/// What crossed the node's underlay devices, both directions and all classes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Underlay {
    /// The sum.
    pub figures: Figures,
    /// Every direction of every underlay device was measured.
    pub complete: bool,
}

/// Packets that do not fit the way that they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig {
    /// How many.
    pub packets: u64,
    /// Every direction of every underlay and tunnel device was measured.
    pub complete: bool,
}

impl Report {
    /// The lines by device, direction and class. Idle and unwatched directions have a line of their own
    /// at underlay and tunnel devices; at others only where a hook was lost.
    #[must_use]
    pub fn lines(&self) -> Vec<Line<'_>> {
        let mut rows: BTreeMap<(&str, Direction), Vec<&Row>> = BTreeMap::new();
        for row in &self.rows {
            rows.entry((&row.device, row.direction)).or_default().push(row);
        }
        let mut lines = Vec::with_capacity(self.rows.len());
        for device in &self.devices {
            for direction in Direction::ALL {
                // Without directions, everything is counted under ingress.
                if direction == Direction::Egress && device.device.known_direction(direction).is_none() {
                    continue;
                }
                let state = State::of(device, direction);
                let of = |row| Line { device, direction, state, row };
                match rows.get(&(device.device.name.as_str(), direction)) {
                    Some(rows) => lines.extend(rows.iter().map(|row| of(Some(*row)))),
                    None if state == State::Lost => lines.push(of(None)),
                    None if matches!(device.device.role, Role::Underlay | Role::Tunnel) => {
                        lines.push(of(None));
                    }
                    None => {}
                }
            }
        }
        lines
    }

    /// The lines of the paths, in their order.
    #[must_use]
    pub fn path_lines(&self) -> Vec<PathLine<'_>> {
        let devices: BTreeMap<&str, &DeviceRow> =
            self.devices.iter().map(|row| (row.device.name.as_str(), row)).collect();
        // Thousands of paths of one device stand one behind the other.
        let mut last: Option<(&str, Option<&DeviceRow>)> = None;
        let mut lines = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            let device = match last {
                Some((name, device)) if name == &*path.id.device => device,
                _ => devices.get(&*path.id.device).copied(),
            };
            last = Some((&path.id.device, device));
            // A path of a device that is gone was measured as long as the device was there.
            let state = device.map_or(State::Measured, |device| State::of(device, path.id.direction));
            lines.push(PathLine { path, state, device });
        }
        lines
    }

    /// The sum over underlay devices; `None` where no direction of any of them was measured. Tunnel and
    /// workload devices carry the same packets once more and are left out.
    #[must_use]
    pub fn underlay(&self) -> Option<Underlay> {
        let (mut measured, mut complete, mut figures) = (false, true, Figures::default());
        for line in self.lines().iter().filter(|line| line.device.device.role == Role::Underlay) {
            if line.state == State::Measured {
                measured = true;
                figures.add(&line.figures().unwrap_or_default());
            } else {
                complete = false;
            }
        }
        measured.then_some(Underlay { figures, complete })
    }

    /// Packets larger than the MTU of an underlay device, and those that a tunnel would have to fragment or
    /// drop; `None` where no direction of any such device was measured. At a tunnel device a packet that does
    /// not fit is counted once, whatever else is too small for it.
    #[must_use]
    pub fn too_big(&self) -> Option<TooBig> {
        let (mut measured, mut sum) = (false, TooBig { packets: 0, complete: true });
        for line in self.lines() {
            let counters: &[Total] = match line.device.device.role {
                Role::Underlay => &[Total::Oversized],
                Role::Tunnel => &[Total::WouldFragment, Total::WouldDrop],
                _ => continue,
            };
            if let (State::Measured, Some(counts)) =
                (line.state, counters.iter().map(|c| line.count(*c)).collect::<Option<Vec<u64>>>())
            {
                measured = true;
                sum.packets += counts.iter().sum::<u64>();
            } else {
                sum.complete = false;
            }
        }
        measured.then_some(sum)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::per_second;
    use crate::view::fixture;

    fn ingress(report: &Report) -> Vec<State> {
        let lines = report.lines();
        let of = |line: &&Line| line.device.device.name == "eth0" && line.direction == Direction::Ingress;
        lines.iter().filter(of).map(|line| line.state).collect()
    }

    #[test]
    fn a_hook_that_came_back_measured_only_a_part() {
        let (before, lost, after) = (fixture::snapshot(10), fixture::lost(11, 10), fixture::snapshot(12));
        let report = Report::between(&lost, &after);
        assert!(ingress(&report).iter().all(|state| *state == State::Lost));
        assert!(report.notes.iter().any(|note| note.contains("eth0 ingress was not watched")));
        assert!(!report.underlay().expect("egress was measured").complete);
        let whole = Report::between(&before, &after);
        assert!(ingress(&whole).iter().all(|state| *state == State::Measured));
        assert!(whole.underlay().expect("measured").complete);
    }

    #[test]
    fn an_idle_direction_is_zero_and_an_unwatched_one_is_unknown() {
        let mut snapshot = fixture::snapshot(10);
        snapshot.devices[1].totals.clear();
        snapshot.devices[1].hooks[1] = Hook::None;
        let report = Report::total(&snapshot);
        let lines = report.lines();
        let tunnel: Vec<&Line> = lines.iter().filter(|l| l.device.device.name == "vxlan.calico").collect();
        assert_eq!(tunnel.len(), 2);
        assert_eq!((tunnel[0].state, tunnel[0].figures()), (State::Measured, Some(Figures::default())));
        assert_eq!((tunnel[1].state, tunnel[1].figures()), (State::NotWatched, None));
    }

    #[test]
    fn a_packet_too_big_is_counted_once_and_an_unwatched_direction_leaves_it_open() {
        let report = Report::total(&fixture::snapshot(10));
        let of = |role, counter| -> u64 {
            let lines = report.lines();
            let of = lines.iter().filter(|line| line.device.device.role == role);
            of.filter_map(Line::figures).map(|figures| figures.get(counter)).sum()
        };
        let fragmented = of(Role::Tunnel, Total::WouldFragment);
        assert!(fragmented > 0);
        let packets = fragmented + of(Role::Tunnel, Total::WouldDrop) + of(Role::Underlay, Total::Oversized);
        assert_eq!(report.too_big(), Some(TooBig { packets, complete: true }));
        let lost = Report::between(&fixture::snapshot(10), &fixture::lost(11, 10));
        assert!(lost.too_big().is_some_and(|sum| !sum.complete));
    }

    #[test]
    fn a_source_that_started_anew_is_not_zero() {
        let report = Report::between(&fixture::snapshot(100), &fixture::snapshot(5));
        assert_eq!(report.interval, Duration::from_secs(5));
        assert!(report.rows.iter().any(|row| row.figures.packets() > 0));
        assert!(report.notes.iter().any(|note| note.contains("started anew")));
    }

    #[test]
    fn a_rate_over_no_time_is_unknown() {
        assert_eq!(per_second(4, Duration::ZERO), None);
        assert_eq!(per_second(4, Duration::from_secs(2)), Some(2.0));
    }
}
