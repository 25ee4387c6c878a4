//! The output of `observer doctor` as text, JSON, and metrics for a textfile collector.

pub mod json;
pub mod metrics;
mod plan;
pub mod table;
mod text;

#[cfg(test)]
mod tests {
    use observer_common::kind::{Class, Direction};

    use super::*;
    use crate::advice::plan::{Target, plan};
    use crate::advice::testing::{device, facts, ip, node, observed};
    use crate::advice::{Facts, RULES, View, diagnose};
    use crate::model::Report;
    use crate::view::fixture::with_cost;

    fn broken() -> Facts {
        let mut wrong = node("vxlan-always");
        device(&mut wrong, "vxlan.calico").mtu = 1500;
        let mut facts = facts(wrong);
        let paths = [
            (Direction::Egress, Class::Vxlan, "10.10.1.12", 90),
            (Direction::Ingress, Class::Vxlan, "10.10.1.12", 90),
        ];
        facts.observed = Some(observed(&facts, &paths));
        facts
    }

    #[test]
    fn only_commands_exceed_the_width() {
        let facts = broken();
        let (diagnosis, plan) = (diagnose(&facts), plan(&View::new(&facts), Target::CrossSubnet, None));
        for width in [60, 80, 120] {
            let text = table::diagnosis(&diagnosis, Some(&plan), table::Options { width, colour: false });
            for line in text.lines().filter(|line| !line.starts_with("       ")) {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
            let head = text.lines().next().expect("a line");
            assert_eq!(head, "node-a  1 error  measured 10.0 s");
            for labels in
                ["ERROR tunnel-mtu-high", "10.10.1.12", "vxlan-crosssubnet", "Steps", "not measured"]
            {
                assert!(text.contains(labels), "{labels}: {text}");
            }
        }
    }

    #[test]
    fn a_plan_includes_the_measured_cost() {
        let mut facts = broken();
        let mut cost = Report::between(&with_cost(120), &with_cost(130)).cost.expect("it is measured");
        for (row, peer) in cost.tcp.iter_mut().zip(["10.10.1.12", "10.10.2.13", "10.10.1.12"]) {
            row.peer = ip(peer);
        }
        facts.observed.as_mut().expect("it was measured").cost = Some(cost);
        let (diagnosis, plan) = (diagnose(&facts), plan(&View::new(&facts), Target::CrossSubnet, None));
        for width in [60, 80, 120] {
            let text = table::diagnosis(&diagnosis, Some(&plan), table::Options { width, colour: false });
            for line in text.lines().filter(|line| !line.starts_with("       ")) {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
            for labels in [
                "software offload",
                "Current TCP connections by peer",
                "10.10.2.13",
                "RETRANS",
                "PLANNED",
                "--for 60s --cost",
            ] {
                assert!(text.contains(labels), "{labels}: {text}");
            }
        }
        let value = json::diagnosis(&diagnosis, Some(&plan));
        assert_eq!(value["plan"]["tcp"][0]["then"], "none", "{value:#}");
        assert_eq!(value["plan"]["software_offload"][0]["device"], "vxlan.calico");
    }

    #[test]
    fn unknown_values_are_null_in_json() {
        let facts = facts(node("bgp"));
        let value = json::diagnosis(&diagnose(&facts), None);
        assert_eq!(value["schema"], "observer-doctor/2");
        assert_eq!(value["clean"], true);
        for null in [
            &value["measured_seconds"],
            &value["plan"],
            &value["modes"][0]["observed"],
            &value["peers"][0]["egress"],
        ] {
            assert!(null.is_null(), "{value:#}");
        }
        let value = json::diagnosis(&diagnose(&broken()), None);
        assert_eq!(value["findings"][0]["id"], "tunnel-mtu-high");
        assert_eq!(value["peers"][0]["egress"][0]["packets"], 90);
    }

    #[test]
    fn every_rule_has_a_metric() {
        let facts = broken();
        let text = metrics::diagnosis(&diagnose(&facts), std::time::Duration::from_secs(1_000));
        for rule in RULES {
            let value = u8::from(rule.id == "tunnel-mtu-high");
            let line = format!("observer_doctor_finding{{id=\"{}\"}} {value}\n", rule.id);
            assert!(text.contains(&line), "{line}");
        }
        assert!(
            text.contains("mode_info{family=\"ipv4\",source=\"routes\",mode=\"vxlan-always\"} 1"),
            "{text}"
        );
        assert!(text.ends_with("observer_doctor_last_check_timestamp_seconds 1000\n"), "{text}");
    }
}
