//! Rows as views show them. Idle and unmeasured directions have a line too, because unknown is not zero.

use std::collections::BTreeMap;
use std::net::IpAddr;

use observer_common::counters::{PathCounter, Total};
use observer_common::kind::Direction;

use super::{DeviceRow, Figures, PathRow, Report, Row};
use crate::snapshot::Hook;
use crate::topology::Role;

/// Whether the figures of a line are complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Complete.
    #[default]
    Measured,
    /// The hook is lost, or was lost at the start of the interval: counts are a lower bound, rates are unknown.
    Lost,
    /// There is no hook.
    NotWatched,
}

impl State {
    /// The label in every view.
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
    /// The row; `None` if nothing was counted.
    pub row: Option<&'a Row>,
}

impl Line<'_> {
    /// The figures; `None` if they are unknown, as opposed to zero.
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
    /// Whether its device and direction were measured.
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

/// Traffic on the node's underlay devices: sum of both directions and all classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Underlay {
    /// The sum.
    pub figures: Figures,
    /// Every direction of every underlay device was measured.
    pub complete: bool,
}

/// Packets that do not fit the MTU on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig {
    /// Their number.
    pub packets: u64,
    /// Every direction of every underlay and tunnel device was measured.
    pub complete: bool,
}

impl Report {
    /// The lines by device, direction and class. Idle and unwatched directions have a line on underlay and tunnel
    /// devices; on other devices only if a hook was lost.
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
        // Thousands of consecutive paths have the same device.
        let mut last: Option<(&str, Option<&DeviceRow>)> = None;
        let mut lines = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            let device = match last {
                Some((name, device)) if name == &*path.id.device => device,
                _ => devices.get(&*path.id.device).copied(),
            };
            last = Some((&path.id.device, device));
            // A path of a removed device was measured until its removal.
            let state = device.map_or(State::Measured, |device| State::of(device, path.id.direction));
            lines.push(PathLine { path, state, device });
        }
        lines
    }

    /// The sum over underlay devices; `None` if no direction of any of them was measured. Tunnel and workload devices
    /// carry the same packets again and are excluded.
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

    /// Packets larger than the MTU of an underlay device, and packets that a tunnel would have to fragment or drop;
    /// `None` if no direction of any such device was measured. A packet is counted once per tunnel device.
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
    fn a_reattached_hook_measured_only_part_of_the_interval() {
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
    fn a_packet_too_big_is_counted_once_and_a_lost_hook_makes_the_sum_incomplete() {
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
    fn figures_of_a_restarted_source_cover_the_time_since_its_start() {
        let report = Report::between(&fixture::snapshot(100), &fixture::snapshot(5));
        assert_eq!(report.interval, Duration::from_secs(5));
        assert!(report.rows.iter().any(|row| row.figures.packets() > 0));
        assert!(report.notes.iter().any(|note| note.contains("restarted")));
    }

    #[test]
    fn a_rate_over_an_empty_interval_is_unknown() {
        assert_eq!(per_second(4, Duration::ZERO), None);
        assert_eq!(per_second(4, Duration::from_secs(2)), Some(2.0));
    }
}
