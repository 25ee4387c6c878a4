//! `observer pcap` as CSV: one line a device, direction and encapsulation, or one line a path. Empty
//! fields are unknown or not measured.

use observer_common::counters::{PathCounter, Total};

use crate::capture::Summary;
use crate::view::csv::quoted;

/// Counters that mean nothing without a node's tables, or need segments' sizes.
const LIVE_ONLY: [Total; 5] =
    [Total::Aggregates, Total::WouldFragment, Total::WouldDrop, Total::UnknownPeer, Total::UnknownVni];

/// Rows by device, direction and encapsulation, with their header.
#[must_use]
pub fn rows(summary: &Summary) -> String {
    let counters: Vec<Total> = Total::ALL.into_iter().filter(|c| !LIVE_ONLY.contains(c)).collect();
    let labels: Vec<&str> = counters.iter().map(|counter| counter.label()).collect();
    let mut text = format!("device,direction,encapsulation,{},overhead_bytes,complete\n", labels.join(","));
    for row in &summary.devices {
        let direction = row.direction.map_or("", |direction| direction.label());
        let mut fields = vec![quoted(&row.device), direction.to_owned(), row.class.label().to_owned()];
        fields.extend(counters.iter().map(|counter| match (counter, summary.mtu) {
            (Total::Oversized, None) => String::new(),
            _ => row.figures.get(*counter).to_string(),
        }));
        fields.push(row.figures.overhead_bytes().to_string());
        fields.push(summary.complete().to_string());
        text += &(fields.join(",") + "\n");
    }
    text
}

/// At most so many paths, with their header.
#[must_use]
pub fn paths(summary: &Summary, most: Option<usize>) -> String {
    let live = [PathCounter::WouldFragment, PathCounter::WouldDrop, PathCounter::Aggregates];
    let counters: Vec<PathCounter> = PathCounter::ALL.into_iter().filter(|c| !live.contains(c)).collect();
    let labels: Vec<&str> = counters.iter().map(|counter| counter.label()).collect();
    let mut text =
        format!("device,source,destination,encapsulation,vni,{},overhead_bytes,complete\n", labels.join(","));
    for path in summary.paths.iter().take(most.unwrap_or(usize::MAX)) {
        let mut fields = vec![
            quoted(&path.device),
            path.source.to_string(),
            path.destination.to_string(),
            path.class.label().to_owned(),
            path.vni.map_or_else(String::new, |vni| vni.to_string()),
        ];
        fields.extend(counters.iter().map(|counter| match (counter, summary.mtu) {
            (PathCounter::Oversized, None) => String::new(),
            _ => path.figures.get(*counter).to_string(),
        }));
        fields.push(path.figures.overhead_bytes().to_string());
        fields.push(summary.complete().to_string());
        text += &(fields.join(",") + "\n");
    }
    text
}
