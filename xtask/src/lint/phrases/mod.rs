//! Wording: phrases that a native writer would not use, and names that the project has given up.
//!
//! The table is `table.rs`. This folder is exempt from its own check, as is text that others wrote.

mod table;
mod text;

use std::collections::BTreeSet;

use regex_lite::Regex;

use super::tree::Tree;
use super::violation::Violation;
use table::{NAMES, PHRASES, Phrase};
use text::Prose;

/// Beginnings of paths that are not checked, and why.
const EXEMPT: &[(&str, &str)] = &[
    ("CHANGELOG.md", "names what was renamed"),
    ("Cargo.lock", "names of other projects"),
    ("observer-common/fuzz/Cargo.lock", "names of other projects"),
    ("LICENSE-", "text of others"),
    ("observer/tests/data/doctor/", "output of other programs, as published"),
    ("observer/tests/data/topology/", "output of other programs"),
    ("xtask/src/lint/phrases/", "the table itself"),
];

/// Every use of a phrase or name of the table.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let phrases: Vec<Matcher> = PHRASES.iter().map(Matcher::new).collect();
    let names: Vec<Matcher> = NAMES.iter().map(Matcher::new).collect();
    let mut found = BTreeSet::new();
    for (path, text) in &tree.0 {
        if EXEMPT.iter().any(|(exempt, _)| path.starts_with(exempt)) {
            continue;
        }
        let prose = Prose::of(path, text);
        let lower = text.to_ascii_lowercase();
        let mut report = |line, matched: &str, instead: &str, kind: &str| {
            found.insert(Violation {
                path: path.clone(),
                line,
                what: format!("{kind} `{}`", matched.trim()),
                remedy: format!("write {instead}"),
            });
        };
        for phrase in &phrases {
            for (at, matched) in phrase.find(&prose.text, &prose.text) {
                report(prose.line(at), matched, phrase.instead, "phrase");
            }
        }
        for name in &names {
            for (_, matched) in name.find(path, &path.to_ascii_lowercase()) {
                report(1, matched, name.instead, "file name with");
            }
            for (at, matched) in name.find(text, &lower) {
                let line = 1 + text[..at].bytes().filter(|&byte| byte == b'\n').count();
                report(line, matched, name.instead, "old name");
            }
        }
    }
    found.into_iter().collect()
}

/// A row of the table, ready to search with.
struct Matcher {
    pattern: Regex,
    /// Text that every match contains, in lower case: looking for it is much faster than the pattern.
    literal: String,
    instead: &'static str,
    unless: &'static [&'static str],
}

impl Matcher {
    fn new(phrase: &Phrase) -> Self {
        let Phrase { pattern, instead, unless } = *phrase;
        let literal = literal(pattern).to_ascii_lowercase();
        Self { pattern: Regex::new(pattern).expect("tested"), literal, instead, unless }
    }

    /// Every match with its place; `lower` is the text in lower case.
    fn find<'a>(&self, text: &'a str, lower: &str) -> impl Iterator<Item = (usize, &'a str)> {
        let wanted = lower.contains(&self.literal);
        let matches = wanted.then(|| self.pattern.find_iter(text)).into_iter().flatten();
        matches
            .map(|found| (found.start(), found.as_str()))
            .filter(|(_, matched)| !self.unless.iter().any(|unless| matched.contains(unless)))
    }
}

/// The longest piece of a pattern that every match contains as it stands. Empty if there is none.
fn literal(pattern: &str) -> String {
    let mut pieces = vec![String::new()];
    let mut depth = 0;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let plain = depth == 0 && (c.is_ascii_alphanumeric() || " -_/:".contains(c));
        match c {
            _ if plain => {
                if let Some(piece) = pieces.last_mut() {
                    piece.push(c);
                }
                continue;
            }
            '|' if depth == 0 => return String::new(),
            '?' | '*' => {
                // It makes the character before optional.
                if let Some(piece) = pieces.last_mut() {
                    piece.pop();
                }
            }
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '\\' => _ = chars.next(),
            _ => {}
        }
        pieces.push(String::new());
    }
    pieces.into_iter().max_by_key(String::len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Tree::from([(path, text)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_phrase_is_reported_with_file_line_and_suggestion() {
        let expected = "docs/a.md:2: phrase `held against`; write compared with";
        assert_eq!(found("docs/a.md", "Fine.\nIt is held against it.\n"), [expected]);
        // Across lines of a comment, but not in code.
        let rust = "let held = against;\n/// It is held\n/// against it.\nfn f() {}\n";
        assert_eq!(found("observer/src/a.rs", rust), [expected.replace("docs/a.md", "observer/src/a.rs")]);
    }

    #[test]
    fn an_old_name_is_reported_in_code_and_in_the_name_of_a_file() {
        let rust = "use a::b;\nstruct Stranger;\n";
        assert_eq!(found("a.rs", rust), ["a.rs:2: old name `Stranger`; write unknown peer"]);
        assert_eq!(found("docs/price.md", "").len(), 1);
        assert_eq!(found("a.rs", "fn is_too_big() -> u8 { libc::PKT_TOO_BIG }"), [""; 0]);
    }

    #[test]
    fn ordinary_english_passes() {
        let text = "There is no route. It is no longer used. The kernel drops packets before XDP. \
                    As many bytes as fit. Protects against spoofing. The file says hello in the README.";
        let text = text.replace("The file says hello in the README.", "See what the README says.");
        assert_eq!(found("docs/a.md", &text), [""; 0]);
    }

    #[test]
    fn what_others_wrote_is_exempt() {
        assert_eq!(found("observer/tests/data/doctor/a.txt", "held against a stranger"), [""; 0]);
        assert_eq!(found("CHANGELOG.md", "`--price` is `--cost`"), [""; 0]);
    }

    #[test]
    fn every_pattern_compiles_and_its_literal_is_lower_case() {
        for phrase in PHRASES.iter().chain(NAMES) {
            Regex::new(phrase.pattern).expect(phrase.pattern);
        }
        for phrase in PHRASES {
            assert!(
                !phrase.pattern.contains(char::is_uppercase),
                "{}: prose is in lower case",
                phrase.pattern
            );
        }
    }

    #[test]
    fn a_literal_is_what_every_match_contains() {
        assert_eq!(literal(r"\b(is|are) told\b"), " told");
        assert_eq!(literal(r"strangers?"), "stranger");
        assert_eq!(literal("a|b"), "");
        assert_eq!(literal(r"[Pp]rice"), "rice");
        assert_eq!(literal(r"\bmend(ed|s)?\b"), "mend");
    }
}
