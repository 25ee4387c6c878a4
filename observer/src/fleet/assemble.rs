//! Assembles the fleet from responses.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Answers, Fleet, Goal, ModeCount, Node, Pair, Progress, Query, Route, Sample, Scope, Traffic};

/// Cluster and name.
type Key = (String, String);

impl Fleet {
    /// The fleet; `None` if there is no exporter.
    #[must_use]
    pub fn of(answers: &Answers, scope: &Scope, goal: Option<Goal>) -> Option<Self> {
        let mut nodes = known(answers);
        if nodes.is_empty() {
            return None;
        }
        for (query, place) in FIGURES {
            for sample in samples(answers, query) {
                if let Some(node) = nodes.get_mut(&key(sample)) {
                    place(node, sample);
                }
            }
        }
        let names: BTreeMap<(String, String), String> = nodes
            .values()
            .map(|node| ((node.cluster.clone(), node.address.clone()), node.name.clone()))
            .collect();
        let mut nodes: Vec<Node> = nodes.into_values().collect();
        // The exporter leaves out fragments that are zero: a node that counts bytes has none.
        for node in nodes.iter_mut().filter(|node| node.traffic.l3.is_some()) {
            node.fragments.get_or_insert(0.0);
        }
        let notes = notes(answers, &nodes);
        // The largest share first; nodes with an unknown share last, silent ones first among them.
        nodes.sort_by(|a, b| {
            let share = |node: &Node| node.traffic.overhead_ratio().unwrap_or(-1.0);
            share(b).total_cmp(&share(a)).then(a.answering.cmp(&b.answering)).then(a.name.cmp(&b.name))
        });
        Some(Self {
            taken: taken(answers),
            window: scope.window,
            traffic: sum(&nodes),
            modes: modes(&nodes),
            routes: routes(&nodes),
            pairs: pairs(answers, &names),
            progress: goal.map(|goal| Progress::of(goal, &nodes)),
            nodes,
            notes,
        })
    }
}

/// Stores a sample in its node.
type Assign = fn(&mut Node, &Sample);

const FIGURES: [(Query, Assign); 11] = [
    (Query::Answering, |node, _| {
        node.answering = true;
        // The query for lost hooks returns only nodes that have any.
        node.hooks_lost.get_or_insert(0);
    }),
    (Query::Modes, |node, sample| {
        node.modes.insert(sample.label("family").to_owned(), sample.label("mode").to_owned());
    }),
    (Query::Wire, |node, sample| add(&mut node.traffic.wire, sample.value)),
    (Query::L3, |node, sample| add(&mut node.traffic.l3, sample.value)),
    (Query::Overhead, |node, sample| add(&mut node.traffic.overhead, sample.value)),
    (Query::Fragments, |node, sample| add(&mut node.fragments, sample.value)),
    (Query::WouldDrop, |node, sample| add(&mut node.would_drop, sample.value)),
    (Query::Ptb, |node, sample| add(&mut node.ptb, sample.value)),
    (Query::HooksLost, |node, sample| node.hooks_lost = Some(node.hooks_lost.unwrap_or(0) + count(sample))),
    (Query::Overflow, |node, sample| add(&mut node.overflow, sample.value)),
    (Query::Routes, |node, sample| {
        let blocks = count(sample);
        if blocks != 0 {
            node.routes.push(Route {
                family: sample.label("family").to_owned(),
                scope: sample.label("scope").to_owned(),
                encapsulation: sample.label("encapsulation").to_owned(),
                blocks,
                nodes: 1,
            });
        }
    }),
];

fn samples(answers: &Answers, query: Query) -> &[Sample] {
    answers.get(&query).map_or(&[], |answer| &answer.samples)
}

fn add(place: &mut Option<f64>, value: f64) {
    *place = Some(place.unwrap_or(0.0) + value);
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a gauge with a count")]
fn count(sample: &Sample) -> u64 {
    sample.value.max(0.0).round() as u64
}

fn key(sample: &Sample) -> Key {
    let name = match sample.label("node") {
        "" => sample.label("instance"),
        node => node,
    };
    (sample.label("cluster").to_owned(), name.to_owned())
}

/// The host of `10.0.0.1:9475` or `[fd00::1]:9475`.
fn host(instance: &str) -> &str {
    let host = instance.rsplit_once(':').map_or(instance, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn known(answers: &Answers) -> BTreeMap<Key, Node> {
    let mut nodes = BTreeMap::new();
    // Current samples replace older ones.
    for sample in [Query::Known, Query::Answering].into_iter().flat_map(|query| samples(answers, query)) {
        let key = key(sample);
        let node = Node {
            cluster: key.0.clone(),
            name: key.1.clone(),
            address: host(sample.label("instance")).to_owned(),
            version: sample.label("version").to_owned(),
            ..Node::default()
        };
        nodes.insert(key, node);
    }
    nodes
}

fn taken(answers: &Answers) -> Duration {
    let time = Query::ALL.into_iter().find_map(|query| Some(samples(answers, query).first()?.time));
    Duration::try_from_secs_f64(time.unwrap_or(0.0)).unwrap_or_default()
}

fn sum(nodes: &[Node]) -> Traffic {
    let mut all = Traffic::default();
    for traffic in nodes.iter().map(|node| &node.traffic) {
        for (sum, part) in
            [(&mut all.wire, traffic.wire), (&mut all.l3, traffic.l3), (&mut all.overhead, traffic.overhead)]
        {
            if let Some(part) = part {
                add(sum, part);
            }
        }
    }
    all
}

fn modes(nodes: &[Node]) -> Vec<ModeCount> {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (family, mode) in nodes.iter().flat_map(|node| &node.modes) {
        *counts.entry((family, mode)).or_default() += 1;
    }
    let count = |((family, mode), nodes): ((&str, &str), u64)| ModeCount {
        family: family.to_owned(),
        mode: mode.to_owned(),
        nodes,
    };
    counts.into_iter().map(count).collect()
}

fn routes(nodes: &[Node]) -> Vec<Route> {
    let mut sums: BTreeMap<(&str, &str, &str), (u64, u64)> = BTreeMap::new();
    for route in nodes.iter().flat_map(|node| &node.routes) {
        let sum = sums.entry((&route.family, &route.scope, &route.encapsulation)).or_default();
        sum.0 += route.blocks;
        sum.1 += route.nodes;
    }
    let route = |((family, scope, encapsulation), (blocks, nodes)): ((&str, &str, &str), (u64, u64))| Route {
        family: family.to_owned(),
        scope: scope.to_owned(),
        encapsulation: encapsulation.to_owned(),
        blocks,
        nodes,
    };
    sums.into_iter().map(route).collect()
}

fn pairs(answers: &Answers, names: &BTreeMap<(String, String), String>) -> Vec<Pair> {
    let same = |a: &Sample, b: &Sample| a.labels == b.labels;
    let overheads = samples(answers, Query::PairsOverhead);
    let pair = |sample: &Sample| {
        let (cluster, from) = key(sample);
        let peer = sample.label("peer").to_owned();
        Pair {
            to: names.get(&(cluster.clone(), peer.clone())).unwrap_or(&peer).clone(),
            cluster,
            from,
            peer,
            encapsulation: sample.label("encapsulation").to_owned(),
            l3: sample.value,
            overhead: overheads.iter().find(|other| same(sample, other)).map(|sample| sample.value),
        }
    };
    let mut pairs: Vec<Pair> = samples(answers, Query::PairsL3).iter().map(pair).collect();
    pairs.sort_by(|a, b| b.l3.total_cmp(&a.l3).then(a.from.cmp(&b.from)).then(a.to.cmp(&b.to)));
    pairs
}

fn notes(answers: &Answers, nodes: &[Node]) -> Vec<String> {
    let list = |applies: &dyn Fn(&Node) -> bool| {
        let names: Vec<&str> =
            nodes.iter().filter(|node| applies(node)).map(|node| node.name.as_str()).collect();
        match names.len() {
            0 => None,
            1..=5 => Some(names.join(", ")),
            more => Some(format!("{} and {} more", names[..4].join(", "), more - 4)),
        }
    };
    let mut notes = Vec::new();
    if let Some(names) = list(&|node| !node.answering) {
        notes.push(format!("no current samples from {names}"));
    }
    if let Some(names) = list(&|node| node.hooks_lost > Some(0)) {
        notes.push(format!("figures are too small, because hooks are lost, on {names}"));
    }
    if let Some(names) = list(&|node| node.overflow > Some(0.0)) {
        notes.push(format!("the table of paths is full on {names}: pairs may be missing"));
    }
    if let Some(names) = list(&|node| node.answering && node.traffic.l3.is_none()) {
        notes.push(format!("no rates yet (two scrapes are needed) on {names}"));
    }
    let mut warnings: Vec<&String> = answers.values().flat_map(|answer| &answer.warnings).collect();
    warnings.sort();
    warnings.dedup();
    notes.extend(warnings.into_iter().map(|warning| format!("warning of Prometheus: {warning}")));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_target_has_no_port() {
        for (instance, expected) in [("10.0.0.1:9475", "10.0.0.1"), ("[fd00::1]:9475", "fd00::1"), ("n", "n")]
        {
            assert_eq!(host(instance), expected);
        }
    }
}
