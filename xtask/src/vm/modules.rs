//! The modules that the guest loads, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Modules for tests and the lab. A kernel without one of them is an error.
pub const MODULES: &[&str] = &[
    // Devices of a Calico node and of its underlay.
    "veth",
    "dummy",
    "bridge",
    "8021q",
    "bonding",
    "macvlan",
    "ifb",
    "tun",
    "vrf",
    // Tunnels.
    "ipip",
    "ip6_tunnel",
    "sit",
    "vxlan",
    "geneve",
    "ip_gre",
    "ip6_gre",
    "wireguard",
    // Traffic control.
    "sch_ingress",
    "cls_bpf",
    "act_bpf",
    "cls_matchall",
    "cls_u32",
    "act_mirred",
    "act_gact",
    "sch_netem",
    "sch_tbf",
    "sch_fq",
    "sch_prio",
    // `ss`.
    "inet_diag",
    "tcp_diag",
    "udp_diag",
];

/// Options as set by systemd and distributions: no default `dummy0`, `bond0` and `ifb0`.
pub fn options(file: &str) -> &'static str {
    match name_of(file).as_str() {
        "dummy" => " numdummies=0",
        "bonding" => " max_bonds=0",
        "ifb" => " numifbs=0",
        _ => "",
    }
}

/// The modules of a kernel, from depmod's files.
pub struct Index {
    /// Module name → its file, and the files of its dependencies in modprobe's reversed order.
    modules: BTreeMap<String, (String, Vec<String>)>,
    builtin: BTreeSet<String>,
}

impl Index {
    /// Reads depmod's files in `directory` (`…/lib/modules/RELEASE`).
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(directory: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = directory.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(Self::parse(&read("modules.dep")?, &read("modules.builtin")?))
    }

    /// Reads the text of `modules.dep` and of `modules.builtin`.
    pub fn parse(dep: &str, builtin: &str) -> Self {
        let modules = dep
            .lines()
            .filter_map(|line| {
                let (file, needs) = line.split_once(':')?;
                let needs = needs.split_whitespace().map(str::to_owned).collect();
                Some((name_of(file), (file.to_owned(), needs)))
            })
            .collect();
        Self { modules, builtin: builtin.lines().map(name_of).collect() }
    }

    /// The files to load for `wanted`, each once and after its dependencies.
    ///
    /// # Errors
    /// Modules that are neither files nor built in.
    pub fn load_order(&self, wanted: &[&str]) -> Result<Vec<String>> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        let mut missing = Vec::new();
        for name in wanted {
            let name = name.replace('-', "_");
            match self.modules.get(&name) {
                Some((file, needs)) => {
                    for file in needs.iter().rev().chain([file]) {
                        if seen.insert(file) {
                            order.push(file.clone());
                        }
                    }
                }
                None if self.builtin.contains(&name) => {}
                None => missing.push(name),
            }
        }
        if !missing.is_empty() {
            bail!("this kernel has no module {}, also not built in", missing.join(", "));
        }
        Ok(order)
    }
}

/// `kernel/net/ipv4/ip-tunnel.ko.xz` → `ip_tunnel`.
fn name_of(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or(name).replace('-', "_")
}

/// The module's bytes for insmod. A compressed module is unpacked once, next to the original.
///
/// # Errors
/// A file that cannot be read or unpacked.
pub fn contents(path: &Path) -> Result<Vec<u8>> {
    let unpacker = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(path).with_context(|| format!("cannot read {}", path.display())),
    };
    let plain: PathBuf = path.with_extension("");
    if let Ok(bytes) = fs::read(&plain) {
        return Ok(bytes);
    }
    let output = Command::new(unpacker)
        .arg("-dcq")
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {unpacker}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{unpacker} cannot unpack {}: {}", path.display(), said.trim());
    }
    // Renamed when complete, because a concurrent run may read it.
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    fs::write(&partial, &output.stdout)
        .and_then(|()| fs::rename(&partial, &plain))
        .with_context(|| format!("cannot write {}", plain.display()))?;
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/net/ipv4/tunnel4.ko.xz:
kernel/net/ipv4/ip_tunnel.ko.xz:
kernel/net/ipv4/ipip.ko.xz: kernel/net/ipv4/tunnel4.ko.xz kernel/net/ipv4/ip_tunnel.ko.xz
kernel/net/ipv6/sit.ko.xz: kernel/net/ipv4/tunnel4.ko.xz kernel/net/ipv4/ip_tunnel.ko.xz
kernel/drivers/net/a-b.ko: kernel/c.ko kernel/d.ko
kernel/c.ko: kernel/d.ko
kernel/d.ko:
";

    #[test]
    fn dependencies_are_loaded_first_and_once() {
        let index = Index::parse(DEP, "");
        let order = index.load_order(&["ipip", "sit", "tunnel4"]).expect("all there");
        let names: Vec<String> = order.iter().map(|file| name_of(file)).collect();
        assert_eq!(names, ["ip_tunnel", "tunnel4", "ipip", "sit"]);
    }

    #[test]
    fn last_dependency_is_loaded_first() {
        let order = Index::parse(DEP, "").load_order(&["a_b"]).expect("all there");
        assert_eq!(order, ["kernel/d.ko", "kernel/c.ko", "kernel/drivers/net/a-b.ko"]);
    }

    #[test]
    fn dashes_and_underscores_are_equal() {
        let index = Index::parse(DEP, "");
        assert_eq!(index.load_order(&["a-b"]).ok(), index.load_order(&["a_b"]).ok());
    }

    #[test]
    fn built_in_modules_are_accepted_and_missing_ones_reported() {
        let index = Index::parse(DEP, "kernel/net/packet/af_packet.ko\n");
        assert_eq!(index.load_order(&["af_packet"]).expect("built in"), Vec::<String>::new());
        let error = index.load_order(&["nope", "ipip", "neither"]).expect_err("two are missing");
        assert!(error.to_string().contains("nope, neither"), "{error}");
    }
}
