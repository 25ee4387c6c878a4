//! The text of `observer pcap` for people.

use std::fmt::Write as _;
use std::time::Duration;

use observer_common::counters::{Event, FIRST_REASON, PathCounter, Total};
use observer_common::kind::Class;

use crate::capture::Summary;
use crate::model::Fragments;
use crate::view::grid::fit;
use crate::view::units;

/// Space between two columns.
const GAP: &str = "  ";

/// The report; with at most so many paths, where they are asked for.
#[must_use]
pub fn report(summary: &Summary, paths: Option<usize>, colour: bool) -> String {
    let mut text = header(summary);
    let title = |text: &mut String, words: &str| {
        let words = units::printable(words);
        let _ =
            if colour { writeln!(text, "\n\u{1b}[1m{words}\u{1b}[0m") } else { writeln!(text, "\n{words}") };
    };
    title(&mut text, "Encapsulation");
    grid(&mut text, &ENCAPSULATION, &encapsulation(summary));
    title(&mut text, "Devices");
    grid(&mut text, &DEVICES, &devices(summary));
    title(&mut text, "Findings");
    for line in findings(summary) {
        let _ = writeln!(text, "  {line}");
    }
    if let Some(most) = paths {
        let all = summary.paths.len();
        let shown = all.min(most);
        let which =
            if shown < all { format!(" (the first {shown} of {all}, by wire bytes)") } else { String::new() };
        title(&mut text, &format!("Paths between tunnel endpoints{which}"));
        grid(&mut text, &PATHS, &path_rows(summary, most));
    }
    let problems: Vec<&String> = summary.files.iter().flat_map(|file| &file.problems).collect();
    if !problems.is_empty() {
        text.push('\n');
    }
    for problem in problems {
        let label = if colour { "\u{1b}[1;31mincomplete:\u{1b}[0m" } else { "incomplete:" };
        let _ = writeln!(text, "{label} {}", units::printable(problem));
    }
    text
}

fn header(summary: &Summary) -> String {
    let all = summary.all();
    let name = match summary.files.as_slice() {
        [one] => units::printable(&one.name),
        files => format!("{} files", files.len()),
    };
    let mut text = format!(
        "{name}  {} packets  {} on the wire  overhead {}",
        all.packets(),
        units::bytes(all.get(Total::WireBytes)),
        units::ratio(all.overhead_ratio()),
    );
    if let Some((first, last)) = summary.times() {
        let (first, last) = (Duration::from_nanos(first), Duration::from_nanos(last));
        let covers = units::duration(last.saturating_sub(first));
        let _ = write!(text, "  {covers} from {}", units::time_of_day(first));
    }
    text.push('\n');
    text
}

const ENCAPSULATION: [&str; 7] =
    ["ENCAP", ">PACKETS", ">WIRE B", ">L3 B", ">INNER B", ">OVERHEAD B", ">OVERHEAD %"];

fn encapsulation(summary: &Summary) -> Vec<Vec<String>> {
    let counted = Class::ALL.iter().zip(&summary.classes).filter(|(_, figures)| figures.packets() != 0);
    counted
        .map(|(class, figures)| {
            let mut row = vec![class.label().to_owned(), figures.packets().to_string()];
            row.extend(volumes(figures));
            row
        })
        .collect()
}

fn volumes(figures: &crate::model::Figures) -> [String; 5] {
    [
        figures.get(Total::WireBytes).to_string(),
        figures.get(Total::L3Bytes).to_string(),
        figures.get(Total::InnerBytes).to_string(),
        figures.overhead_bytes().to_string(),
        units::percent(figures.overhead_ratio()),
    ]
}

const DEVICES: [&str; 7] = ["DEVICE", "DIR", "ENCAP", ">PACKETS", ">WIRE B", ">LARGEST B", ">OVERSIZED"];

fn devices(summary: &Summary) -> Vec<Vec<String>> {
    let row = |row: &crate::capture::DeviceSummary| {
        vec![
            row.device.clone(),
            row.direction.map_or(units::UNKNOWN, |direction| direction.label()).to_owned(),
            row.class.label().to_owned(),
            row.figures.packets().to_string(),
            row.figures.get(Total::WireBytes).to_string(),
            row.figures.get(Total::Largest).to_string(),
            measured(summary.mtu, row.figures.get(Total::Oversized)),
        ]
    };
    summary.devices.iter().map(row).collect()
}

fn measured(mtu: Option<u32>, count: u64) -> String {
    mtu.map_or_else(|| units::UNKNOWN.to_owned(), |_| count.to_string())
}

fn findings(summary: &Summary) -> Vec<String> {
    let all = summary.all();
    let events = |event: Event| summary.events[event as usize];
    let layer = |name: &str, f: &Fragments| {
        let families = [("IPv4", f.ipv4), ("IPv6", f.ipv6)].map(|(family, counts)| {
            format!("{family} {} first, {} middle, {} last", counts[0], counts[1], counts[2])
        });
        format!("{name} fragments: {}; {} atomic", families.join("; "), f.atomic)
    };
    let mut lines = vec![
        layer("outer", &all.outer_fragments()),
        layer("inner", &all.inner_fragments()),
        format!("bytes that fragmentation added: {}", all.get(Total::FragmentationOverheadBytes)),
        format!("PTB messages: ICMPv4 {}, ICMPv6 {}", events(Event::PtbV4), events(Event::PtbV6)),
        match summary.mtu {
            None => "larger than the MTU: not measured (--mtu)".to_owned(),
            Some(mtu) => format!("larger than the MTU {mtu}: {}", all.get(Total::Oversized)),
        },
        format!("largest packet: {} B", all.get(Total::Largest)),
    ];
    let rare = [
        ("tunnel packets in tunnel packets", all.get(Total::Nested)),
        ("tunnel packets without an IP packet inside", all.get(Total::InnerNonIp)),
        ("VXLAN-GPE packets", all.get(Total::VxlanGpe)),
        ("packets of paths that found no room: the paths are incomplete", events(Event::PathOverflow)),
    ];
    lines.extend(rare.iter().filter(|rare| rare.1 != 0).map(|(what, count)| format!("{what}: {count}")));
    let reasons = Event::ALL[FIRST_REASON..].iter().filter(|reason| events(**reason) != 0);
    lines.extend(reasons.map(|reason| format!("malformed, {}: {}", reason.label(), events(*reason))));
    lines
}

const PATHS: [&str; 12] = [
    "SOURCE",
    "DESTINATION",
    "ENCAP",
    ">VNI",
    ">PACKETS",
    ">WIRE B",
    ">OVERHEAD B",
    ">OVERHEAD %",
    ">FRAGM",
    ">TOO BIG",
    ">OVERSIZED",
    "DEVICE",
];

fn path_rows(summary: &Summary, most: usize) -> Vec<Vec<String>> {
    let row = |path: &crate::capture::PathSummary| {
        let get = |counter| path.figures.get(counter);
        let ptb = match (get(PathCounter::Ptb), get(PathCounter::PtbMtu)) {
            (count, 0) => count.to_string(),
            (count, mtu) => format!("{count} ({mtu})"),
        };
        vec![
            path.source.to_string(),
            path.destination.to_string(),
            path.class.label().to_owned(),
            path.vni.map_or_else(|| units::UNKNOWN.to_owned(), |vni| vni.to_string()),
            get(PathCounter::Packets).to_string(),
            get(PathCounter::WireBytes).to_string(),
            path.figures.overhead_bytes().to_string(),
            units::percent(path.figures.overhead_ratio()),
            path.figures.fragments().to_string(),
            ptb,
            measured(summary.mtu, get(PathCounter::Oversized)),
            path.device.clone(),
        ]
    };
    summary.paths.iter().take(most).map(row).collect()
}

/// Columns whose title begins with `>` are aligned to the right.
fn grid(text: &mut String, titles: &[&str], rows: &[Vec<String>]) {
    if rows.is_empty() {
        text.push_str("  none\n");
        return;
    }
    let bare: Vec<&str> = titles.iter().map(|title| title.trim_start_matches('>')).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(bare[column].chars().count())
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells
            .enumerate()
            .map(|(column, cell)| {
                fit(&units::printable(cell), widths[column], titles[column].starts_with('>'))
            })
            .collect();
        let _ = writeln!(text, "  {}", cells.join(GAP).trim_end());
    };
    line(&mut bare.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
}
