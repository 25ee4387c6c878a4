//! Results: a table on standard output, JSON, and the generated part of docs/performance.md.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// Version of the JSON.
const SCHEMA: u32 = 2;

/// Marks around a generated part of the page.
fn marks(name: &str) -> [String; 2] {
    ["begin", "end"].map(|mark| format!("<!-- cargo xtask bench: {name} {mark} -->"))
}

/// One bar of the chart.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Its name.
    pub label: String,
    /// Its length.
    pub value: f64,
    /// Its budget.
    pub budget: f64,
}

/// One part of the results.
#[derive(Clone, Debug)]
pub struct Section {
    /// Name of the part.
    pub name: &'static str,
    /// Heading.
    pub title: &'static str,
    /// How it was measured.
    pub about: String,
    /// Column names.
    pub columns: &'static [&'static str],
    /// Rows.
    pub rows: Vec<Vec<String>>,
    /// The rows as JSON.
    pub data: Value,
    /// Bars of the chart.
    pub bars: Vec<Bar>,
    /// What was not measured and why.
    pub missing: Vec<String>,
}

impl Section {
    /// A part that could not be measured.
    pub fn failed(name: &'static str, title: &'static str, error: &anyhow::Error) -> Self {
        Self {
            name,
            title,
            about: String::new(),
            columns: &[],
            rows: Vec::new(),
            data: Value::Array(Vec::new()),
            bars: Vec::new(),
            missing: vec![format!("{error:#}")],
        }
    }
}

/// Where and when the results were measured.
#[derive(Clone, Debug)]
pub struct Machine {
    machine: String,
    cpus: usize,
    kernel: String,
    date: String,
    quick: bool,
}

impl Machine {
    /// This machine, today.
    pub fn current(quick: bool) -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let machine = model.map_or("unknown", |(_, model)| model).to_owned();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let date = Command::new("date").args(["--utc", "+%Y-%m-%d"]).output();
        let date = date.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned());
        // The complete release string may name its builder.
        let (major, minor) = observer::kernel::sys::version().unwrap_or_default();
        Self {
            machine,
            cpus,
            kernel: format!("Linux {major}.{minor}"),
            date: date.unwrap_or_default(),
            quick,
        }
    }

    fn describe(&self) -> String {
        let quick = if self.quick { " Quick run: rough figures." } else { "" };
        format!("{}, {} CPUs, {}, {}.{quick}", self.machine, self.cpus, self.kernel, self.date)
    }
}

/// Nanoseconds.
pub fn ns(value: f64) -> String {
    format!("{value:.1} ns")
}

/// A number in groups of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i != 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whether a value is within its budget, or by how much it exceeds it.
pub fn verdict(value: f64, budget: f64) -> String {
    if value <= budget {
        "within".to_owned()
    } else if value.is_nan() {
        "not measured".to_owned()
    } else {
        format!("over by {:.0} %", (value / budget - 1.0) * 100.0)
    }
}

/// The same for a lower limit.
pub fn verdict_at_least(value: f64, budget: f64) -> String {
    if value >= budget {
        "within".to_owned()
    } else if value.is_nan() {
        "not measured".to_owned()
    } else {
        format!("short by {:.0} %", (1.0 - value / budget) * 100.0)
    }
}

/// Tables for a terminal.
pub fn text(machine: &Machine, sections: &[Section]) -> String {
    let mut text = format!("{}\n", machine.describe());
    for section in sections {
        let _ = write!(text, "\n{}\n", section.title);
        text += &aligned(section);
        for missing in &section.missing {
            let _ = writeln!(text, "not measured: {missing}");
        }
    }
    text
}

fn aligned(section: &Section) -> String {
    let header: Vec<String> = section.columns.iter().map(|&column| column.to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&header).chain(&section.rows).collect();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for line in lines.iter().filter(|_| !section.rows.is_empty()) {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            let numeric = cell.starts_with(|c: char| c.is_ascii_digit() || c == '-');
            let _ = if numeric { write!(row, "{cell:>width$}  ") } else { write!(row, "{cell:<width$}  ") };
        }
        text += row.trim_end();
        text.push('\n');
    }
    text
}

/// The results as JSON.
pub fn json(machine: &Machine, sections: &[Section]) -> Value {
    let parts: serde_json::Map<String, Value> = sections
        .iter()
        .map(|s| (s.name.to_owned(), json!({ "results": s.data, "not_measured": s.missing })))
        .collect();
    json!({
        "schema": SCHEMA,
        "machine": machine.machine, "cpus": machine.cpus, "kernel": machine.kernel, "date": machine.date,
        "quick": machine.quick, "parts": parts,
    })
}

/// Replaces the generated parts of the page that were measured.
///
/// # Errors
/// The page has no such part, or cannot be read or written.
pub fn write_page(path: &Path, machine: &Machine, sections: &[Section]) -> Result<()> {
    let mut page =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    for section in sections {
        let [begin, end] = marks(section.name);
        let (Some(from), Some(to)) = (page.find(&begin), page.find(&end)) else {
            bail!("{} has no part between `{begin}` and `{end}`", path.display());
        };
        page.replace_range(from + begin.len()..to, &format!("\n{}", markdown(machine, section)));
    }
    std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))
}

fn markdown(machine: &Machine, section: &Section) -> String {
    let mut text = format!("{}\n\nMeasured on: {}\n\n", section.about, machine.describe());
    if !section.rows.is_empty() {
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let header: Vec<String> = section.columns.iter().map(|&column| column.to_owned()).collect();
        text += &row(&header);
        text += &row(&vec!["---".to_owned(); header.len()]);
        for cells in &section.rows {
            text += &row(cells);
        }
        text.push('\n');
    }
    for missing in &section.missing {
        let _ = write!(text, "Not measured: {missing}.\n\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_verdicts_show_the_excess() {
        assert_eq!(grouped(1_000_000), "1,000,000");
        assert_eq!(grouped(16), "16");
        assert_eq!(verdict(2.5, 2.5), "within");
        assert_eq!(verdict(3.0, 2.5), "over by 20 %");
        assert_eq!(verdict(f64::NAN, 2.5), "not measured");
        assert_eq!(verdict_at_least(0.63, 0.7), "short by 10 %");
    }

    #[test]
    fn only_the_generated_part_of_the_page_changes() {
        let [begin, end] = marks("x");
        let page = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(page.path(), format!("# Before\n{begin}\nold\n{end}\nafter\n")).expect("write");
        let section = Section {
            name: "x",
            title: "X",
            about: "How.".to_owned(),
            columns: &["a", "b"],
            rows: vec![vec!["1".to_owned(), "2".to_owned()]],
            data: Value::Null,
            bars: Vec::new(),
            missing: vec!["y: no y here".to_owned()],
        };
        write_page(page.path(), &Machine::current(true), &[section]).expect("write the page");
        let written = std::fs::read_to_string(page.path()).expect("read");
        assert!(written.starts_with("# Before\n") && written.ends_with(&format!("{end}\nafter\n")));
        assert!(written.contains("| 1 | 2 |\n") && written.contains("Not measured: y: no y here."));
        assert!(!written.contains("old"));
    }
}
