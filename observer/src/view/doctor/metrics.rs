//! Metrics for the text file collector of node_exporter.

use std::fmt::Write as _;
use std::time::Duration;

use crate::advice::{Diagnosis, RULES, Severity};
use crate::model::Mode;

/// The metrics of a check; `taken` is its time, since the Unix epoch.
///
/// Every rule has a series, so that an alert sees a finding go as well as come.
#[must_use]
pub fn diagnosis(diagnosis: &Diagnosis<'_>, taken: Duration) -> String {
    let mut text = String::new();
    head(&mut text, "observer_doctor_findings", "Findings of the last check.");
    for severity in [Severity::Error, Severity::Warning, Severity::Notice] {
        let count = diagnosis.findings.iter().filter(|finding| finding.severity == severity).count();
        let _ = writeln!(text, "observer_doctor_findings{{severity=\"{}\"}} {count}", severity.label());
    }
    head(&mut text, "observer_doctor_finding", "1 where the last check has this finding.");
    for rule in RULES {
        let found = u8::from(diagnosis.findings.iter().any(|finding| finding.id == rule.id));
        let _ = writeln!(text, "observer_doctor_finding{{id=\"{}\"}} {found}", rule.id);
    }
    head(&mut text, "observer_doctor_mode_info", "The mode of a family, by where it was told from.");
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
    head(&mut text, "observer_doctor_measured_seconds", "How long the wire was measured for the last check.");
    let measured = diagnosis.view.facts.observed.as_ref().map_or(0.0, |report| report.interval.as_secs_f64());
    let _ = writeln!(text, "observer_doctor_measured_seconds {measured}");
    head(&mut text, "observer_doctor_last_check_timestamp_seconds", "When the last check ended.");
    let _ = writeln!(text, "observer_doctor_last_check_timestamp_seconds {}", taken.as_secs_f64());
    text
}

fn head(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
}
