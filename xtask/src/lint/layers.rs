//! Which folder may import what.
//!
//! Test code (`#[cfg(test)]`, `tests/`, `benches/`) may import anything: it measures time, makes system calls
//! and compares a module with those that use it.

use std::collections::BTreeSet;

use super::modules::{How, Reference, Resolved, Workspace};
use super::tree::Tree;
use super::violation::Violation;

/// What a rule forbids.
enum Forbidden {
    /// Modules of the crate `observer`.
    Modules(&'static [&'static str]),
    /// Other crates.
    Crates(&'static [&'static str]),
    /// Functions, by the last two segments of a path, and methods, by `.name`.
    Calls(&'static [&'static str]),
}

use Forbidden::{Calls, Crates, Modules};

/// A rule: files under `paths` must not use what it forbids, except those under `except`.
struct Rule {
    paths: &'static [&'static str],
    except: &'static [&'static str],
    forbidden: Forbidden,
    remedy: &'static str,
}

/// Beginnings of paths. What they hold is computed from values alone.
const PURE: &[&str] = &[
    "observer-common/src/",
    "observer/src/topology/",
    "observer/src/model/",
    "observer/src/advice/",
    "observer/src/snapshot",
    "observer/src/recording/",
    "observer/src/trace/",
    "observer/src/calico/",
    "observer/src/capture/",
    "observer/src/fleet/assemble",
    "observer/src/fleet/query",
];

/// Crates that Observer ships; the others are tools for its developers.
const PRODUCT: &[&str] = &["observer/src/", "observer-common/src/", "observer-ebpf/src/"];

const CLOCK: &[&str] = &["SystemTime::now", "Instant::now", ".elapsed"];

const RULES: &[Rule] = &[
    Rule {
        paths: PURE,
        except: &[],
        forbidden: Modules(&["cli", "command", "kernel", "view", "export"]),
        remedy: "move what both need to a lower module, or pass it as a parameter",
    },
    Rule { paths: PURE, except: &[], forbidden: Calls(CLOCK), remedy: "take the time as a parameter" },
    Rule {
        paths: &["observer/src/view/"],
        except: &[],
        forbidden: Modules(&["kernel", "command", "cli", "export", "kubernetes"]),
        remedy: "take a value of the model instead",
    },
    Rule {
        paths: &["observer/src/export/"],
        except: &[],
        forbidden: Modules(&["kernel", "command"]),
        remedy: "pass it from command/",
    },
    Rule {
        paths: &["observer/src/kernel/"],
        except: &[],
        forbidden: Modules(&["view", "command", "cli", "export", "advice"]),
        remedy: "define it in kernel/ or below, and convert in command/",
    },
    Rule {
        paths: &["observer/src/cli"],
        except: &[],
        forbidden: Modules(&["command", "kernel", "view"]),
        remedy: "define the option's type in cli/ or below, and convert in command/",
    },
    Rule {
        paths: PRODUCT,
        except: &["observer/src/command/"],
        forbidden: Crates(&["anyhow"]),
        remedy: "return an error type of the module; only command/ uses anyhow",
    },
    Rule {
        paths: PRODUCT,
        except: &["observer/src/kernel/", "observer/src/process.rs", "observer/src/process/"],
        forbidden: Crates(&["libc", "rustix"]),
        remedy: "move the system call to kernel/ or process.rs",
    },
    Rule {
        paths: &["observer/src/"],
        except: &["observer/src/kernel/"],
        forbidden: Crates(&["aya", "aya_log", "rtnetlink"]),
        remedy: "move it to kernel/",
    },
];

/// Everything that breaks a rule, and rules that no longer apply to any file.
pub fn check(tree: &Tree, workspace: &Workspace) -> Vec<Violation> {
    let mut found = stale(tree);
    for (krate, module, reference) in workspace.references().filter(|(.., reference)| !reference.test) {
        let from = workspace.module(krate, module);
        for rule in RULES.iter().filter(|rule| rule.covers(&from.file)) {
            if let Some(what) = rule.broken(workspace, (krate, module), reference) {
                found.push(Violation {
                    path: from.file.clone(),
                    line: reference.line,
                    what: format!("{} must not use {what}", rule.place(&from.file)),
                    remedy: rule.remedy.to_owned(),
                });
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Prefixes of the table that no file begins with: a rule that guards nothing.
fn stale(tree: &Tree) -> Vec<Violation> {
    let paths: BTreeSet<&str> = RULES.iter().flat_map(|rule| rule.paths).copied().collect();
    let unused = paths.into_iter().filter(|prefix| !tree.0.keys().any(|path| path.starts_with(prefix)));
    unused
        .map(|prefix| Violation {
            path: file!().to_owned(),
            line: 1,
            what: format!("the table names {prefix}, but no file is there"),
            remedy: "correct the table".to_owned(),
        })
        .collect()
}

impl Rule {
    fn covers(&self, file: &str) -> bool {
        let below = |prefixes: &[&str]| prefixes.iter().any(|prefix| file.starts_with(prefix));
        below(self.paths) && !below(self.except)
    }

    /// The part of the table that covers a file.
    fn place(&self, file: &str) -> &'static str {
        let mut prefixes = self.paths.iter().filter(|prefix| file.starts_with(**prefix));
        prefixes.next().copied().unwrap_or_default()
    }

    /// What a reference uses against this rule.
    fn broken(&self, workspace: &Workspace, from: (usize, usize), reference: &Reference) -> Option<String> {
        match self.forbidden {
            Modules(names) => {
                let Resolved::Ours { through, .. } = target(workspace, from, reference)? else { return None };
                let modules = through.iter().filter(|at| workspace.crates[at.0].target.name == "observer");
                let mut tops = modules.filter_map(|&(krate, at)| workspace.module(krate, at).path.first());
                let top = tops.find(|top| names.contains(&top.as_str()))?;
                Some(format!("crate::{top} (`{}`)", reference.segments.join("::")))
            }
            Crates(names) => {
                let Resolved::Foreign(path) = target(workspace, from, reference)? else { return None };
                let name = path.first().filter(|name| names.contains(&name.as_str()))?;
                Some(format!("the crate {name} (`{}`)", reference.segments.join("::")))
            }
            Calls(names) => {
                let call = match (reference.how, &reference.segments[..]) {
                    (How::Method, [name]) => format!(".{name}"),
                    (_, [.., owner, name]) => format!("{owner}::{name}"),
                    _ => return None,
                };
                names.contains(&call.as_str()).then(|| format!("{call}()"))
            }
        }
    }
}

/// What a reference names. `None` for methods, and for paths that begin with an imported name: the import is
/// reported already.
fn target(workspace: &Workspace, from: (usize, usize), reference: &Reference) -> Option<Resolved> {
    let imported = |name| workspace.module(from.0, from.1).imports.contains_key(name);
    match reference.how {
        How::Method => None,
        How::Inline if reference.segments.first().is_some_and(imported) => None,
        _ => Some(workspace.resolve(from.0, from.1, &reference.segments)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::modules::Target;

    /// What `check` reports about a file of the crate `observer` with this text.
    fn found(file: &str, text: &str) -> Vec<String> {
        let path = file.trim_start_matches("observer/src/").trim_end_matches(".rs").replace('/', "::");
        let (parent, child) = path.split_once("::").unwrap_or((&path, ""));
        let root = format!("mod kernel;\nmod {parent};");
        let tree = Tree::from([
            ("observer/src/lib.rs", root.as_str()),
            ("observer/src/kernel/mod.rs", "pub mod sys;\npub use sys::Thing;"),
            ("observer/src/kernel/sys.rs", "pub struct Thing;"),
            (&format!("observer/src/{parent}/mod.rs"), &format!("mod {child};")),
            (file, text),
        ]);
        let target = Target { name: "observer".into(), root: "observer/src/lib.rs".into(), library: true };
        let found = check(&tree, &Workspace::load(&tree, &[target]));
        // The small tree has few of the folders that the table names.
        let here = found.iter().filter(|found| found.path == file);
        here.map(|found| format!("{}: {}", found.line, found.what)).collect()
    }

    #[test]
    fn the_kernel_in_the_model_is_reported_with_file_and_line() {
        let text = "use std::fmt;\nuse crate::{\n    kernel::Thing,\n};\nfn f() { crate::kernel::sys::g(); }";
        let expected = [
            "3: observer/src/model/ must not use crate::kernel (`crate::kernel::Thing`)",
            "5: observer/src/model/ must not use crate::kernel (`crate::kernel::sys::g`)",
        ];
        assert_eq!(found("observer/src/model/planted.rs", text), expected);
        let nested = "use super::super::kernel::{self, Thing};\nfn f() { kernel::g(); Thing::new(); }";
        assert_eq!(found("observer/src/model/planted.rs", nested).len(), 2);
    }

    #[test]
    fn clocks_and_crates_are_reported_where_the_table_says() {
        let text = "use std::time::Instant;\nfn f() { let at = Instant::now();\nat.elapsed(); }\nuse anyhow::Result;";
        let expected = [
            "2: observer/src/model/ must not use Instant::now()",
            "3: observer/src/model/ must not use .elapsed()",
            "4: observer/src/ must not use the crate anyhow (`anyhow::Result`)",
        ];
        assert_eq!(found("observer/src/model/planted.rs", text), expected);
        assert_eq!(found("observer/src/command/planted.rs", text), [""; 0]);
        assert_eq!(found("observer/src/export/planted.rs", "fn f() { libc::close(0); }").len(), 1);
        assert_eq!(found("observer/src/kernel/planted.rs", "fn f() { libc::close(0); }"), [""; 0]);
    }

    #[test]
    fn tests_may_import_anything() {
        let text = "#[cfg(test)]\nmod tests { use crate::kernel::Thing; use anyhow::Result; }";
        assert_eq!(found("observer/src/model/planted.rs", text), [""; 0]);
    }

    #[test]
    fn a_rule_about_nothing_is_reported() {
        let stale = stale(&Tree::default());
        assert!(stale.iter().any(|found| found.what.contains("observer/src/model/")), "{stale:?}");
    }
}
