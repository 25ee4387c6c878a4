//! The queries for the fleet's figures. They use raw series, so the recording rules of `deploy/` are not needed.

use std::time::Duration;

/// A query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Query {
    /// Exporters with samples within the last hour.
    Known,
    /// Exporters with current samples.
    Answering,
    /// The mode of each node and family.
    Modes,
    /// Wire bytes per second on underlays.
    Wire,
    /// L3 bytes per second on underlays.
    L3,
    /// Overhead bytes per second on underlays.
    Overhead,
    /// Fragments of pod traffic per second on underlays.
    Fragments,
    /// Packets per second that a tunnel would drop.
    WouldDrop,
    /// PTB messages per second on the device with the most.
    Ptb,
    /// Lost hooks.
    HooksLost,
    /// Packets per second that did not fit the path table.
    Overflow,
    /// Pod blocks of other nodes by family, encapsulation and scope.
    Routes,
    /// L3 bytes per second of the largest paths across subnets, as counted by the sender.
    PairsL3,
    /// Overhead bytes per second of these paths.
    PairsOverhead,
}

/// What the queries cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Label matchers for every series; may be empty.
    pub selector: String,
    /// The time that rates cover.
    pub window: Duration,
    /// Number of pairs.
    pub pairs: usize,
}

/// Labels that identify a node: `node` if the scrape configuration sets it, else the target's address.
const NODE: &str = "cluster, node, instance";
/// Labels that identify a pair.
const PAIR: &str = "cluster, node, instance, peer, encapsulation";
/// Matcher of pod traffic.
const PODS: &str = r#"encapsulation!~"external|non_ip|malformed""#;

impl Query {
    /// All queries, in the order in which they run.
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

    /// The query in PromQL.
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
                let messages = rate("observer_ptb_messages_total", "");
                format!("max by ({NODE}) (sum by ({NODE}, device) ({messages}))")
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
    fn every_series_has_the_selector() {
        let selector = r#"cluster="edge""#;
        for query in Query::ALL {
            let promql = query.promql(&scope(selector));
            let series = promql.matches("observer_").count();
            assert_eq!(promql.matches(selector).count(), series, "{promql}");
        }
    }

    #[test]
    fn there_are_no_empty_braces_without_a_selector() {
        for query in Query::ALL {
            assert!(!query.promql(&scope("")).contains("{}"), "{query:?}");
        }
        assert_eq!(
            Query::L3.promql(&scope("")),
            r#"sum by (cluster, node, instance) (rate(observer_l3_bytes_total{role="underlay"}[300000ms]))"#
        );
    }
}
