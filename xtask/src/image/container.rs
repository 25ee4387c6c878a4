//! The image in a container, with exactly the security settings of the DaemonSet, on a node of a lab.

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

/// How long the exporter may take to answer: the verifier reads its programs first.
const BOUND: Duration = Duration::from_secs(60);

/// Starts the container as the base has it, and with the profile of our own; scrapes each.
///
/// # Errors
/// It does not start, does not answer, has other rights than it should, or does not end in time.
pub fn test(image: &Image) -> Result<()> {
    let name = crate::fleet::lab_name("image");
    let _lab = Lab::up(&name, Mode::VxlanCrossSubnet, &Options::quick())?;
    let root = image.root()?;
    for rendered in [deploy::with_component("components/seccomp")?, deploy::base()?] {
        shell::step("image", &format!("a container with the settings of {}", rendered.name));
        one(image, root.path(), &name, &rendered)
            .with_context(|| format!("the container with the settings of {}", rendered.name))?;
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
        let answer = http::ask(&node.netns, server, "/metrics", None).ok()?;
        (answer.status == 200).then_some(answer.body)
    })?;
    ensure!(metrics.contains("observer_build_info{"), "/metrics has no observer_build_info");
    let hooks: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("observer_hook_attached{")).collect();
    ensure!(!hooks.is_empty() && hooks.iter().all(|line| line.ends_with(" 1")), "hooks: {hooks:?}");
    let ready = http::ask(&node.netns, server, "/readyz", None)?;
    ensure!(ready.status == 200, "/readyz answers {}: {}", ready.status, ready.body);
    rights(&container.status()?)?;
    let grace =
        exporter["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().context("no grace")?;
    container.end(Duration::from_secs(grace))
}

/// What the kernel says of the process that runs in the container.
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
        ensure!(bits & !(NET_ADMIN | PERFMON | BPF) == 0, "{set} is {bits:#x}, more than it should be");
    }
    ensure!(field("NoNewPrivs")? == "1", "it can gain privileges");
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
        // crun stops at the mixture of both versions of cgroups that some hosts have. Without limits it
        // needs neither: in a mount namespace of its own the second one is out of the way.
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
                bail!("it ended with {status}: {}", self.said());
            }
            if start.elapsed() > BOUND {
                bail!("no answer within {} s: {}", BOUND.as_secs(), self.said());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default().trim().to_owned()
    }

    fn pid(&self) -> Result<u64> {
        let state = shell::output(Command::new("crun").args(["state", &self.name]))?;
        let state: Value = serde_json::from_str(&state)?;
        state["pid"].as_u64().filter(|pid| *pid != 0).context("crun knows no process")
    }

    fn status(&self) -> Result<String> {
        Ok(fs::read_to_string(format!("/proc/{}/status", self.pid()?))?)
    }

    /// Asks it to end, as the kubelet does; it must do so by itself and with exit code 0.
    fn end(&mut self, grace: Duration) -> Result<()> {
        shell::output(Command::new("crun").args(["kill", &self.name, "TERM"]))?;
        let start = Instant::now();
        while start.elapsed() < grace {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "asked to end, it ended with {status}: {}", self.said());
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("it does not end within {} s: {}", grace.as_secs(), self.said())
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

/// A bpffs of its own, so that nothing of the machine's is touched.
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
            eprintln!("warning: {} stays mounted: {error:#}", self.0.display());
        }
    }
}
