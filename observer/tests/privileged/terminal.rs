//! `observer top` in a real terminal (tmux) on a node of the lab: keys in, screens out, no programs left.

use std::path::PathBuf;
use std::process::Command;

use crate::lab::{self, Lab, output, wait_for};

/// Runs a command and writes its exit code to a file, because tmux sometimes loses it. The shell outlives its
/// terminal.
const RUN: &str = r#"trap : HUP; "$@"; echo $? > "$0""#;

/// A separate tmux server with one pane that runs a command.
struct Terminal {
    socket: PathBuf,
    /// The file with the command's exit code.
    code: PathBuf,
}

impl Terminal {
    fn start(command: &Command, width: u16, height: u16) -> Self {
        let socket = std::env::temp_dir().join(format!("observer-tmux-{}", std::process::id()));
        let code = socket.with_extension("code");
        drop(std::fs::remove_file(&code));
        let terminal = Self { socket, code };
        let (width, height) = (width.to_string(), height.to_string());
        let mut tmux = terminal.tmux(&["new-session", "-d", "-x", &width, "-y", &height]);
        // Keep the pane after the command ends, so that the screen can be read.
        tmux.args(["--", "sh", "-c", RUN]).arg(&terminal.code);
        tmux.arg(command.get_program()).args(command.get_args());
        output(tmux.args([";", "set-option", "-g", "remain-on-exit", "on"]));
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.args(["-u", "-f", "/dev/null", "-S"]).arg(&self.socket).args(arguments);
        tmux
    }

    fn press(&self, keys: &[&str]) {
        output(self.tmux(&["send-keys"]).args(keys));
    }

    fn screen(&self) -> String {
        output(&mut self.tmux(&["capture-pane", "-p"]))
    }

    /// Waits until each text is in a line of the screen, ignoring the amount of space between words.
    fn shows(&self, texts: &[&str]) {
        let mut last = String::new();
        let missing = |screen: &str| {
            let lines: Vec<String> =
                screen.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            texts.iter().any(|text| !lines.iter().any(|line| line.contains(text)))
        };
        let start = std::time::Instant::now();
        while start.elapsed() < lab::BOUND {
            last = self.screen();
            if !missing(&last) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{texts:?} did not all appear within {:?}; the screen:\n{last}", lab::BOUND);
    }

    /// Waits for the end of the command and returns its exit code.
    fn ended(&self) -> String {
        wait_for("the end of the command", || {
            let code = std::fs::read_to_string(&self.code).unwrap_or_default();
            code.strip_suffix('\n').map(str::to_owned)
        })
    }

    /// Closes the command's terminal.
    fn hang_up(&self) {
        output(&mut self.tmux(&["kill-server"]));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.tmux(&["kill-server"]).output());
        drop(std::fs::remove_file(&self.socket));
        drop(std::fs::remove_file(&self.code));
    }
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn every_screen_shows_the_traffic_and_no_program_remains() {
    if observer_testing::lacks("tmux") {
        return;
    }
    // The underlay's MTU is smaller than the tunnel assumes: each of these datagrams becomes two tunnel fragments.
    let lab = Lab::up("ipip-always", &["--underlay-mtu", "1460"]);
    assert_eq!(lab.hooks("node-a"), 0, "the lab begins without programs");
    let command = lab.command("node-a", &[env!("CARGO_BIN_EXE_observer"), "top", "--interval", "0.5"]);
    let terminal = Terminal::start(&command, 80, 24);
    terminal.shows(&["1 Overview", "eth0 underlay MTU 1460", "Traffic by device and encapsulation"]);
    assert_eq!(lab.hooks("node-a"), 2, "both directions of eth0");

    let sent = lab.traffic(&["--kind", "udp", "--size", "1440", "--from", "a2", "--to", "c1"]);
    assert_eq!(sent["sent"], 100, "{sent}");
    // Counts since the start are constant once everything is sent.
    terminal.press(&["t", "t"]);
    terminal.shows(&["since start", "eth0 egress ipip 200", "should be 1440 on 1460"]);
    terminal.press(&["2"]);
    terminal.shows(&["▸ Paths", "cross-subnet egress ipip"]);
    terminal.press(&["Enter"]);
    terminal.shows(&["on eth0", "Esc back", "fragments – 200", "largest packet, B"]);
    // Escape followed at once by a digit would be Alt and the digit.
    terminal.press(&["Escape"]);
    terminal.shows(&["▸ Paths"]);
    terminal.press(&["3"]);
    terminal.shows(&["▸ Fragments by device and encapsulation", "eth0 egress ipip 100 0 100"]);
    terminal.press(&["4"]);
    terminal.shows(&["Would exceed MTU 1460 over IPv4", "↑ ↓ to select"]);
    terminal.press(&["m"]);
    terminal.shows(&["Would exceed MTU 1500 over IPv4"]);
    terminal.press(&["5"]);
    terminal.shows(&["▸ Hooks", "eth0 underlay 1460", "path table", "Cost of Observer"]);
    terminal.press(&["p"]);
    terminal.shows(&["PAUSED"]);
    terminal.press(&["["]);
    terminal.shows(&["PAUSED −1"]);
    terminal.press(&["?"]);
    terminal.shows(&["Help", "q Esc Ctrl-C quit"]);
    terminal.press(&["End"]);
    terminal.shows(&["· in a chart: unknown"]);
    terminal.press(&["q"]);
    assert_eq!(terminal.ended(), "0", "{}", terminal.screen());
    assert_eq!(lab.hooks("node-a"), 0, "programs stay behind");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn top_exits_when_its_terminal_closes() {
    if observer_testing::lacks("tmux") {
        return;
    }
    let lab = Lab::up("ipip-always", &[]);
    let command = lab.command("node-a", &[env!("CARGO_BIN_EXE_observer"), "top", "--interval", "0.5"]);
    let terminal = Terminal::start(&command, 80, 24);
    terminal.shows(&["1 Overview", "Traffic by device and encapsulation"]);
    terminal.hang_up();
    // An error if it was drawing, otherwise not; but never a panic.
    assert!(["0", "2"].contains(&terminal.ended().as_str()));
    assert_eq!(lab.hooks("node-a"), 0, "programs stay behind");
}
