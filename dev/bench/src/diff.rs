//! Compares the ratios of two runs of the benchmark.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Allowed difference of two ratios, as a share of the larger one.
const TOLERANCE: f64 = 0.1;
/// Smaller differences are less than a nanosecond and are ignored.
const NEGLIGIBLE: f64 = 0.05;
/// Fields of a row that contain ratios.
const RATIOS: [&str; 2] = ["ratio", "growth"];

/// Result of a comparison.
pub struct Agreement {
    /// Number of ratios that both runs have.
    pub compared: usize,
    /// One line for each ratio that differs.
    pub different: Vec<String>,
}

impl Agreement {
    /// Compares the results of this run with those of an earlier one, both as written by `--json`.
    ///
    /// # Errors
    /// The runs have no ratio in common.
    pub fn of(earlier: &Value, later: &Value) -> Result<Self> {
        let mut agreement = Self { compared: 0, different: Vec::new() };
        for (name, part) in later["parts"].as_object().into_iter().flatten() {
            let rows = part["results"].as_array().into_iter().flatten();
            let before = earlier["parts"][name]["results"].as_array();
            for row in rows {
                let Some(other) =
                    before.and_then(|rows| rows.iter().find(|other| label(other) == label(row)))
                else {
                    continue;
                };
                agreement.compare(name, other, row);
            }
        }
        if agreement.compared == 0 {
            bail!("it has no ratio in common with this run; write it with --json and the same parts");
        }
        Ok(agreement)
    }

    fn compare(&mut self, part: &str, earlier: &Value, later: &Value) {
        for field in RATIOS {
            let (Some(before), Some(now)) = (earlier[field].as_f64(), later[field].as_f64()) else {
                continue;
            };
            self.compared += 1;
            let difference = (before - now).abs();
            if difference > TOLERANCE * before.abs().max(now.abs()) && difference > NEGLIGIBLE {
                let label = label(later).join(" ");
                self.different.push(format!("{part}: {label}: {field} {before:.2}, now {now:.2}"));
            }
        }
    }
}

/// Identifies a row by its texts and, in growth tables, its number.
fn label(row: &Value) -> Vec<String> {
    let number = row["number"].as_u64().map(|number| number.to_string());
    let texts = row.as_object().into_iter().flat_map(|row| row.values()).filter_map(Value::as_str);
    texts.map(str::to_owned).chain(number).collect()
}

/// Reads the results of an earlier run.
///
/// # Errors
/// They cannot be read.
pub fn read(path: &std::path::Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} does not contain benchmark results", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(rows: &[(&str, u64, f64)]) -> Value {
        let rows: Vec<Value> = rows
            .iter()
            .map(|(what, number, ratio)| json!({ "packet": what, "number": number, "ratio": ratio }))
            .collect();
        json!({ "parts": { "scale": { "results": rows } } })
    }

    #[test]
    fn ratios_agree_within_ten_percent() {
        let earlier = run(&[("a", 1, 2.0), ("a", 2, 1.0), ("b", 1, 0.01), ("c", 1, 3.0)]);
        let agreement = Agreement::of(&earlier, &run(&[("a", 2, 1.09), ("a", 1, 1.7), ("b", 1, -0.03)]));
        let agreement = agreement.expect("they have rows in common");
        assert_eq!(agreement.compared, 3);
        assert_eq!(agreement.different, ["scale: a 1: ratio 2.00, now 1.70"]);
        assert!(Agreement::of(&earlier, &json!({ "parts": {} })).is_err());
    }
}
