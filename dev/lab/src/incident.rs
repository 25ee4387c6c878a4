//! `cargo xtask lab incident`: faults in a lab, described by their symptoms, to diagnose with `observer top` and
//! `observer trace` (docs/incidents.md).

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::damage::{self, Broken, Lab};
use super::lifecycle::{self, Options};
use super::state;
use super::status::Format;
use super::topology::{Mode, Topology, UNDERLAY, VXLAN};
use super::traffic::{self, worker};

/// Options of `cargo xtask lab incident`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask lab incident               list the incidents
  cargo xtask lab incident mtu           create a lab with an incident
  cargo xtask lab incident --answer mtu  print the solution
  cargo xtask lab mend                   undo it; `lab down` removes the lab")]
pub struct Args {
    /// Name of the incident
    incident: Option<String>,
    /// Print the solution and change nothing
    #[arg(long, requires = "incident")]
    answer: bool,
    /// Duration of the traffic in seconds
    #[arg(long = "for", default_value_t = 900, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// MTU of a VXLAN device that leaves 10 instead of 50 bytes for the headers.
const TOO_HIGH: u32 = 1490;
/// MTU of a link behind the router, which no node can see.
const NARROW: u32 = 1400;
/// Payload of a datagram that fits the wrong tunnel MTU but not the right one: 1478 bytes with headers.
const DATAGRAM: usize = 1450;
/// Offset of the last fragment of such a packet in VXLAN, in the header's units of 8 bytes.
const OFFSET: usize = 1480 / 8;
/// Reassembly timeout (`ipfrag_time`) in seconds during the incident, and Linux's default.
const PATIENCE: [u32; 2] = [3, 30];

/// An incident.
struct Incident {
    name: &'static str,
    mode: Mode,
    /// What users observe.
    symptom: &'static str,
    /// The node to inspect.
    place: &'static str,
    /// Commands to inspect it with.
    look: &'static [&'static str],
    /// The solution.
    answer: Answer,
    apply: fn(&Lab<'_>) -> Broken,
    traffic: fn(u64) -> worker::Args,
}

/// What to find.
struct Answer {
    /// The device of `place` on which the fault is visible.
    device: &'static str,
    /// The node at the other end.
    peer: &'static str,
    /// The wrong value, in bytes.
    mtu: u32,
    /// The explanation.
    words: &'static str,
}

const INCIDENTS: &[Incident] = &[
    Incident {
        name: "mtu",
        mode: Mode::VxlanAlways,
        symptom: "Since yesterday's change, pods on node-a still reach those on node-c, but large datagrams are \
                  lost under load, and both nodes use more CPU for the same traffic.",
        place: "node-a",
        look: &["observer top", "observer trace --why fragment,would-fragment"],
        answer: Answer {
            device: VXLAN,
            peer: "node-c",
            mtu: TOO_HIGH,
            words: "vxlan.calico of node-a has an MTU of 1490, 40 more than an underlay MTU of 1500 allows, so \
                    larger packets are fragmented on eth0. It must be 1450.",
        },
        apply: |lab| lab.wide_tunnel(),
        traffic: |seconds| worker::Args::between("a1", "c1", seconds, 5, 50, DATAGRAM),
    },
    Incident {
        name: "blackhole",
        mode: Mode::Bgp,
        symptom: "Transfers from pods on node-a to pods on node-c hang immediately and permanently. Small requests \
                  between the same pods are answered, and so is ping between the nodes.",
        place: "node-a",
        look: &["observer top", "observer trace --why ptb"],
        answer: Answer {
            device: UNDERLAY,
            peer: "node-c",
            mtu: NARROW,
            words: "A link behind the router has an MTU of 1400, and the router repeatedly sends PTB messages. They \
                    arrive at eth0 of node-a, but its firewall (here a routing rule) drops all ICMP before it \
                    reaches the pods, which keep sending 1500 bytes. ICMP type 3 code 4 must pass.",
        },
        apply: |lab| lab.narrow_path(),
        traffic: |seconds| worker::Args::between("a1", "c1", seconds, 5, 0, DATAGRAM),
    },
    Incident {
        name: "reassembly",
        mode: Mode::VxlanAlways,
        symptom: "Half of the large datagrams from pods on node-a never reach pods on node-c. All small ones \
                  do. No interface counts errors or drops.",
        place: "node-c",
        look: &["observer top", "observer trace --why fragment,oversized,drop"],
        answer: Answer {
            device: UNDERLAY,
            peer: "node-a",
            mtu: TOO_HIGH,
            words: "Tunnel packets from node-a arrive in two fragments, and every second one lacks the last: a \
                    device on the path drops fragments without a port. Reassembly on node-c times out \
                    (FRAG_REASM_TIMEOUT). There should be no fragments: the inner packets have 1478 bytes, more \
                    than 1450, so the MTU of node-a's vxlan.calico is too high (1490).",
        },
        apply: |lab| lab.wide_tunnel().and(lab.lost_fragments()),
        traffic: |seconds| worker::Args::between("a1", "c1", seconds, 5, 50, DATAGRAM),
    },
];

impl Lab<'_> {
    /// The wrong MTU on node-a's tunnel and its first pod.
    fn wide_tunnel(&self) -> Broken {
        self.tunnel_mtu(TOO_HIGH).and(self.pod_mtu(TOO_HIGH)).and(self.pods_own_mtu(TOO_HIGH))
    }

    /// The MTU of the pod's own side of its device.
    fn pods_own_mtu(&self, mtu: u32) -> Broken {
        let netns = self.a().pods.first().map_or("", |pod| pod.netns.as_str());
        let set = |mtu| vec![format!("link set eth0 mtu {mtu}")];
        Broken::by(netns, set(mtu), set(self.state.pod_mtu))
    }

    /// A link with a low MTU towards node-c; node-a drops the router's PTB messages.
    fn narrow_path(&self) -> Broken {
        let (block, c) = (self.node("node-c").block, self.node("node-c").address);
        let route = format!("route replace {block} via {c} dev c proto 12");
        let rule = format!("pref 10 iif {UNDERLAY} ipproto icmp blackhole");
        Broken::by(&self.topology.router, vec![format!("{route} mtu {NARROW}")], vec![route]).and(Broken::by(
            &self.a().netns,
            vec![format!("rule add {rule}")],
            vec![format!("rule delete {rule}")],
        ))
    }

    /// The router drops the last fragment of every second packet towards node-c.
    fn lost_fragments(&self) -> Broken {
        let router = &self.topology.router;
        let words = |line: String| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let patience = |seconds| {
            let set = format!("echo {seconds} > /proc/sys/net/ipv4/ipfrag_time");
            vec!["sh".to_owned(), "-c".to_owned(), set]
        };
        let c = &self.node("node-c").netns;
        // Packets with an odd identification go to an unused device, because not every kernel has an action that drops.
        let filter = format!(
            "tc filter add dev c egress protocol ip u32 match u8 {OFFSET} 0xff at 7 match u16 1 1 at 4 action mirred \
             egress redirect dev sink"
        );
        let sink = ["link add sink type veth peer name drain", "link set sink up", "link set drain up"];
        Broken {
            programs: vec![
                (router.clone(), words("tc qdisc add dev c clsact".to_owned())),
                (router.clone(), words(filter)),
                (c.clone(), patience(PATIENCE[0])),
            ],
            undo_programs: vec![
                (router.clone(), words("tc qdisc delete dev c clsact".to_owned())),
                (c.clone(), patience(PATIENCE[1])),
            ],
            ..Broken::by(router, sink.map(str::to_owned).to_vec(), vec!["link delete sink".to_owned()])
        }
    }
}

/// Brings a lab into an incident, or prints one or all of them.
///
/// # Errors
/// As [`begin`].
pub fn run(name: &str, args: &Args) -> Result<()> {
    let Some(incident) = &args.incident else {
        for one in INCIDENTS {
            println!("{:12} {}", one.name, one.symptom);
        }
        return Ok(());
    };
    let one = find(incident)?;
    if !args.answer {
        start(name, one, args.seconds)?;
    }
    match args.format {
        Format::Json => println!("{}", one.json(name)),
        Format::Text if args.answer => println!("{}", one.answer.words),
        Format::Text => println!("{}", one.text()),
    }
    Ok(())
}

/// Brings the lab `name` into an incident for that many seconds, and describes the incident as JSON.
///
/// # Errors
/// There is no such incident, the lab is up in another mode or broken already, or the step that failed.
pub fn begin(name: &str, incident: &str, seconds: u64) -> Result<Value> {
    let one = find(incident)?;
    start(name, one, seconds)?;
    Ok(one.json(name))
}

fn find(name: &str) -> Result<&'static Incident> {
    INCIDENTS
        .iter()
        .find(|one| one.name == name)
        .with_context(|| format!("unknown incident {name}; `lab incident` lists them"))
}

fn start(name: &str, one: &Incident, seconds: u64) -> Result<()> {
    let state = match state::read(name)?.filter(|state| state.ready) {
        Some(state) if state.mode == one.mode && state.fresh_pods => state,
        Some(state) => bail!(
            "the lab {name} is up in mode {}, but incident {} needs mode {} with fresh pods; run `lab down` first",
            state.mode,
            one.name,
            one.mode
        ),
        None => {
            let options = Options { fresh_pods: true, ..Options::quick() };
            lifecycle::Lab::up(name, one.mode, &options).map(lifecycle::Lab::keep)?;
            state::read(name)?.context("the new lab has no state")?
        }
    };
    damage::refuse_broken(name)?;
    let topology = Topology::new(name);
    let broken = (one.apply)(&Lab { topology: &topology, state: &state });
    damage::apply(name, &broken, true)?;
    traffic::start(name, &(one.traffic)(seconds))
}

impl Incident {
    fn text(&self) -> String {
        let look: Vec<String> = self
            .look
            .iter()
            .map(|command| format!("  cargo xtask lab exec {} -- {command}\n", self.place))
            .collect();
        format!(
            "{}\n\nInspect {}:\n{}\nName the device, the peer node and the wrong value.\n  cargo xtask lab incident \
             --answer {}\n  cargo xtask lab mend",
            self.symptom,
            self.place,
            look.concat(),
            self.name
        )
    }

    fn json(&self, lab: &str) -> Value {
        let topology = Topology::new(lab);
        let peer = topology.nodes.iter().find(|node| node.name == self.answer.peer);
        json!({
            "schema": "observer-lab-incident/1",
            "incident": self.name,
            "mode": self.mode,
            "symptom": self.symptom,
            "place": self.place,
            "commands": self.look,
            "answer": {
                "device": self.answer.device,
                "peer": self.answer.peer,
                "peer_address": peer.map(|node| node.address),
                "mtu": self.answer.mtu,
                "words": self.answer.words,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::State;
    use super::*;

    #[test]
    fn every_change_is_undone() {
        let topology = Topology::new("x");
        for one in INCIDENTS {
            let state = State {
                ready: true,
                mode: one.mode,
                ipip: None,
                offloads: true,
                underlay_mtu: 1500,
                tunnel_mtu: None,
                pod_mtu: one.mode.pod_mtu(),
                fresh_pods: true,
            };
            let broken = (one.apply)(&Lab { topology: &topology, state: &state });
            assert!(!broken.recreate && !broken.commands.is_empty(), "{}", one.name);
            let places = |of: &[(String, Vec<String>)]| {
                of.iter().map(|(netns, _)| netns.clone()).collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(places(&broken.commands), places(&broken.undo), "{}", one.name);
            assert_eq!(places(&broken.programs), places(&broken.undo_programs), "{}", one.name);
        }
    }

    #[test]
    fn every_place_and_peer_exists() {
        let topology = Topology::new("x");
        for one in INCIDENTS {
            for node in [one.place, one.answer.peer] {
                assert!(topology.nodes.iter().any(|known| known.name == node), "{node}");
            }
            assert!(one.answer.words.contains(&one.answer.mtu.to_string()), "{}", one.name);
        }
    }
}
