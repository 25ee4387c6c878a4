//! The comparison as Markdown, for issues and wikis.

use std::fmt::Write as _;

use super::labels;
use crate::model::compare::{Comparison, Group, Side};
use crate::view::units;

/// A comparison as Markdown (GitHub's tables).
#[must_use]
pub fn comparison(of: &Comparison) -> String {
    let mut text = format!(
        "# Before and after: {} → {}\n",
        escaped(&labels::side_modes(&of.before)),
        escaped(&labels::side_modes(&of.after))
    );
    let verdicts = of.verdicts.iter().map(|verdict| {
        vec![
            verdict.aim.title().to_owned(),
            format!("**{}**", verdict.outcome.title()),
            escaped(&verdict.reason),
        ]
    });
    table(&mut text, "Verdict", &["aim", "outcome", "reason"], 3, verdicts);
    for group in Group::ALL {
        let rows = of
            .rows
            .iter()
            .filter(|row| row.metric.group == group && row.is_shown())
            .map(|row| labels::cells(row).to_vec());
        let titles = labels::TITLES.map(str::to_lowercase);
        table(&mut text, group.title(), &titles.each_ref().map(String::as_str), 1, rows);
    }
    if let Some(parts) = &of.decomposition {
        let rows = parts.effects.iter().map(|(effect, part)| labels::effect(*effect, *part).to_vec());
        table(&mut text, "Why the overhead changed", &["effect", "cause", "change"], 2, rows);
        let _ = writeln!(text, "\n{}", labels::decomposed(parts));
    }
    let sizes = labels::size_classes(of)
        .into_iter()
        .map(|(name, class)| vec![name, units::ratio(class.shares[0]), units::ratio(class.shares[1])]);
    table(&mut text, "Packet sizes of pod traffic, L3 bytes", &["bytes", "before", "after"], 1, sizes);
    let side = |name: &'static str, side: &Side| -> Vec<Vec<String>> {
        let row = |recorded| {
            let cells = labels::recorded(recorded).map(|cell| escaped(&cell));
            std::iter::once(name.to_owned()).chain(cells).collect()
        };
        side.recordings.iter().map(row).collect()
    };
    let recordings = [side("before", &of.before), side("after", &of.after)].concat();
    table(
        &mut text,
        "Recordings",
        &["side", "file", "node", "mode", "time", "length"],
        6,
        recordings.into_iter(),
    );
    let _ = writeln!(text, "\n## Limits of the comparison\n\n- {}", labels::confidence());
    for remark in &of.remarks {
        let _ = writeln!(text, "- {}: {}", remark.weight.label(), escaped(&units::printable(&remark.text)));
    }
    text
}

/// A section with a table whose first `left` columns are text.
fn table(
    text: &mut String,
    title: &str,
    titles: &[&str],
    left: usize,
    rows: impl Iterator<Item = Vec<String>>,
) {
    let _ = writeln!(text, "\n## {title}\n\n| {} |", titles.join(" | "));
    let lines: Vec<&str> = (0..titles.len()).map(|nth| if nth < left { "---" } else { "---:" }).collect();
    let _ = writeln!(text, "|{}|", lines.join("|"));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
}

/// Escapes untrusted text, so that it cannot create tables, links or HTML.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn untrusted_names_stay_text() {
        assert_eq!(super::escaped("a|b <script>\n[x](y) eth_0"), "a\\|b &lt;script> \\[x\\](y) eth\\_0");
    }
}
