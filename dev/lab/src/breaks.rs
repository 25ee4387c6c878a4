//! `cargo xtask lab break`: misconfigurations, each of which causes one finding of `observer doctor`.

use std::fs;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::damage::{self, Broken, Lab};
use super::topology::{Mode, TUNL, Topology, UNDERLAY, VXLAN};
use super::{resources, state};

/// A misconfiguration.
struct Break {
    name: &'static str,
    what: &'static str,
    /// The expected finding.
    finds: &'static str,
    /// The modes to which it applies.
    modes: &'static [Mode],
    apply: fn(&Lab<'_>) -> Broken,
}

const ALL: &[Mode] =
    &[Mode::IpipAlways, Mode::IpipCrossSubnet, Mode::VxlanAlways, Mode::VxlanCrossSubnet, Mode::Bgp];
const TUNNELS: &[Mode] =
    &[Mode::IpipAlways, Mode::IpipCrossSubnet, Mode::VxlanAlways, Mode::VxlanCrossSubnet];
const VXLANS: &[Mode] = &[Mode::VxlanAlways, Mode::VxlanCrossSubnet];
const IPIPS: &[Mode] = &[Mode::IpipAlways, Mode::IpipCrossSubnet];
const CROSS: &[Mode] = &[Mode::IpipCrossSubnet, Mode::VxlanCrossSubnet];
const ALWAYS: &[Mode] = &[Mode::IpipAlways, Mode::VxlanAlways];

/// All of them. Only a new lab undoes the last ones.
const BREAKS: &[Break] = &[
    Break {
        name: "tunnel-mtu-high",
        what: "tunnel MTU too high for the underlay",
        finds: "tunnel-mtu-high",
        modes: TUNNELS,
        apply: |lab| lab.tunnel_mtu(1490),
    },
    Break {
        name: "tunnel-mtu-low",
        what: "tunnel MTU lower than necessary",
        finds: "tunnel-mtu-low",
        modes: TUNNELS,
        apply: |lab| lab.tunnel_mtu(1400),
    },
    Break {
        name: "underlay-mtu",
        what: "underlay MTU lowered without lowering the tunnel MTU",
        finds: "tunnel-mtu-high",
        modes: TUNNELS,
        apply: |lab| {
            let set = |mtu| vec![format!("link set {UNDERLAY} mtu {mtu}")];
            Broken::by(&lab.a().netns, set(1400), set(lab.state.underlay_mtu))
        },
    },
    Break {
        name: "pod-old-mtu",
        what: "pod that is older than the tunnel and keeps MTU 1500",
        finds: "pod-mtu-high",
        modes: TUNNELS,
        apply: |lab| lab.pod_mtu(1500),
    },
    Break {
        name: "pod-mtu-low",
        what: "pod that keeps the MTU of a removed tunnel",
        finds: "pod-mtu-low",
        modes: ALL,
        apply: |lab| lab.pod_mtu(1400),
    },
    Break {
        name: "route-mtu",
        what: "route with a low MTU",
        finds: "route-mtu",
        modes: ALL,
        apply: |lab| {
            let route = lab.route("node-a", "node-c");
            let wrong = vec![format!("route replace {route} mtu 1300")];
            Broken::by(&lab.a().netns, wrong, vec![format!("route replace {route}")])
        },
    },
    Break {
        name: "felix-mtu-file",
        what: "Felix's MTU file differs from the pods' MTU",
        finds: "felix-mtu-file",
        modes: ALL,
        apply: |lab| Broken { mtu_file: Some(lab.state.pod_mtu - 20), ..Broken::default() },
    },
    Break {
        name: "declared-mode",
        what: "IP pools declare another mode",
        finds: "declared-mode",
        modes: TUNNELS,
        apply: |_| Broken { declares: Some(Mode::Bgp), ..Broken::default() },
    },
    Break {
        name: "stale-route",
        what: "route to a tunnel endpoint that no longer exists",
        finds: "stale-route",
        modes: VXLANS,
        apply: |lab| lab.extra_route(format!("10.244.99.0/26 via 10.244.99.0 dev {VXLAN} onlink")),
    },
    Break {
        name: "gone-node",
        what: "route to a node that Calico does not list",
        finds: "stale-route",
        modes: IPIPS,
        apply: |lab| Broken {
            declares: Some(lab.state.mode),
            ..lab.extra_route(format!("10.244.99.0/26 via 10.10.2.99 dev {TUNL} proto 12 onlink"))
        },
    },
    Break {
        name: "block-without-route",
        what: "no route to the block of another node",
        finds: "block-without-route",
        modes: ALL,
        apply: |lab| {
            let route = lab.route("node-a", "node-b");
            let wrong = vec![format!("route delete {}", route.prefix)];
            let broken = Broken::by(&lab.a().netns, wrong, vec![format!("route replace {route}")]);
            // VXLAN endpoints reveal the missing block; without them Calico's blocks are needed.
            Broken { declares: (!lab.state.mode.is_vxlan()).then_some(lab.state.mode), ..broken }
        },
    },
    Break {
        name: "blackhole",
        what: "blackhole route for the block of another node",
        finds: "blackhole-remote",
        modes: ALL,
        apply: |lab| {
            let route = lab.route("node-a", "node-c");
            let wrong = vec![
                format!("route delete {}", route.prefix),
                format!("route replace blackhole {} proto 80", route.prefix),
            ];
            let right =
                vec![format!("route delete blackhole {}", route.prefix), format!("route replace {route}")];
            let broken = Broken::by(&lab.a().netns, wrong, right);
            Broken { declares: (!lab.state.mode.is_vxlan()).then_some(lab.state.mode), ..broken }
        },
    },
    Break {
        name: "same-subnet-tunnelled",
        what: "traffic within the subnet is encapsulated in CrossSubnet mode",
        finds: "same-subnet-tunnelled",
        modes: CROSS,
        apply: |lab| {
            let (route, b) = (lab.route("node-a", "node-b"), lab.node("node-b"));
            let via = match lab.state.mode.is_vxlan() {
                true => format!("{} dev {VXLAN} onlink", b.vtep),
                false => format!("{} dev {TUNL} proto 12 onlink", b.address),
            };
            let wrong = vec![format!("route replace {} via {via}", route.prefix)];
            let broken = Broken::by(&lab.a().netns, wrong, vec![format!("route replace {route}")]);
            Broken { declares: Some(lab.state.mode), ..broken }
        },
    },
    Break {
        name: "half-switched",
        what: "mode switch that reached only the other node",
        finds: "asymmetric",
        modes: ALWAYS,
        apply: |lab| {
            let (route, b) = (lab.route("node-b", "node-a"), lab.node("node-b"));
            let native = format!("{} via {} dev {UNDERLAY} proto 80 onlink", route.prefix, lab.a().address);
            let wrong = vec![format!("route replace {native}")];
            let broken = Broken::by(&b.netns, wrong, vec![format!("route replace {route}")]);
            broken.with(&["traffic", "once", "--kind", "rr", "--from", "a1", "--to", "b1", "--count", "20"])
        },
    },
    Break {
        name: "no-answer",
        what: "blackhole route at the other node drops the answers",
        finds: "no-answer",
        modes: ALWAYS,
        apply: |lab| {
            let (route, c) = (lab.route("node-c", "node-a"), lab.node("node-c"));
            let wrong = vec![
                format!("route delete {}", route.prefix),
                format!("route replace blackhole {}", route.prefix),
            ];
            let right =
                vec![format!("route delete blackhole {}", route.prefix), format!("route replace {route}")];
            let broken = Broken::by(&c.netns, wrong, right);
            broken.with(&["traffic", "once", "--kind", "udp", "--from", "a1", "--to", "c1", "--count", "300"])
        },
    },
    Break {
        name: "path-mtu",
        what: "router with a lower MTU than the nodes",
        finds: "path-mtu",
        modes: &[Mode::Bgp],
        apply: |lab| {
            let set = |mtu| vec![format!("link set c mtu {mtu}")];
            Broken::by(&lab.topology.router, set(1400), set(lab.state.underlay_mtu))
                // The pod's kernel caches the path MTU.
                .with(&["exec", "pod-a1", "--", "ip", "route", "flush", "cache"])
                .with(&[
                    "traffic",
                    "once",
                    "--kind",
                    "udp",
                    "--from",
                    "a1",
                    "--to",
                    "c1",
                    "--size",
                    "1472",
                    "--count",
                    "5",
                    "--dont-fragment",
                ])
        },
    },
    Break {
        name: "unknown-vni",
        what: "another overlay network on the same UDP port",
        finds: "unknown-vni",
        modes: VXLANS,
        apply: |lab| {
            let c = lab.node("node-c");
            let add = format!(
                "link add foreign address 66:0b:99:00:00:01 type vxlan id 99 local {} remote {} dev {UNDERLAY} \
                 dstport 4789",
                c.address,
                lab.a().address
            );
            let wrong = vec![
                add,
                "address add 192.0.2.1/30 dev foreign".to_owned(),
                "link set foreign up".to_owned(),
                "neighbour replace 192.0.2.2 lladdr 66:0b:99:00:00:02 dev foreign nud permanent".to_owned(),
            ];
            Broken::by(&c.netns, wrong, vec!["link delete foreign".to_owned()]).with(&[
                "exec",
                "node-c",
                "--",
                "ping",
                "-c",
                "3",
                "-W",
                "1",
                "192.0.2.2",
            ])
        },
    },
    Break {
        name: "bond",
        what: "underlay device whose name Felix does not recognise",
        finds: "felix-mtu-detection",
        modes: &[Mode::VxlanAlways],
        apply: |lab| {
            let a = lab.a();
            let wrong = vec![
                format!("link set {UNDERLAY} down"),
                format!("link set {UNDERLAY} name bond0"),
                "link set bond0 up".to_owned(),
                format!("address replace {}/{} dev bond0 nodad", a.address6, a.prefix_len6),
                format!("route replace default via {}", a.gateway),
                format!("route replace default via {} dev bond0", a.gateway6),
            ];
            Broken { commands: vec![(a.netns.clone(), wrong)], recreate: true, ..Broken::default() }
        },
    },
    Break {
        name: "tunnel-down",
        what: "the tunnel device is down",
        finds: "tunnel-down",
        modes: TUNNELS,
        apply: |lab| {
            let down = vec![format!("link set {} down", lab.tunnel())];
            Broken { commands: vec![(lab.a().netns.clone(), down)], recreate: true, ..Broken::default() }
        },
    },
];

/// The list that `lab break` prints: name, effect, expected finding and modes, one a line.
pub fn list() -> String {
    let line = |one: &Break| {
        let modes: Vec<String> = one.modes.iter().map(ToString::to_string).collect();
        format!("{:22} {} → {} ({})\n", one.name, one.what, one.finds, modes.join(" "))
    };
    BREAKS.iter().map(line).collect()
}

/// The names of the misconfigurations that a mode can have.
pub fn of_mode(mode: Mode) -> impl Iterator<Item = &'static str> {
    BREAKS.iter().filter(move |one| one.modes.contains(&mode)).map(|one| one.name)
}

/// Breaks a lab, and reports the expected finding and how to run `observer doctor`.
///
/// # Errors
/// The lab is not up, is broken already, or its mode cannot be broken in that way.
pub fn apply(name: &str, what: &str) -> Result<Value> {
    let Some(found) = BREAKS.iter().find(|one| one.name == what) else {
        bail!("unknown misconfiguration {what}; `lab break` lists them");
    };
    let Some(state) = state::read(name)?.filter(|state| state.ready) else {
        bail!("the lab {name} is not up; run `cargo xtask lab up --fresh-pods --mode MODE`");
    };
    if !found.modes.contains(&state.mode) {
        bail!("{what} does not apply to mode {}", state.mode);
    }
    damage::refuse_broken(name)?;
    let topology = Topology::new(name);
    let broken = (found.apply)(&Lab { topology: &topology, state: &state });
    damage::apply(name, &broken, false)?;
    let mut doctor: Vec<String> = Vec::new();
    let mtu_file = state::folder(name).join("mtu");
    let mtu = broken.mtu_file.unwrap_or(state.pod_mtu);
    fs::write(&mtu_file, format!("{mtu}\n"))
        .with_context(|| format!("cannot write {}", mtu_file.display()))?;
    // If Felix does not recognise the device, its file has another MTU too.
    if found.finds != "felix-mtu-detection" {
        doctor.extend(["--mtu-file".to_owned(), mtu_file.display().to_string()]);
    }
    if let Some(mode) = broken.declares {
        let file = state::folder(name).join("resources.yaml");
        fs::write(&file, resources::yaml(&topology, mode))
            .with_context(|| format!("cannot write {}", file.display()))?;
        doctor.extend(["--resources".to_owned(), file.display().to_string()]);
    }
    if broken.traffic.is_empty() {
        doctor.push("--no-measurement".to_owned());
    }
    Ok(json!({
        "schema": "observer-lab-break/1",
        "break": found.name,
        "place": "node-a",
        "finds": found.finds,
        "doctor": doctor,
        "traffic": broken.traffic,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::state::State;
    use super::*;

    #[test]
    fn misconfigurations_have_unique_names_and_can_be_undone() {
        let topology = Topology::new("x");
        for (nth, one) in BREAKS.iter().enumerate() {
            assert!(BREAKS[..nth].iter().all(|other| other.name != one.name), "{}", one.name);
            for mode in one.modes {
                let state = State {
                    ready: true,
                    mode: *mode,
                    ipip: None,
                    offloads: true,
                    underlay_mtu: 1500,
                    tunnel_mtu: None,
                    pod_mtu: mode.pod_mtu(),
                    fresh_pods: true,
                };
                let broken = (one.apply)(&Lab { topology: &topology, state: &state });
                let does =
                    !broken.commands.is_empty() || broken.mtu_file.is_some() || broken.declares.is_some();
                assert!(does, "{} has no effect", one.name);
                assert_eq!(
                    broken.commands.is_empty(),
                    broken.undo.is_empty() && !broken.recreate,
                    "{}",
                    one.name
                );
            }
        }
        assert!(BREAKS.len() >= 12);
    }
}
