//! Invalid input: one line with operation, object, cause and remedy, exit code 2, and nothing left behind.

use std::process::{Command, Output};

use crate::lab::Lab;

fn observer(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_observer"));
    command.args(arguments);
    command
}

/// Runs a command that must fail, and returns the line it prints on standard error.
fn refused(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("observer starts");
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(2), "{command:?}: {stderr}");
    assert!(stdout.is_empty(), "{command:?} wrote {}", String::from_utf8_lossy(&stdout));
    assert_eq!(stderr.trim_end().lines().count(), 1, "{command:?} printed more than one line: {stderr}");
    stderr
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn unknown_device_error_lists_existing_devices() {
    let lab = Lab::up("bgp", &[]);
    let stderr = refused(&mut lab.command("node-a", &[env!("CARGO_BIN_EXE_observer"), "stat", "ethO"]));
    assert!(stderr.contains("ethO") && stderr.contains("eth0"), "{stderr}");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn missing_capabilities_are_named() {
    let lab = Lab::up("bgp", &[]);
    let bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534", "--clear-groups"];
    // That user may not have access to the target directory, so copy the program.
    let folder =
        tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).tempdir();
    let folder = folder.expect("a folder");
    let copy = folder.path().join("observer");
    std::fs::copy(env!("CARGO_BIN_EXE_observer"), &copy).expect("copy");
    let stderr =
        refused(&mut lab.command("node-a", &[&bare[..], &[copy.to_str().expect("UTF-8"), "stat"]].concat()));
    assert!(stderr.contains("CAP_BPF") && stderr.contains("CAP_NET_ADMIN"), "{stderr}");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn unusable_configuration_files_are_named() {
    let stderr = refused(&mut observer(&["--config", "/nonexistent.toml", "stat"]));
    assert!(stderr.contains("/nonexistent.toml") && stderr.contains("No such file"), "{stderr}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "workloads = true\nmax-path = 5\n").expect("write");
    let stderr = refused(observer(&["stat", "--config"]).arg(file.path()));
    assert!(stderr.contains("line 2") && stderr.contains("max-path"), "{stderr}");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn namespace_without_devices_is_an_error() {
    let stderr = refused(Command::new("unshare").args(["--net", env!("CARGO_BIN_EXE_observer"), "stat"]));
    assert!(stderr.contains("no underlay or tunnel device"), "{stderr}");
}

#[test]
#[ignore = "needs root; cargo xtask test runs it"]
fn unwritable_output_file_is_named() {
    let stderr = refused(&mut observer(&["stat", "--output", "/nonexistent/file"]));
    assert!(stderr.contains("/nonexistent/file"), "{stderr}");
}
