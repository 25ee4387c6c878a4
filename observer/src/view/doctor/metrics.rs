//! Metrics for the textfile collector of node_exporter.

use std::fmt::Write as _;
use std::time::Duration;

use crate::advice::{Diagnosis, RULES, Severity};
use crate::model::Mode;

/// The metrics of a check at `taken`, the time since the Unix epoch.
///
/// Every rule has a series, so that alerts resolve when a finding disappears.
#[must_use]
pub fn diagnosis(diagnosis: &Diagnosis<'_>, taken: Duration) -> String {
    let mut text = String::new();
    head(&mut text, "observer_doctor_findings", "Number of findings of the last check, by severity.");
    for severity in [Severity::Error, Severity::Warning, Severity::Notice] {
        let count = diagnosis.findings.iter().filter(|finding| finding.severity == severity).count();
        let _ = writeln!(text, "observer_doctor_findings{{severity=\"{}\"}} {count}", severity.label());
    }
    head(&mut text, "observer_doctor_finding", "1 if the last check has this finding, otherwise 0.");
    for rule in RULES {
        let found = u8::from(diagnosis.findings.iter().any(|finding| finding.id == rule.id));
        let _ = writeln!(text, "observer_doctor_finding{{id=\"{}\"}} {found}", rule.id);
    }
    head(
        &mut text,
        "observer_doctor_mode_info",
        "Mode of pod traffic between nodes by address family, and the source it was derived from.",
    );
    for mode in &diagnosis.view.modes {
        for (source, label) in
            [("routes", mode.routes), ("observed", mode.observed), ("declared", mode.declared)]
        {
            if let Some(label) = label.map(Mode::label) {
                let family = mode.family().to_lowercase();
                let _ = writeln!(
                    text,
                    "observer_doctor_mode_info{{family=\"{family}\",source=\"{source}\",mode=\"{label}\"}} 1"
                );
            }
        }
    }
    head(
        &mut text,
        "observer_doctor_measured_seconds",
        "Time that traffic was measured for the last check, in seconds; 0 if it was not measured.",
    );
    let measured = diagnosis.view.facts.observed.as_ref().map_or(0.0, |report| report.interval.as_secs_f64());
    let _ = writeln!(text, "observer_doctor_measured_seconds {measured}");
    head(
        &mut text,
        "observer_doctor_last_check_timestamp_seconds",
        "End of the last check, in seconds since the Unix epoch.",
    );
    let _ = writeln!(text, "observer_doctor_last_check_timestamp_seconds {}", taken.as_secs_f64());
    text
}

fn head(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
}
