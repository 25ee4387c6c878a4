//! `observer export` on each node of the lab.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context as _, Result, bail};

use super::wait_for;
use crate::http;
use observer_lab::{Topology, netns};

/// Port of the exporters, each at the address of its node.
pub const PORT: u16 = 9475;

/// One exporter on each node.
pub struct Exporters {
    nodes: Vec<Exporter>,
}

struct Exporter {
    observer: PathBuf,
    netns: String,
    listen: SocketAddr,
    pins: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Exporters {
    /// Starts them and waits until all are ready.
    pub fn start(observer: &Path, topology: &Topology, scratch: &Path) -> Result<Self> {
        let nodes = topology.nodes.iter().map(|node| Exporter {
            observer: observer.to_owned(),
            netns: node.netns.clone(),
            listen: SocketAddr::new(node.address.into(), PORT),
            pins: scratch.join("bpf").join(&node.name),
            log: scratch.join(format!("{}.log", node.name)),
            child: None,
        });
        let mut exporters = Self { nodes: nodes.collect() };
        // All at once, because each needs a second or two to load its programs.
        exporters.nodes.iter_mut().try_for_each(Exporter::begin)?;
        exporters.nodes.iter_mut().try_for_each(Exporter::wait)?;
        Ok(exporters)
    }

    /// Kills the exporter on a node.
    pub fn kill(&mut self, index: usize) -> Result<()> {
        self.nodes.get_mut(index).context("no such node")?.kill();
        Ok(())
    }

    /// Restarts it.
    pub fn begin(&mut self, index: usize) -> Result<()> {
        let exporter = self.nodes.get_mut(index).context("no such node")?;
        exporter.begin()?;
        exporter.wait()
    }
}

impl Exporter {
    fn begin(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let child = Command::new("nsenter")
            .arg(format!("--net={}", netns::path(&self.netns).display()))
            .arg(&self.observer)
            .args([
                "export",
                "--cost",
                "--cost-rtt-at-hooks",
                "--cost-sample",
                "1",
                "--listen",
                &self.listen.to_string(),
                "--pin-path",
            ])
            .arg(&self.pins)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start the exporter")?;
        self.child = Some(child);
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        let (netns, listen, log) = (self.netns.clone(), self.listen, self.log.clone());
        let mut ended = None;
        let child = &mut self.child;
        wait_for("the exporter is ready", || {
            if let Some(status) = child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                ended = Some(status);
                return Ok(true);
            }
            Ok(http::request(&netns, listen, "/readyz", None)?.status == 200)
        })
        .with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        if let Some(status) = ended {
            bail!("the exporter in {netns} ended with {status}: {}", std::fs::read_to_string(&log)?);
        }
        Ok(())
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // `nsenter` executes the exporter in the same process.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.kill();
    }
}
