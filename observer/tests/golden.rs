//! Whole outputs compared with files: screens, tables and JSON of a simulated node.
//!
//! `UPDATE_GOLDEN=1 cargo test -p observer --test golden` rewrites the files; review the difference.

use std::collections::BTreeSet;
use std::path::PathBuf;

extern crate observer;

use observer::model::Report;
use observer::model::compare::{Comparison, Reading, Side};
use observer::recording::{Header, Recording};
use observer::view::tui::{App, Options};
use observer::view::{compare as comparison, json, table};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::Value;

#[path = "../src/view/fixture.rs"]
mod fixture;

fn compare(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(name);
    observer_testing::golden::compare(&path, text);
}

fn report() -> Report {
    Report::between(&fixture::snapshot(120), &fixture::snapshot(130))
}

#[test]
fn tables() {
    let default = table::TableOptions::default();
    compare("table.txt", &table::report(&report(), &default));
    let paths = table::TableOptions { paths: true, top: Some(4), width: 100, ..default };
    compare("table-paths-100.txt", &table::report(&report(), &paths));
    let totals = table::TableOptions { paths: true, rates: false, bits: false, ..default };
    compare("table-totals-bytes.txt", &table::report(&Report::total(&fixture::snapshot(130)), &totals));
    let with_cost = Report::between(&fixture::with_cost(120), &fixture::with_cost(130));
    compare("table-cost.txt", &table::report(&with_cost, &default));
    let lost = Report::between(&fixture::snapshot(120), &fixture::lost(130, 120));
    compare("table-lost.txt", &table::report(&lost, &table::TableOptions { paths: true, ..default }));
}

#[test]
fn colours_do_not_change_text() {
    let plain = table::TableOptions { paths: true, ..table::TableOptions::default() };
    let coloured = table::report(&report(), &table::TableOptions { colour: true, ..plain });
    assert!(coloured.contains("\u{1b}["));
    let mut bare = String::new();
    let mut parts = coloured.split("\u{1b}[");
    bare.push_str(parts.next().unwrap_or_default());
    for part in parts {
        bare.push_str(part.split_once('m').expect("a colour").1);
    }
    assert_eq!(bare, table::report(&report(), &plain));
}

#[test]
fn json_form() {
    let value = json::report(&report());
    compare("stat.json", &format!("{:#}\n", value));
    let lost = json::report(&Report::between(&fixture::snapshot(120), &fixture::lost(130, 130)));
    let row = &lost["rows"][0];
    assert_eq!(row["state"], "lost");
    assert_eq!((&row["rates"], &row["overhead_bytes_per_second"]), (&Value::Null, &Value::Null));
    assert_eq!(lost["underlay"]["complete"], false);
}

fn keys<'a>(value: &'a Value, path: &str, found: &mut BTreeSet<(String, &'a str)>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                found.insert((path.to_owned(), key));
                keys(value, &format!("{path}.{key}"), found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| keys(value, path, found)),
        _ => {}
    }
}

/// Every field of `value` is documented in the page, and every documented field exists.
fn documented(page: &str, value: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("docs/{page}: {error}"));
    let mut found = BTreeSet::new();
    keys(value, "", &mut found);
    let missing: Vec<String> = found
        .iter()
        .filter(|(_, key)| !text.contains(&format!("`{key}`")))
        .map(|(path, key)| format!("{path}.{key}"))
        .collect();
    assert!(missing.is_empty(), "not in docs/{page}: {missing:?}");
    // Every documented field exists.
    let known: BTreeSet<&str> = found.iter().map(|(_, key)| *key).collect();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let field = line.split('`').nth(1).expect("a field");
        assert!(known.contains(field), "docs/{page} documents {field}, which does not exist");
    }
}

#[test]
fn every_json_field_is_documented() {
    documented("stat-json.md", &json::report(&report()));
    documented("compare-json.md", &comparison::json(&compared("vxlan-crosssubnet")));
}

/// A recording of the lab, from its folder.
fn side(name: &str) -> Side {
    let file = format!("{name}.json");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings").join(&file);
    let mut recording = Recording::open(&path).expect("a recording");
    let mut reading = Reading::new(&file, recording.header());
    while let Some(snapshot) = recording.next_snapshot().expect("a readable recording") {
        reading.push(snapshot);
    }
    Side::of(vec![reading.finish(recording.flaw())])
}

fn compared(after: &str) -> Comparison {
    Comparison::of(side("vxlan-always"), side(after))
}

/// One lab with the same traffic in three modes.
#[test]
fn comparisons() {
    for after in ["vxlan-crosssubnet", "bgp"] {
        let found = compared(after);
        compare(&format!("compare-{after}.txt"), &comparison::table(&found, false));
        compare(&format!("compare-{after}.md"), &comparison::markdown(&found));
        compare(&format!("compare-{after}.json"), &format!("{:#}\n", comparison::json(&found)));
    }
}

/// The simulated node with cost: first with tunnels to all peers, then only across subnets.
#[test]
fn comparison_with_cost() {
    let side = |name: &str, seconds: std::ops::RangeInclusive<u64>, far_only: bool| {
        let header = Header { node: "edge-ams-03".to_owned(), ..Header::default() };
        let mut reading = Reading::new(name, &header);
        for second in seconds {
            let mut snapshot = fixture::with_cost(second);
            if far_only {
                // A sixth of the tunnel's packets are the far node's.
                let cost = snapshot.cost.as_mut().expect("it is measured");
                cost.tcp.retain(|path| path.peer != std::net::IpAddr::from([10, 1, 0, 12]));
                cost.softirqs.iter_mut().for_each(|cpu| cpu.receive = cpu.receive * 4 / 5);
            }
            reading.push(snapshot);
        }
        Side::of(vec![reading.finish(None)])
    };
    let found = Comparison::of(side("before.json", 10..=90, false), side("after.json", 210..=290, true));
    compare("compare-cost.txt", &comparison::table(&found, false));
    compare("compare-cost.md", &comparison::markdown(&found));
    compare("compare-cost.json", &format!("{:#}\n", comparison::json(&found)));
    let page = comparison::html(&found);
    for text in ["encapsulation time per packet", "RTT, p99", "RTT through tunnels, p50"] {
        assert!(page.contains(text), "{text} is not in the page");
    }
    assert!(!comparison::html(&compared("bgp")).contains("RTT, p99"), "it was not measured");
}

#[test]
fn a_page_is_complete_in_itself() {
    let page = comparison::html(&compared("vxlan-crosssubnet"));
    for outside in ["http:", "https:", "url(", "src=", "href=", "<script", "<link", "@import"] {
        assert!(!page.contains(outside), "{outside} in the page");
    }
    // Every drawing has an accessible name and description with unique ids.
    let drawings = page.matches("<svg ").count();
    assert!(drawings > 8, "{drawings} drawings");
    for part in ["role=\"img\"", "<title id=", "<desc id=", "</svg>"] {
        assert_eq!(page.matches(part).count(), drawings, "{part}");
    }
    let mut ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "duplicate ids");
    for (open, close) in [("<section>", "</section>"), ("<figure>", "</figure>"), ("<tr>", "</tr>")] {
        assert_eq!(page.matches(open).count(), page.matches(close).count(), "{open}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf\""), "NaN or infinity in a figure");
}

fn screen(app: &App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test backend");
    terminal.draw(|frame| app.draw(frame)).expect("drawing");
    let shown = terminal.backend().to_string();
    // The backend quotes each line; files without the quotes read like the screen.
    let line = |line: &str| line.trim_matches('"').trim_end().to_owned() + "\n";
    shown.lines().map(line).collect()
}

fn app(lost: bool) -> App {
    let mut app = App::new(Options { colour: false, ..Options::default() });
    for second in 100..170 {
        app.on_snapshot(fixture::snapshot(second));
    }
    if lost {
        app.on_snapshot(fixture::lost(170, 169));
        app.on_failure("reading maps failed on the kernel: no such file".to_owned());
    }
    app
}

fn press(app: &mut App, code: KeyCode) {
    app.on_key(KeyEvent::new(code, KeyModifiers::NONE));
}

#[test]
fn screens() {
    for (name, width, height) in
        [("80x24", 80, 24), ("120x40", 120, 40), ("40x10", 40, 10), ("200x50", 200, 50)]
    {
        let mut app = app(false);
        compare(&format!("top-overview-{name}.txt"), &screen(&app, width, height));
        press(&mut app, KeyCode::Char('2'));
        compare(&format!("top-paths-{name}.txt"), &screen(&app, width, height));
        press(&mut app, KeyCode::Enter);
        compare(&format!("top-path-{name}.txt"), &screen(&app, width, height));
        for (key, tab) in [('3', "fragments"), ('4', "sizes"), ('5', "health")] {
            press(&mut app, KeyCode::Char(key));
            compare(&format!("top-{tab}-{name}.txt"), &screen(&app, width, height));
        }
        press(&mut app, KeyCode::Char('?'));
        compare(&format!("top-help-{name}.txt"), &screen(&app, width, height));
    }
    for (name, width, height) in [("80x24", 80, 24), ("120x40", 120, 40), ("40x10", 40, 10)] {
        let mut app = self::app(false);
        press(&mut app, KeyCode::Char('6'));
        compare(&format!("top-cost-off-{name}.txt"), &screen(&app, width, height));
        app.on_snapshot(fixture::with_cost(170));
        app.on_snapshot(fixture::with_cost(171));
        compare(&format!("top-cost-{name}.txt"), &screen(&app, width, height));
    }
    for (name, width, height) in [("80x24", 80, 24), ("120x40", 120, 40), ("40x10", 40, 10)] {
        compare(&format!("top-lost-{name}.txt"), &screen(&self::app(true), width, height));
        let mut app = self::app(false);
        press(&mut app, KeyCode::Char('t'));
        press(&mut app, KeyCode::Char('t'));
        compare(&format!("top-totals-{name}.txt"), &screen(&app, width, height));
    }
}
