//! Bad input: one sentence that names operation, object, cause and remedy, exit code 2, nothing left.

use std::process::{Command, Output};

use crate::lab::Lab;

fn observer(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_observer"));
    command.args(arguments);
    command
}

/// Runs it, and returns its one line on standard error.
fn refused(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("observer starts");
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(2), "{command:?}: {said}");
    assert!(stdout.is_empty(), "{command:?} wrote {}", String::from_utf8_lossy(&stdout));
    assert_eq!(said.trim_end().lines().count(), 1, "{command:?} says more than a sentence: {said}");
    said
}

#[test]
fn an_unknown_device_is_named_with_those_that_exist() {
    let lab = Lab::up("bgp", &[]);
    let said = refused(&mut lab.command("node-a", &[env!("CARGO_BIN_EXE_observer"), "stat", "ethO"]));
    assert!(said.contains("ethO") && said.contains("eth0"), "{said}");
}

#[test]
fn a_missing_capability_is_named() {
    let lab = Lab::up("bgp", &[]);
    let bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534", "--clear-groups"];
    // The target directory may be closed to that user: the program is copied to where it is not.
    let folder =
        tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).tempdir();
    let folder = folder.expect("a folder");
    let copy = folder.path().join("observer");
    std::fs::copy(env!("CARGO_BIN_EXE_observer"), &copy).expect("copy");
    let said =
        refused(&mut lab.command("node-a", &[&bare[..], &[copy.to_str().expect("UTF-8"), "stat"]].concat()));
    assert!(said.contains("CAP_BPF") && said.contains("CAP_NET_ADMIN"), "{said}");
}

#[test]
fn configuration_files_that_cannot_be_used_are_named() {
    let said = refused(&mut observer(&["--config", "/nonexistent.toml", "stat"]));
    assert!(said.contains("/nonexistent.toml") && said.contains("No such file"), "{said}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "workloads = true\nmax-path = 5\n").expect("write");
    let said = refused(observer(&["stat", "--config"]).arg(file.path()));
    assert!(said.contains("line 2") && said.contains("max-path"), "{said}");
}

#[test]
fn a_namespace_without_devices_is_explained() {
    let said = refused(Command::new("unshare").args(["--net", env!("CARGO_BIN_EXE_observer"), "stat"]));
    assert!(said.contains("no underlay or tunnel device"), "{said}");
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let said = refused(&mut observer(&["stat", "--output", "/nonexistent/file"]));
    assert!(said.contains("/nonexistent/file"), "{said}");
}
