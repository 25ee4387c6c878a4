//! Keys in, state out, and screens of every size on a test backend.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::app::{App, Options};
use super::feed::{Action, Origin, Process, Request};
use super::tab::{Focus, Tab};
use crate::snapshot::{Hook, Program};
use crate::view::fixture;

fn app() -> App {
    let mut app = App::new(Options { colour: false, ..Options::default() });
    for second in 100..130 {
        app.on_snapshot(fixture::snapshot(second));
    }
    app
}

fn press(app: &mut App, code: KeyCode) -> Action {
    app.on_key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn typed(app: &mut App, text: &str) {
    for character in text.chars() {
        press(app, KeyCode::Char(character));
    }
}

fn screen(app: &App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test backend");
    terminal.draw(|frame| app.draw(frame)).expect("drawing");
    terminal.backend().to_string()
}

fn peers(app: &App) -> Vec<String> {
    let report = app.report.as_ref().expect("a report");
    app.paths(Focus::Paths, report).iter().map(|line| line.path.id.peer.to_string()).collect()
}

#[test]
fn every_way_out_quits() {
    assert_eq!(press(&mut app(), KeyCode::Char('q')), Action::Quit);
    assert_eq!(press(&mut app(), KeyCode::Esc), Action::Quit);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    let mut busy = app();
    busy.help = true;
    busy.filtering = true;
    assert_eq!(busy.on_key(interrupt), Action::Quit);
}

#[test]
fn escape_closes_help_and_filter_before_quitting() {
    let mut app = app();
    press(&mut app, KeyCode::Char('?'));
    assert!(app.help);
    assert_eq!(press(&mut app, KeyCode::Esc), Action::Redraw);
    typed(&mut app, "/vxlan");
    press(&mut app, KeyCode::Enter);
    assert_eq!(app.filter, "vxlan");
    assert_eq!(press(&mut app, KeyCode::Esc), Action::Redraw);
    assert_eq!(app.filter, "");
    assert_eq!(press(&mut app, KeyCode::Esc), Action::Quit);
}

#[test]
fn unknown_keys_do_nothing() {
    assert_eq!(press(&mut app(), KeyCode::Char('ö')), Action::None);
    assert_eq!(press(&mut app(), KeyCode::F(5)), Action::None);
}

#[test]
fn sorting_cycles_through_columns_and_reverses() {
    let mut app = app();
    press(&mut app, KeyCode::Char('2'));
    assert_eq!((app.tab, app.focus), (Tab::Paths, Focus::Paths));
    press(&mut app, KeyCode::Char('s'));
    assert_eq!(app.sorted_by(Focus::Paths), Some("PEER"));
    let ascending = peers(&app);
    assert!(ascending.is_sorted());
    press(&mut app, KeyCode::Char('r'));
    let mut descending = peers(&app);
    descending.reverse();
    assert_eq!(descending, ascending);
    press(&mut app, KeyCode::Left);
    assert_eq!(app.sorted_by(Focus::Paths), None);
    press(&mut app, KeyCode::Char('<'));
    assert_eq!(app.sorted_by(Focus::Paths), Some("PTB"));
    app.on_snapshot(fixture::snapshot(140));
    assert_eq!(peers(&app)[0], "10.2.0.13");
    for _ in 0..=App::columns(Focus::Paths) {
        press(&mut app, KeyCode::Char('s'));
    }
    assert_eq!(app.sorted_by(Focus::Paths), Some("PTB"));
}

#[test]
fn tab_moves_between_the_tables_of_a_screen() {
    let mut app = app();
    assert_eq!(app.focus, Focus::Traffic);
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.focus, Focus::Paths);
    press(&mut app, KeyCode::BackTab);
    assert_eq!(app.focus, Focus::Traffic);
    press(&mut app, KeyCode::Char('2'));
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.focus, Focus::Paths);
}

#[test]
fn the_selection_stays_inside_when_lines_disappear() {
    let mut app = app();
    press(&mut app, KeyCode::Char('2'));
    press(&mut app, KeyCode::End);
    assert_eq!(app.views[Focus::Paths as usize].selected, 5);
    press(&mut app, KeyCode::Down);
    assert_eq!(app.views[Focus::Paths as usize].selected, 5);
    let mut fewer = fixture::snapshot(131);
    fewer.paths.truncate(2);
    app.on_snapshot(fewer);
    assert_eq!(app.views[Focus::Paths as usize].selected, 1);
    press(&mut app, KeyCode::Home);
    assert_eq!(app.views[Focus::Paths as usize].selected, 0);
}

#[test]
fn a_filter_matches_all_words() {
    let mut app = app();
    typed(&mut app, "/CROSS egress");
    assert_eq!(peers(&app), ["10.2.0.13"]);
    press(&mut app, KeyCode::Backspace);
    assert_eq!(app.filter, "CROSS egres");
    typed(&mut app, "q");
    assert!(peers(&app).is_empty(), "q is part of the filter");
}

#[test]
fn a_pause_keeps_the_figures_and_extends_the_history() {
    let mut app = app();
    let before = app.report.as_ref().map(|report| report.taken);
    press(&mut app, KeyCode::Char(' '));
    for second in 130..140 {
        app.on_snapshot(fixture::snapshot(second));
    }
    assert_eq!(app.report.as_ref().map(|report| report.taken), before);
    assert_eq!(app.behind, 10);
    assert!(screen(&app, 80, 24).contains("PAUSED"));
    press(&mut app, KeyCode::Char('p'));
    app.on_snapshot(fixture::snapshot(140));
    let report = app.report.as_ref().expect("a report");
    assert_eq!(report.interval.as_secs(), 1, "one interval, not the whole pause");
}

#[test]
fn a_failure_keeps_the_last_figures_marked_as_stale() {
    let mut app = app();
    app.on_failure("reading maps failed on eth0: gone".to_owned());
    let shown = screen(&app, 80, 24);
    assert!(shown.contains("STALE") && shown.contains("reading maps failed") && shown.contains("eth0"));
    app.on_snapshot(fixture::snapshot(140));
    assert!(!screen(&app, 80, 24).contains("STALE"));
    assert!(app.on_end());
    assert!(!app.on_end());
    assert!(screen(&app, 80, 24).contains("has ended"));
}

#[test]
fn a_lost_hook_is_unknown_and_not_zero() {
    let mut app = app();
    app.on_snapshot(fixture::lost(132, 131));
    let shown = screen(&app, 120, 40);
    assert!(shown.contains("LOST") && shown.contains("external (lost)"), "{shown}");
    let lost = shown.lines().find(|line| line.contains("vxlan (lost)")).expect("a line");
    assert!(lost.contains('–') && !lost.contains(" 0"), "{lost}");
    let mut dark = fixture::lost(133, 131);
    dark.devices[0].hooks = [Hook::Lost; 2];
    app.on_snapshot(dark);
    assert!(screen(&app, 120, 40).contains("overhead –"));
}

#[test]
fn no_size_is_too_small() {
    let mut app = app();
    app.on_snapshot(fixture::lost(130, 120));
    for help in [false, true] {
        app.help = help;
        for tab in Tab::ALL {
            app.tab = tab;
            for (width, height) in
                [(1, 1), (2, 40), (200, 1), (40, 10), (80, 24), (79, 15), (20, 17), (300, 100)]
            {
                assert_eq!(screen(&app, width, height).lines().count(), usize::from(height));
            }
        }
    }
    let empty = App::new(Options::default());
    for (width, height) in [(1, 1), (40, 10), (80, 24)] {
        screen(&empty, width, height);
    }
    assert!(screen(&empty, 80, 24).contains("Waiting"));
}

#[test]
fn a_pause_steps_through_the_history_and_back() {
    let mut app = app();
    let taken = |app: &App| app.report.as_ref().expect("a report").taken.as_secs();
    let newest = taken(&app);
    press(&mut app, KeyCode::Char('['));
    press(&mut app, KeyCode::Left);
    assert_eq!((app.paused, app.behind, taken(&app)), (true, 2, newest - 2));
    app.on_snapshot(fixture::snapshot(130));
    assert_eq!((app.behind, taken(&app)), (3, newest - 2), "the history keeps growing");
    press(&mut app, KeyCode::Right);
    assert_eq!((app.behind, taken(&app)), (2, newest - 1));
    assert!(screen(&app, 80, 24).contains("PAUSED −2"));
    for _ in 0..100 {
        press(&mut app, KeyCode::Left);
    }
    assert_eq!(app.behind, 29, "the beginning of the history");
    press(&mut app, KeyCode::Char('p'));
    assert_eq!((app.paused, app.behind, taken(&app)), (false, 0, newest + 1));
}

#[test]
fn a_recording_is_paused_stepped_and_sped_up() {
    let mut app = App::new(Options { origin: Origin::Recording, ..Options::default() });
    for second in 100..110 {
        app.on_snapshot(fixture::snapshot(second));
    }
    assert_eq!(press(&mut app, KeyCode::Char('+')), Action::Request(Request::Speed(2.0)));
    assert_eq!(press(&mut app, KeyCode::Char('-')), Action::Request(Request::Speed(1.0)));
    assert_eq!(press(&mut app, KeyCode::Char(' ')), Action::Request(Request::Hold(true)));
    assert_eq!(press(&mut app, KeyCode::Right), Action::Request(Request::Step));
    app.on_snapshot(fixture::snapshot(110));
    assert_eq!(app.behind, 0, "the step is shown");
    press(&mut app, KeyCode::Left);
    assert_eq!(press(&mut app, KeyCode::Right), Action::Redraw, "that snapshot is in the history");
    assert_eq!(press(&mut app, KeyCode::Char(' ')), Action::Request(Request::Hold(false)));
    app.on_done("it ends here".to_owned());
    assert!(!app.on_end());
    let shown = screen(&app, 80, 24);
    assert!(shown.contains("it ends here") && !shown.contains("STALE"), "{shown}");
}

#[test]
fn the_interval_follows_the_keys() {
    let mut app = app();
    let request = |milliseconds| Action::Request(Request::Interval(Duration::from_millis(milliseconds)));
    assert_eq!(press(&mut app, KeyCode::Char('+')), request(2_000));
    assert_eq!(press(&mut app, KeyCode::Char('-')), request(1_000));
    for _ in 0..4 {
        press(&mut app, KeyCode::Char('-'));
    }
    assert_eq!(app.options.interval, Duration::from_millis(100));
    assert_eq!(press(&mut app, KeyCode::Char('-')), Action::None);
}

#[test]
fn totals_cover_the_time_since_the_source_started() {
    let mut app = app();
    press(&mut app, KeyCode::Char('t'));
    assert!(screen(&app, 80, 24).contains("bits, counts"));
    press(&mut app, KeyCode::Char('t'));
    assert!(app.since_start && screen(&app, 80, 24).contains("since start"));
    assert_eq!(app.report.as_ref().expect("a report").interval, Duration::from_secs(129));
    app.on_snapshot(fixture::snapshot(130));
    assert_eq!(app.report.as_ref().expect("a report").interval, Duration::from_secs(130));
    press(&mut app, KeyCode::Char('['));
    assert!(!app.since_start, "the history contains intervals only");
}

#[test]
fn all_figures_of_the_overview_cover_the_same_time() {
    let mut app = app();
    let underlay =
        |app: &App| app.report.as_ref().and_then(crate::model::Report::underlay).expect("measured").figures;
    let wire = |app: &App, unit| {
        let bits = underlay(app).get(observer_common::counters::Total::WireBytes) as f64 * 8.0;
        crate::view::units::si_unit(bits, unit)
    };
    // The last report covers one second.
    let shown = screen(&app, 80, 24);
    assert!(shown.contains(&format!(" of {}", wire(&app, "bit/s"))), "{shown}");
    press(&mut app, KeyCode::Char('t'));
    let shown = screen(&app, 80, 24);
    assert!(shown.contains(&format!(" of {} ", wire(&app, "bit"))) && !shown.contains("bit/s"), "{shown}");
    press(&mut app, KeyCode::Char('t'));
    let shown = screen(&app, 80, 24);
    assert!(shown.contains(&format!(" of {} ", wire(&app, "bit"))) && !shown.contains("bit/s"), "{shown}");
    let fragments = underlay(&app).fragments();
    assert!(shown.contains(&format!("fragments {fragments},")), "{shown}");
}

#[test]
fn the_smallest_overview_has_figures_and_alarms_first() {
    let mut app = app();
    let mut snapshot = fixture::snapshot(130);
    snapshot.devices[1].mtu = 1_500;
    app.on_snapshot(snapshot);
    let shown = screen(&app, 40, 10);
    let lines: Vec<&str> = shown.lines().map(|line| line.trim_matches('"').trim_end()).collect();
    assert_eq!(lines[1], "vxlan.calico: MTU 1500, should be 1450", "{shown}");
    assert!(lines[2].starts_with("overhead 1.") && lines[3].starts_with("fragments "), "{shown}");
    assert!(shown.contains("WIRE") && shown.contains("OVERHEAD") && shown.contains("eth0"), "{shown}");
}

#[test]
fn hidden_notices_are_marked() {
    let mut app = app();
    press(&mut app, KeyCode::Char('2'));
    let line = |width| {
        let shown = screen(&app, width, 24);
        shown.lines().find(|line| line.contains("10.2.0.13")).expect("a path").to_owned()
    };
    // It has fragments, and the narrow table hides that column.
    assert!(line(40).ends_with("›\""), "{}", line(40));
    assert!(!line(250).contains('›'), "{}", line(250));
}

#[test]
fn all_figures_of_a_path_can_be_read_on_the_smallest_screen() {
    let mut app = app();
    press(&mut app, KeyCode::Char('2'));
    press(&mut app, KeyCode::Enter);
    let selected = app.views[Focus::Paths as usize].selected;
    let shown = screen(&app, 40, 10);
    assert!(shown.contains("↑ ↓ for more") && shown.contains("packets"), "{shown}");
    press(&mut app, KeyCode::End);
    let shown = screen(&app, 40, 10);
    assert!(shown.contains("largest, B") && shown.contains("largest packet is known"), "{shown}");
    press(&mut app, KeyCode::Up);
    assert_ne!(screen(&app, 40, 10), shown, "one key scrolls one line back");
    assert_eq!(app.views[Focus::Paths as usize].selected, selected, "the table below does not scroll");
}

#[test]
fn warnings_are_complete_or_counted() {
    let mut app = app();
    app.on_failure("reading the maps failed on the kernel: no such file or directory".to_owned());
    let shown = screen(&app, 40, 24);
    assert!(
        shown.contains("stale: reading the maps failed on the") && shown.contains("kernel: no such file")
    );
    app.on_snapshot(fixture::lost(132, 131));
    app.on_failure("reading the maps failed on the kernel: no such file or directory".to_owned());
    app.on_remark("one".to_owned());
    app.on_refused("two".to_owned());
    let shown = screen(&app, 40, 10);
    assert!(shown.contains("stale: reading the maps") && shown.contains("more warnings"), "{shown}");
}

#[test]
fn details_of_a_path_open_and_close() {
    let mut app = app();
    press(&mut app, KeyCode::Char('2'));
    typed(&mut app, "/10.2.0.13");
    press(&mut app, KeyCode::Enter);
    press(&mut app, KeyCode::Enter);
    let shown = screen(&app, 80, 24);
    for text in ["10.2.0.13", "vxlan", "VNI 4096", "1500", "counted per device", "29 intervals"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    app.on_snapshot(fixture::snapshot(130));
    assert!(screen(&app, 80, 24).contains("30 intervals"));
    let mut without = fixture::snapshot(131);
    without.paths.clear();
    app.on_snapshot(without);
    assert!(screen(&app, 80, 24).contains("no traffic in this interval"), "missing is not zero");
    assert_eq!(press(&mut app, KeyCode::Esc), Action::Redraw);
    assert!(app.detail.is_none() && app.filter == "10.2.0.13");
}

#[test]
fn the_what_if_follows_the_selected_mtu() {
    let mut app = app();
    press(&mut app, KeyCode::Char('4'));
    typed(&mut app, "/egress vxlan underlay");
    press(&mut app, KeyCode::Enter);
    let fits = screen(&app, 120, 40);
    assert!(fits.contains("Would exceed MTU 1500 over IPv4") && fits.contains("── MTU 1450 vxlan.calico"));
    let line =
        |shown: &str, word: &str| shown.lines().find(|line| line.contains(word)).expect("a plan").to_owned();
    assert!(line(&fits, "vxlan      +50").contains("0.00 %"), "{fits}");
    press(&mut app, KeyCode::Char('m'));
    let shown = screen(&app, 120, 40);
    assert!(shown.contains("MTU 1480") && !line(&shown, "vxlan      +50").contains("0.00 %"), "{shown}");
    press(&mut app, KeyCode::Char('v'));
    assert!(screen(&app, 120, 40).contains("vxlan      +70"));
}

#[test]
fn program_cost_is_unknown_until_measured() {
    let mut app = app();
    press(&mut app, KeyCode::Char('5'));
    let shown = screen(&app, 120, 40);
    assert!(shown.contains("programs            not measured") && shown.contains("this process        not"));
    assert_eq!(press(&mut app, KeyCode::Char('c')), Action::Request(Request::Statistics(true)));
    for second in [130, 132] {
        let mut snapshot = fixture::snapshot(second);
        let runs = second * 1_000;
        let run_time = Duration::from_nanos(runs * 250);
        snapshot.programs.push(Program { name: "tc_egress".to_owned(), runs, run_time });
        app.on_snapshot(snapshot);
        let cpu = Duration::from_millis(second * 5);
        app.on_process(Process { at: Duration::from_secs(second), cpu, memory: 12_000_000 });
    }
    let shown = screen(&app, 120, 40);
    let line = shown.lines().find(|line| line.contains("tc_egress")).expect("its line");
    assert!(line.contains("1.00k") && line.contains("250") && line.contains("0.03"), "{line}");
    assert!(shown.contains("20 to 30 ns") && shown.contains("0.50 % of a core, 12.0 MB"), "{shown}");
    app.on_refused("cannot switch on the statistics: no".to_owned());
    assert!(!app.options.statistics && screen(&app, 120, 40).contains("cannot switch on"));
}

/// With the cost of encapsulation.
fn with_cost() -> App {
    let mut app = App::new(Options { colour: false, ..Options::default() });
    for second in 100..130 {
        app.on_snapshot(fixture::with_cost(second));
    }
    press(&mut app, KeyCode::Char('6'));
    app
}

#[test]
fn the_cost_screen_explains_how_to_start_measuring() {
    let mut app = app();
    press(&mut app, KeyCode::Char('6'));
    for (width, height) in [(120, 40), (80, 24), (60, 10)] {
        let shown = screen(&app, width, height);
        assert!(shown.contains("not measured: press c to start"), "{shown}");
        assert!(!shown.contains("none"), "not measured is not none: {shown}");
    }
    assert_eq!(press(&mut app, KeyCode::Char('c')), Action::Request(Request::Cost(true)));
    app.on_remark("these are an exporter's figures".to_owned());
    assert!(screen(&app, 80, 24).contains("these are an exporter's"));
    app.on_snapshot(fixture::with_cost(130));
    assert_eq!(press(&mut app, KeyCode::Char('c')), Action::Request(Request::Cost(false)));
    let shown = screen(&app, 80, 24);
    for text in ["encapsulate", "decapsulate", "10.2.0.13", "NET_RX", "measured 1/64 of the time; 41 ns"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let mut replayed = App::new(Options { origin: Origin::Recording, ..Options::default() });
    replayed.on_snapshot(fixture::snapshot(10));
    press(&mut replayed, KeyCode::Char('6'));
    assert!(screen(&replayed, 80, 24).contains("the recording was made without --cost"));
    assert_eq!(press(&mut replayed, KeyCode::Char('c')), Action::None);
}

#[test]
fn cost_tables_are_sorted_filtered_and_in_the_history() {
    let mut app = with_cost();
    assert_eq!(app.focus, Focus::Spans);
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.focus, Focus::RoundTrips);
    let peers = |app: &App| -> Vec<String> {
        let report = app.report.as_ref().expect("a report");
        app.round_trips(report).iter().map(|row| row.peer.to_string()).collect()
    };
    assert_eq!(peers(&app), ["10.1.0.12", "10.2.0.13", "10.1.0.14"]);
    for _ in 0..3 {
        press(&mut app, KeyCode::Char('s'));
    }
    assert_eq!(app.sorted_by(Focus::RoundTrips), Some("RTT"));
    assert_eq!(peers(&app), ["10.2.0.13", "10.1.0.12", "10.1.0.14"], "the slowest first");
    typed(&mut app, "/none");
    press(&mut app, KeyCode::Enter);
    assert_eq!(peers(&app), ["10.1.0.14"]);
    press(&mut app, KeyCode::Esc);
    let cost =
        |app: &App| app.report.as_ref().and_then(|report| report.cost.clone()).map(|p| p.spans[0].packet);
    let before = cost(&app);
    app.on_snapshot(fixture::snapshot(130));
    assert_eq!(cost(&app), None);
    press(&mut app, KeyCode::Char('['));
    assert!(before.is_some_and(|ns| ns.is_some()) && cost(&app) == before, "it is in the history");
}

#[test]
fn mouse_input_selects_tabs_and_scrolls() {
    let mut app = app();
    assert_eq!(press(&mut app, KeyCode::Char('x')), Action::Mouse(true));
    let event = |kind, column, row| MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
    let click = MouseEventKind::Down(MouseButton::Left);
    let shown = screen(&app, 80, 24);
    let tabs = shown.lines().nth(1).expect("the tabs");
    for tab in Tab::ALL {
        let place = tabs.find(tab.title()).expect("its title") - 1;
        app.on_mouse(event(click, u16::try_from(place).expect("narrow"), 1));
        assert_eq!(app.tab, tab);
    }
    assert_eq!(app.on_mouse(event(click, 79, 5)), Action::None);
    press(&mut app, KeyCode::Char('2'));
    app.on_mouse(event(MouseEventKind::ScrollDown, 5, 5));
    assert_eq!(app.views[Focus::Paths as usize].selected, 3);
}

#[test]
fn ten_thousand_paths_are_drawn() {
    let mut many = fixture::snapshot(130);
    let path = many.paths[0].clone();
    many.paths = (0..10_000_u32)
        .map(|number| {
            let mut path = path.clone();
            path.id.peer = std::net::Ipv4Addr::from(0x0a00_0000 + number).into();
            path
        })
        .collect();
    let mut app = app();
    app.on_snapshot(many);
    press(&mut app, KeyCode::Char('2'));
    press(&mut app, KeyCode::Char('s'));
    press(&mut app, KeyCode::End);
    let start = std::time::Instant::now();
    let shown = screen(&app, 120, 40);
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_secs(2), "one frame took {elapsed:?}");
    assert!(shown.contains("10.0.39.15") && shown.contains("of 10000"), "{shown}");
}

#[test]
fn the_help_scrolls_to_its_end_on_every_screen() {
    for height in [10, 24, 50] {
        let mut app = app();
        press(&mut app, KeyCode::Char('?'));
        assert!(screen(&app, 80, height).contains("q Esc Ctrl-C"));
        press(&mut app, KeyCode::End);
        assert!(screen(&app, 80, height).contains("in a chart: unknown"));
        // One key scrolls one line back, however far End scrolled.
        let end = app.help_top.get();
        press(&mut app, KeyCode::Up);
        assert_eq!(app.help_top.get(), end.saturating_sub(1));
    }
}
