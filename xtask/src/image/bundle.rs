//! The configuration of a container runtime, derived from the pod's manifest as by the kubelet.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::deploy;

/// The default profile that podman, CRI-O and others start from.
const DEFAULT_PROFILE: &str = "/usr/share/containers/seccomp.json";

/// The environment of a container.
pub struct RootPath<'a> {
    /// Its files.
    pub root: &'a Path,
    /// The network namespace of the node.
    pub netns: &'a Path,
    /// The node's address.
    pub address: IpAddr,
    /// A bpffs for the node.
    pub bpffs: &'a Path,
}

/// The configuration of the runtime (OCI) for the container of `object`.
///
/// # Errors
/// The manifest has a setting that is not supported here.
pub fn config(object: &Value, place: &RootPath) -> Result<Value> {
    let container = deploy::container(object)?;
    let security = &container["securityContext"];
    let capabilities = capabilities(security)?;
    let number = |name: &str| security[name].as_u64().with_context(|| format!("no {name}"));
    let mut arguments = vec!["/observer".to_owned()];
    for argument in container["args"].as_array().context("no arguments")? {
        let argument = argument.as_str().context("an argument is not text")?;
        arguments.push(argument.replace("$(HOST_IP)", &place.address.to_string()));
    }
    let namespaces = ["pid", "ipc", "uts", "mount"].map(|kind| json!({"type": kind}));
    let mut namespaces = namespaces.to_vec();
    namespaces.push(json!({"type": "network", "path": place.netns}));
    Ok(json!({
        "ociVersion": "1.0.2",
        "root": {"path": place.root, "readonly": security["readOnlyRootFilesystem"]},
        "process": {
            "user": {"uid": number("runAsUser")?, "gid": number("runAsGroup")?},
            "args": arguments,
            "cwd": "/",
            "env": [],
            "noNewPrivileges": security["allowPrivilegeEscalation"] == false,
            // The kubelet sets no ambient capabilities.
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
        },
        "mounts": mounts(container, place)?,
        "linux": {
            "namespaces": namespaces,
            "seccomp": seccomp(&security["seccompProfile"], &capabilities)?,
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }))
}

fn capabilities(security: &Value) -> Result<Vec<String>> {
    if security["capabilities"]["drop"] != json!(["ALL"]) {
        bail!("the manifest does not drop all capabilities");
    }
    let added = security["capabilities"]["add"].as_array().context("no capabilities")?;
    Ok(added.iter().filter_map(Value::as_str).map(|name| format!("CAP_{name}")).collect())
}

fn mounts(container: &Value, place: &RootPath) -> Result<Vec<Value>> {
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]}),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}),
    ];
    for mount in container["volumeMounts"].as_array().context("no mounts")? {
        let path = mount["mountPath"].as_str().context("a mount without a path")?;
        if path != "/sys/fs/bpf" || mount["mountPropagation"] != "None" {
            bail!("unsupported mount {mount}");
        }
        mounts.push(json!({"destination": path, "type": "bind", "source": place.bpffs, "options": ["rbind", "rprivate", "rw"]}));
    }
    Ok(mounts)
}

/// The seccomp profile for the container's capabilities.
fn seccomp(profile: &Value, capabilities: &[String]) -> Result<Value> {
    if profile["type"] == "Localhost" {
        let name = profile["localhostProfile"].as_str().context("no profile")?;
        return read(&deploy::folder().join("seccomp").join(name));
    }
    if profile["type"] != "RuntimeDefault" {
        bail!("unsupported seccomp profile {profile}");
    }
    let all = read(Path::new(DEFAULT_PROFILE))?;
    let mut rules = Vec::new();
    for rule in all["syscalls"].as_array().context("no system calls")? {
        if applies(rule, capabilities) {
            rules.push(json!({"names": rule["names"], "action": rule["action"], "args": rule["args"], "errnoRet": rule["errnoRet"]}));
        }
    }
    // containerd since 1.7 and Docker since 23 allow these for CAP_BPF and CAP_PERFMON. This older file denies them
    // without CAP_SYS_ADMIN.
    for (capability, call) in [("CAP_BPF", "bpf"), ("CAP_PERFMON", "perf_event_open")] {
        if capabilities.iter().any(|name| name == capability) {
            for rule in &mut rules {
                if let Some(names) = rule["names"].as_array_mut() {
                    names.retain(|name| name != call);
                }
            }
            rules.push(json!({"names": [call], "action": "SCMP_ACT_ALLOW"}));
        }
    }
    rules.retain(|rule| rule["names"].as_array().is_some_and(|names| !names.is_empty()));
    for rule in &mut rules {
        if let Some(rule) = rule.as_object_mut() {
            rule.retain(|_, value| !value.is_null());
        }
    }
    Ok(json!({
        "defaultAction": all["defaultAction"],
        "defaultErrnoRet": all["defaultErrnoRet"],
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": rules,
    }))
}

/// Whether a rule of the profile applies to a process with these capabilities.
fn applies(rule: &Value, capabilities: &[String]) -> bool {
    let listed = |which: &str, what: &str| -> Vec<String> {
        let list = rule[which][what].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let has = |name: &String| capabilities.contains(name);
    let arches = listed("includes", "arches");
    listed("includes", "caps").iter().all(has)
        && !listed("excludes", "caps").iter().any(has)
        && (arches.is_empty() || arches.iter().any(|arch| arch == "amd64"))
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}
