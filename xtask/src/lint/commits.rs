//! Subjects of commits: `area: what changes`, at most 72 characters.

use std::process::Command;

use anyhow::Result;

use super::violation::Violation;
use crate::shell;

const LONGEST: usize = 72;
/// How many commits are checked if there is neither a branch nor a tag to start from.
const LAST: &str = "20";

/// Checks the commits after `base`, merges left out.
///
/// # Errors
/// Git does not know `base`.
pub fn check(base: Option<&str>) -> Result<Vec<Violation>> {
    let base = base.map(str::to_owned).or_else(default);
    let mut log = git(&["log", "--no-merges", "--format=%h %s"]);
    match &base {
        Some(base) => log.arg(format!("{base}..HEAD")),
        None => log.args(["--max-count", LAST]),
    };
    let log = shell::output(&mut log)?;
    Ok(log
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(hash, subject)| one(hash, subject))
        .collect())
}

/// The branch that work starts from, or the latest release.
fn default() -> Option<String> {
    let branch = "origin/main";
    if shell::output(&mut git(&["rev-parse", "--verify", "--quiet", branch])).is_ok() {
        return Some(branch.to_owned());
    }
    let tag = shell::output(&mut git(&["describe", "--tags", "--abbrev=0"])).ok()?;
    Some(tag.trim().to_owned())
}

fn git(arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.current_dir(shell::root()).args(arguments);
    git
}

fn one(hash: &str, subject: &str) -> Option<Violation> {
    let length = subject.chars().count();
    let what = if length > LONGEST {
        format!("the subject has {length} characters, more than {LONGEST}: {subject}")
    } else if !has_area(subject) {
        format!("the subject does not start with an area: {subject}")
    } else {
        return None;
    };
    let remedy = "reword it as `area: what changes`, e.g. `lint: check import cycles`".to_owned();
    Some(Violation { path: format!("commit {hash}"), line: 1, what, remedy })
}

/// `area: text`, where an area is one or more lower-case names.
fn has_area(subject: &str) -> bool {
    let Some((area, text)) = subject.split_once(": ") else { return false };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_/., ".contains(c);
    area.starts_with(|c: char| c.is_ascii_alphanumeric())
        && area.chars().all(plain)
        && !text.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_an_area_and_fits() {
        let good = [
            "lint: check import cycles",
            "kernel, docs: say why",
            "observer-common/fuzz: seeds",
            "deps: bump x",
        ];
        for subject in good {
            assert_eq!(one("abc", subject), None);
        }
        for subject in ["Fix things", "lint:", "Lint: x", ": x", &format!("lint: {}", "x".repeat(67))] {
            assert!(one("abc", subject).is_some(), "{subject}");
        }
        let found = one("abc", "Fix things").map(|found| found.to_string()).unwrap_or_default();
        assert!(
            found.starts_with("commit abc:1: the subject does not start with an area: Fix things; reword"),
            "{found}"
        );
    }
}
