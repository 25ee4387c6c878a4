//! The image in a container on a lab node, with the security settings of the DaemonSet.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::Image;
use super::bundle::{self, RootPath};
use crate::deploy::{self, Rendered};
use crate::{http, shell};
use observer_lab::{Lab, Mode, Options, Topology, netns};

/// Time limit for the first response, which includes loading the programs.
const BOUND: Duration = Duration::from_secs(60);

/// Starts container with the settings of the base and with the project's seccomp profile, and scrapes each.
///
/// # Errors
/// It does not start or respond, has the wrong privileges, or does not end in time.
pub fn test(image: &Image) -> Result<()> {
    let name = crate::fleet::lab_name("image");
    let _lab = Lab::up(&name, Mode::VxlanCrossSubnet, &Options::quick())?;
    let root = image.root()?;
    for rendered in [deploy::with_component("components/seccomp")?, deploy::base()?] {
        shell::step("image", &format!("container with the settings of {}", rendered.name));
        one(image, root.path(), &name, &rendered)
            .with_context(|| format!("container with the settings of {}", rendered.name))?;
    }
    Ok(())
}

fn one(image: &Image, root: &Path, lab: &str, rendered: &Rendered) -> Result<()> {
    let topology = Topology::new(lab);
    let node = &topology.nodes[0];
    let bpffs = Bpffs::mount(&image.folder.join("bpffs"))?;
    let exporter = rendered.one("DaemonSet")?;
    let config = bundle::config(
        exporter,
        &RootPath { root, netns: &netns::path(&node.netns), address: node.address.into(), bpffs: &bpffs.0 },
    )?;
    let bundle = image.folder.join("bundle");
    fs::create_dir_all(&bundle)?;
    fs::write(bundle.join("config.json"), config.to_string())?;
    let server = SocketAddr::new(node.address.into(), 9475);
    let mut container = Container::start(&bundle, &format!("{lab}-{}", std::process::id()))?;
    let metrics = container.wait_for(|| {
        let answer = http::request(&node.netns, server, "/metrics", None).ok()?;
        (answer.status == 200).then_some(answer.body)
    })?;
    ensure!(metrics.contains("observer_build_info{"), "/metrics has no observer_build_info");
    let hooks: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("observer_hook_attached{")).collect();
    ensure!(!hooks.is_empty() && hooks.iter().all(|line| line.ends_with(" 1")), "hooks: {hooks:?}");
    let ready = http::request(&node.netns, server, "/readyz", None)?;
    ensure!(ready.status == 200, "/readyz returned {}: {}", ready.status, ready.body);
    rights(&container.status()?)?;
    let grace =
        exporter["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().context("no grace")?;
    container.end(Duration::from_secs(grace))
}

/// Checks the privileges of the process in the container.
fn rights(status: &str) -> Result<()> {
    const NET_ADMIN: u64 = 1 << 12;
    const PERFMON: u64 = 1 << 38;
    const BPF: u64 = 1 << 39;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"))
            .with_context(|| format!("no {name}"))
    };
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let bits = u64::from_str_radix(field(set)?, 16)?;
        ensure!(bits & !(NET_ADMIN | PERFMON | BPF) == 0, "{set} is {bits:#x}, which is too much");
    }
    ensure!(field("NoNewPrivs")? == "1", "NoNewPrivs is not set");
    ensure!(field("Seccomp")? == "2", "no seccomp filter");
    Ok(())
}

/// A container of crun.
struct Container {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Container {
    fn start(bundle: &Path, name: &str) -> Result<Self> {
        let log = bundle.join("log");
        let out = File::create(&log)?;
        // crun fails on hosts that mix both versions of cgroups. Without limits it needs neither, so version 2 is
        // unmounted in a private mount namespace.
        let script = "umount /sys/fs/cgroup/unified 2>/dev/null; \
                      exec crun --cgroup-manager=disabled run --bundle \"$1\" \"$2\"";
        let child = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh"])
            .arg(bundle)
            .arg(name)
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("cannot start crun")?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    fn wait_for<T>(&mut self, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(value) = condition() {
                return Ok(value);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}: {}", self.log());
            }
            if start.elapsed() > BOUND {
                bail!("no response within {} s: {}", BOUND.as_secs(), self.log());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default().trim().to_owned()
    }

    fn pid(&self) -> Result<u64> {
        let state = shell::output(Command::new("crun").args(["state", &self.name]))?;
        let state: Value = serde_json::from_str(&state)?;
        state["pid"].as_u64().filter(|pid| *pid != 0).context("crun reports no process")
    }

    fn status(&self) -> Result<String> {
        Ok(fs::read_to_string(format!("/proc/{}/status", self.pid()?))?)
    }

    /// Stops it with SIGTERM like the kubelet; it must end with exit code 0 without being killed.
    fn end(&mut self, grace: Duration) -> Result<()> {
        shell::output(Command::new("crun").args(["kill", &self.name, "TERM"]))?;
        let start = Instant::now();
        while start.elapsed() < grace {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "it ended with {status} after SIGTERM: {}", self.log());
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("it does not end within {} s: {}", grace.as_secs(), self.log())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = Command::new("crun").args(["delete", "--force", &self.name]).output();
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A private bpffs, so that the machine's is not used.
struct Bpffs(PathBuf);

impl Bpffs {
    fn mount(path: &Path) -> Result<Self> {
        fs::create_dir_all(path)?;
        shell::output(Command::new("mount").args(["-t", "bpf", "bpf"]).arg(path))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        if let Err(error) = shell::output(Command::new("umount").arg(&self.0)) {
            eprintln!("warning: {} is still mounted: {error:#}", self.0.display());
        }
    }
}
