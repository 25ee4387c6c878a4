//! The questions that the fleet's figures come from. Raw series only: the recording rules of `deploy/`
//! need not be there.

use std::time::Duration;

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Query {
    /// Exporters that were there within the last hour.
    Known,
    /// Exporters that answer.
    Answering,
    /// The mode of each node and family.
    Modes,
    /// Wire bytes a second on underlays.
    Wire,
    /// L3 bytes a second on underlays.
    L3,
    /// Overhead bytes a second on underlays.
    Overhead,
    /// Fragments of pod traffic a second on underlays.
    Fragments,
    /// Packets a second that a tunnel would drop.
    WouldDrop,
    /// PTB messages a second at the device that saw most.
    Ptb,
    /// Hooks that are lost.
    HooksLost,
    /// Packets a second that found no place in the table of paths.
    Overflow,
    /// Pod blocks of other nodes by how they are routed.
    Routes,
    /// L3 bytes a second of the paths across subnets with most of them, as the sender counts them.
    PairsL3,
    /// Their overhead bytes a second.
    PairsOverhead,
}

/// What the questions are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Label matchers that every series must fulfil; may be empty.
    pub selector: String,
    /// The time that rates are taken over.
    pub window: Duration,
    /// How many pairs.
    pub pairs: usize,
}

/// What makes a node: `node` where the scrape configuration sets it, else the target's address.
const NODE: &str = "cluster, node, instance";
/// What makes a pair.
const PAIR: &str = "cluster, node, instance, peer, encapsulation";
/// Traffic of pods.
const PODS: &str = r#"encapsulation!~"external|non_ip|malformed""#;

impl Query {
    /// Every question, in the order in which they are asked.
    pub const ALL: [Self; 14] = [
        Self::Known,
        Self::Answering,
        Self::Modes,
        Self::Wire,
        Self::L3,
        Self::Overhead,
        Self::Fragments,
        Self::WouldDrop,
        Self::Ptb,
        Self::HooksLost,
        Self::Overflow,
        Self::Routes,
        Self::PairsL3,
        Self::PairsOverhead,
    ];

    /// The question in PromQL.
    #[must_use]
    pub fn promql(self, scope: &Scope) -> String {
        let series = |name: &str, matchers: &str| scope.series(name, matchers);
        let rate = |name: &str, matchers: &str| scope.rate(name, matchers);
        let underlay = |name: &str| {
            let rate = rate(name, r#"role="underlay""#);
            format!("sum by ({NODE}) ({rate})")
        };
        let pair = |name: &str| {
            let rate = rate(name, r#"scope="cross-subnet",direction="egress""#);
            format!("sum by ({PAIR}) ({rate})")
        };
        let pairs = || format!("topk({}, {})", scope.pairs, pair("observer_path_l3_bytes_total"));
        match self {
            Self::Known => format!("last_over_time({}[1h])", series("observer_build_info", "")),
            Self::Answering => series("observer_build_info", ""),
            Self::Modes => format!("{} == 1", series("observer_mode_info", "")),
            Self::Wire => underlay("observer_wire_bytes_total"),
            Self::L3 => underlay("observer_l3_bytes_total"),
            Self::Overhead => underlay("observer_overhead_bytes_total"),
            Self::Fragments => {
                let fragments = rate("observer_fragments_total", &format!(r#"position!="atomic",{PODS}"#));
                let underlays = series("observer_device_mtu_bytes", r#"role="underlay""#);
                format!("sum by ({NODE}) ({fragments} and on ({NODE}, device) {underlays})")
            }
            Self::WouldDrop => format!("sum by ({NODE}) ({})", rate("observer_would_drop_packets_total", "")),
            Self::Ptb => {
                let signals = rate("observer_ptb_messages_total", "");
                format!("max by ({NODE}) (sum by ({NODE}, device) ({signals}))")
            }
            Self::HooksLost => format!("count by ({NODE}) ({} == 0)", series("observer_hook_attached", "")),
            Self::Overflow => {
                format!("sum by ({NODE}) ({})", rate("observer_path_overflow_packets_total", ""))
            }
            Self::Routes => {
                let blocks = series("observer_routed_blocks", "");
                format!("sum by ({NODE}, family, encapsulation, scope) ({blocks})")
            }
            Self::PairsL3 => pairs(),
            Self::PairsOverhead => {
                format!("{} and on ({PAIR}) {}", pair("observer_path_overhead_bytes_total"), pairs())
            }
        }
    }
}

impl Scope {
    fn series(&self, name: &str, matchers: &str) -> String {
        let all: Vec<&str> =
            [matchers, &self.selector].into_iter().filter(|matchers| !matchers.is_empty()).collect();
        if all.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", all.join(",")) }
    }

    fn rate(&self, name: &str, matchers: &str) -> String {
        format!("rate({}[{}ms])", self.series(name, matchers), self.window.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(selector: &str) -> Scope {
        Scope { selector: selector.to_owned(), window: Duration::from_secs(300), pairs: 3 }
    }

    #[test]
    fn every_series_is_selected() {
        let selector = r#"cluster="edge""#;
        for query in Query::ALL {
            let promql = query.promql(&scope(selector));
            let series = promql.matches("observer_").count();
            assert_eq!(promql.matches(selector).count(), series, "{promql}");
        }
    }

    #[test]
    fn without_a_selector_no_braces_are_empty() {
        for query in Query::ALL {
            assert!(!query.promql(&scope("")).contains("{}"), "{query:?}");
        }
        assert_eq!(
            Query::L3.promql(&scope("")),
            r#"sum by (cluster, node, instance) (rate(observer_l3_bytes_total{role="underlay"}[300000ms]))"#
        );
    }
}
