//! A Prometheus in the lab's router, from which it reaches every node.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::exporters::PORT;
use super::wait_for;
use crate::{deploy, http};
use observer_lab::{Topology, netns};

/// Its port in the router's namespace.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// A running Prometheus, stopped on drop.
pub struct Prometheus {
    netns: String,
    folder: PathBuf,
    options: Vec<String>,
    listen: SocketAddr,
    child: Option<Child>,
}

/// An element of a vector.
#[derive(Debug)]
pub struct Sample {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Prometheus {
    /// Starts a Prometheus that scrapes all nodes every second and evaluates the rules of `deploy/`.
    pub fn start(topology: &Topology, scratch: &Path) -> Result<Self> {
        let folder = scratch.join("prometheus");
        fs::create_dir_all(&folder)?;
        let rules = deploy::folder().join("prometheus/observer.rules.yaml");
        fs::write(folder.join("prometheus.yaml"), configuration(topology, Some(&rules)))?;
        let mut prometheus = Self {
            netns: topology.router.clone(),
            folder,
            options: Vec::new(),
            listen: ADDRESS,
            child: None,
        };
        prometheus.begin()?;
        prometheus.wait()?;
        Ok(prometheus)
    }

    /// Starts a second Prometheus with a web configuration. Its readiness is not checked, because that needs a login.
    pub fn guarded(topology: &Topology, scratch: &Path, port: u16, web: &Path) -> Result<Self> {
        let folder = scratch.join("guarded");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("prometheus.yaml"), configuration(topology, None))?;
        let mut prometheus = Self {
            netns: topology.router.clone(),
            folder,
            options: vec![format!("--web.config.file={}", web.display())],
            listen: SocketAddr::new(ADDRESS.ip(), port),
            child: None,
        };
        prometheus.begin()?;
        Ok(prometheus)
    }

    /// Its address in the router's namespace.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Restarts it with the same data.
    pub fn restart(&mut self) -> Result<()> {
        self.end();
        self.begin()?;
        self.wait()
    }

    /// The result of an instant query.
    pub fn query(&self, promql: &str) -> Result<Vec<Sample>> {
        let answer = self.api("/api/v1/query", Some(&format!("query={}", http::encoded(promql))))?;
        let result = answer["data"]["result"].as_array().with_context(|| format!("no vector: {promql}"))?;
        let sample = |element: &Value| {
            let labels = element["metric"].as_object()?.iter();
            Some(Sample {
                labels: labels.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect(),
                value: element["value"][1].as_str()?.parse().ok()?,
            })
        };
        result.iter().map(|element| sample(element).context("invalid element")).collect()
    }

    /// A response of the API.
    pub fn api(&self, path: &str, form: Option<&str>) -> Result<Value> {
        let answer = http::request(&self.netns, self.listen, path, form)?;
        let value: Value = serde_json::from_str(&answer.body)
            .with_context(|| format!("{path} returned {} without JSON", answer.status))?;
        if value["status"] != "success" {
            bail!("{path} {}: {}", form.unwrap_or_default(), value["error"]);
        }
        Ok(value)
    }

    fn begin(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.folder.join("log"))?;
        let option = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
        let child = Command::new("nsenter")
            .arg(format!("--net={}", netns::path(&self.netns).display()))
            .arg("prometheus")
            .arg(option("config.file", &self.folder.join("prometheus.yaml").display()))
            .arg(option("storage.tsdb.path", &self.folder.join("data").display()))
            .arg(option("web.listen-address", &self.listen))
            .args(&self.options)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start prometheus")?;
        self.child = Some(child);
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        wait_for("Prometheus is ready", || {
            Ok(http::request(&self.netns, self.listen, "/-/ready", None)?.status == 200)
        })
        .with_context(|| fs::read_to_string(self.folder.join("log")).unwrap_or_default())
    }

    /// Stops it with SIGTERM, so that it writes its data.
    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SAFETY: the child has not been waited for: its number is still its own.
            unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
            let _ = child.wait();
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.end();
    }
}

fn configuration(topology: &Topology, rules: Option<&Path>) -> String {
    let mut text =
        String::from("global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n");
    if let Some(rules) = rules {
        let _ = writeln!(text, "rule_files: [{}]", rules.display());
    }
    text += "scrape_configs:\n  - job_name: observer\n    static_configs:\n";
    for node in &topology.nodes {
        let _ = writeln!(
            text,
            "      - {{targets: ['{}:{PORT}'], labels: {{node: {}, cluster: lab}}}}",
            node.address, node.name
        );
    }
    text
}
