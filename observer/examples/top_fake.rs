//! `observer top` on a simulated node, without privileges. `--panic`: the source panics after two seconds;
//! `--panic-screen`: the screen panics; `--fail`: the source fails from time to time; `--cost`: include the cost of
//! encapsulation.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

extern crate observer;

use observer::view::tui::{self, Feed, Options, Screen as _};

#[path = "../src/view/fixture.rs"]
mod fixture;

fn main() -> Result<(), tui::TuiError> {
    let given = |flag: &str| std::env::args().any(|argument| argument == flag);
    let (panics, fails, with_cost) = (given("--panic"), given("--fail"), given("--cost"));
    if given("--panic-screen") {
        let mut session = tui::terminal::Session::enter(false)?;
        session.draw(&tui::App::new(Options::default()))?;
        thread::sleep(Duration::from_secs(1));
        panic!("requested by --panic-screen");
    }
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for second in 100.. {
            let feed = match second % 20 {
                12..15 if fails => Feed::Failed("reading maps failed on the kernel: no such file".to_owned()),
                _ if with_cost => Feed::Snapshot(Box::new(fixture::with_cost(second))),
                6..9 if fails => Feed::Snapshot(Box::new(fixture::lost(second, second / 20 * 20 + 5))),
                _ => Feed::Snapshot(Box::new(fixture::snapshot(second))),
            };
            assert!(!(panics && second == 120), "requested by --panic");
            if send.send(feed).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
    let options =
        Options { colour: std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()), ..Options::default() };
    let (requests, _requested) = std::sync::mpsc::channel();
    tui::run(&receive, &requests, options)
}
