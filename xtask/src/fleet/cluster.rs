//! `observer cluster` with Prometheus: with and without TLS and password, and during a mode switch.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::prometheus::Prometheus;
use super::wait_for;
use crate::shell;
use observer_lab::{Topology, netns};

/// The password `lab` as a bcrypt hash with the lowest cost, for Prometheus.
const HASH: &str = "$2b$04$6CEZ5YNiW0jvrO.vHB6LF.f3Qmt.KbvYVEquXAf6yLChJ9MF48OAW";
/// A port in the router's namespace.
const GUARDED: u16 = 9443;

/// Checks what it reports about the lab.
///
/// # Errors
/// The report is wrong.
pub fn check(observer: &Path, topology: &Topology, prometheus: &Prometheus, scratch: &Path) -> Result<()> {
    let url = format!("http://{}", prometheus.address());
    let table = run(observer, topology, &["--prometheus", &url, "--window", "15", "--to", "native"])?;
    println!("{table}");
    whole(&ask(observer, topology, &["--prometheus", &url, "--window", "15"])?)?;
    let refused = run(observer, topology, &["--prometheus", &url, "--selector", "node=}"]);
    let error = format!("{:#}", refused.err().context("an invalid selector was accepted")?);
    ensure!(error.contains("parse error"), "the error of an invalid selector is: {error}");
    guarded(observer, topology, scratch)
}

/// Checks the JSON of three nodes in mode vxlan-crosssubnet.
fn whole(fleet: &Value) -> Result<()> {
    let nodes = fleet["nodes"].as_array().context("no nodes")?;
    ensure!(nodes.len() == 3, "{} nodes", nodes.len());
    for node in nodes {
        ensure!(node["answering"] == true, "{node}");
        // Traffic across subnets is between node-a and node-c, so node-b has no overhead.
        let ratio = node["traffic"]["overhead_ratio"].as_f64().context("the overhead is unknown")?;
        ensure!((ratio > 0.0) == (node["name"] != "node-b") && ratio < 0.2, "{node}");
        // node-c is alone in its subnet, where Always and CrossSubnet are the same.
        let mode = if node["name"] == "node-c" { "vxlan" } else { "vxlan-crosssubnet" };
        ensure!(node["modes"]["ipv4"] == mode && node["modes"]["ipv6"] == mode, "{node}");
    }
    let pairs = fleet["pairs"].as_array().context("no pairs")?;
    let named = |from: &str, to: &str| pairs.iter().any(|pair| pair["from"] == from && pair["to"] == to);
    ensure!(named("node-a", "node-c") && named("node-c", "node-a"), "pairs: {pairs:?}");
    ensure!(fleet["notes"] == Value::Array(Vec::new()), "notes: {}", fleet["notes"]);
    Ok(())
}

/// Tracks a switch to native routes.
///
/// # Errors
/// The progress is wrong.
pub fn follow(
    observer: &Path,
    topology: &Topology,
    prometheus: &Prometheus,
    switch: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let url = format!("http://{}", prometheus.address());
    let arguments = ["--prometheus", &url, "--to", "native", "--window", "15"];
    let before = ask(observer, topology, &arguments)?["progress"].clone();
    ensure!(before["nodes_done"] == 0 && before["nodes"] == 3, "before: {before}");
    switch()?;
    wait_for("the switch is done on all nodes", || {
        let after = ask(observer, topology, &arguments)?["progress"].clone();
        ensure!(after["nodes_done"] == 3 && after["blocks_done"] == after["blocks"], "now: {after}");
        ensure!(after["remaining_nodes"] == Value::Array(Vec::new()), "left: {after}");
        Ok(true)
    })
}

/// With TLS and password; without them it must be refused.
fn guarded(observer: &Path, topology: &Topology, scratch: &Path) -> Result<()> {
    let tls = certificates(scratch)?;
    let _prometheus = Prometheus::guarded(topology, scratch, GUARDED, &tls.web)?;
    let url = format!("https://127.0.0.1:{GUARDED}");
    let (authority, password) = (tls.authority.display().to_string(), tls.password.display().to_string());
    let login = ["--user", "lab", "--password-file", &password];
    let arguments: Vec<&str> =
        ["--prometheus", &url, "--ca-file", &authority].into_iter().chain(login).collect();
    wait_for("an answer through TLS", || {
        let fleet = ask(observer, topology, &arguments)?;
        Ok(fleet["nodes"].as_array().is_some_and(|nodes| nodes.len() == 3))
    })?;
    let refuses = |arguments: &[&str], words: &str| -> Result<()> {
        let refused = run(observer, topology, arguments);
        let error = format!("{:#}", refused.err().context("it was not refused")?);
        ensure!(error.contains(words), "the error is: {error}");
        Ok(())
    };
    refuses(&["--prometheus", &url, "--ca-file", &authority], "give --user with --password-file")?;
    let unknown: Vec<&str> = ["--prometheus", &url].into_iter().chain(login).collect();
    refuses(&unknown, "--ca-file")
}

struct Tls {
    authority: PathBuf,
    password: PathBuf,
    web: PathBuf,
}

/// A certificate authority, a certificate, and a web configuration for Prometheus.
fn certificates(scratch: &Path) -> Result<Tls> {
    let folder = scratch.join("tls");
    fs::create_dir_all(&folder)?;
    let at = |name: &str| folder.join(name).display().to_string();
    let openssl = |words: &str| -> Result<()> {
        let arguments = words.split_whitespace().map(|word| match word.strip_prefix('@') {
            Some(name) => at(name),
            None => word.to_owned(),
        });
        shell::output(Command::new("openssl").args(arguments)).map(drop)
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {key} -days 2 -subj /CN=authority -keyout @ca.key -out @ca.pem"))?;
    openssl(&format!("req -new {key} -subj /CN=prometheus -keyout @web.key -out @web.csr"))?;
    fs::write(at("extensions"), "subjectAltName=IP:127.0.0.1\n")?;
    openssl(
        "x509 -req -days 2 -in @web.csr -CA @ca.pem -CAkey @ca.key -CAcreateserial -extfile @extensions -out @web.pem",
    )?;
    fs::write(at("password"), "lab\n")?;
    let web = format!(
        "tls_server_config: {{cert_file: {}, key_file: {}}}\nbasic_auth_users: {{lab: '{HASH}'}}\n",
        at("web.pem"),
        at("web.key")
    );
    fs::write(at("web.yaml"), web)?;
    Ok(Tls { authority: at("ca.pem").into(), password: at("password").into(), web: at("web.yaml").into() })
}

fn ask(observer: &Path, topology: &Topology, arguments: &[&str]) -> Result<Value> {
    let text = run(observer, topology, &[arguments, &["--format", "json"]].concat())?;
    serde_json::from_str(&text).context("`observer cluster` printed no JSON")
}

/// Runs `observer cluster` in the namespace of Prometheus.
fn run(observer: &Path, topology: &Topology, arguments: &[&str]) -> Result<String> {
    shell::output(
        Command::new("nsenter")
            .arg(format!("--net={}", netns::path(&topology.router).display()))
            .arg(observer)
            .arg("cluster")
            .args(arguments),
    )
}
