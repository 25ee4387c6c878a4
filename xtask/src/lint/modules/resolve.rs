//! Where a path leads: to a module of ours, or to another project's crate.

use super::{Module, Workspace};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// Something in one of our crates.
    Ours {
        /// The crate and the module that define it.
        defined: (usize, usize),
        /// Modules through which the path leads, re-exports included; the last is the one that defines it.
        through: Vec<(usize, usize)>,
    },
    /// A crate that is not ours, a primitive type, or a name that nothing here defines: the path in full.
    Foreign(Vec<String>),
}

/// Names that are being looked up: `use a;` and globs of each other must not recurse forever.
type Pending = Vec<(usize, usize, String)>;

impl Workspace {
    /// What `segments` name in a module.
    pub fn resolve(&self, krate: usize, module: usize, segments: &[String]) -> Resolved {
        self.path((krate, module), segments, &mut Pending::new())
            .unwrap_or_else(|| Resolved::Foreign(segments.to_vec()))
    }

    fn at(&self, (krate, module): (usize, usize)) -> &Module {
        self.module(krate, module)
    }

    /// `None` if nothing of ours has the name.
    fn path(&self, from: (usize, usize), segments: &[String], pending: &mut Pending) -> Option<Resolved> {
        let (first, rest) = segments.split_first()?;
        match first.as_str() {
            "crate" => self.walk((from.0, 0), rest, pending),
            "self" if rest.first().is_some_and(|next| next == "super") => self.path(from, rest, pending),
            "self" => self.walk(from, rest, pending),
            "super" => {
                let mut at = (from.0, self.at(from).parent);
                let mut rest = rest;
                while let Some((first, after)) = rest.split_first()
                    && first == "super"
                {
                    at = (at.0, self.at(at).parent);
                    rest = after;
                }
                self.walk(at, rest, pending)
            }
            "" => Some(self.external(rest)),
            _ => self.named(from, segments, pending).or_else(|| Some(self.external(segments))),
        }
    }

    /// Follows `segments` down from a module, which has been reached.
    fn walk(&self, at: (usize, usize), segments: &[String], pending: &mut Pending) -> Option<Resolved> {
        let here = || Resolved::Ours { defined: at, through: vec![at] };
        if segments.is_empty() {
            return Some(here());
        }
        let mut resolved = self.named(at, segments, pending).unwrap_or_else(here);
        if let Resolved::Ours { through, .. } = &mut resolved
            && through.first() != Some(&at)
        {
            through.insert(0, at);
        }
        Some(resolved)
    }

    /// What a module means by the first of `segments`, and on from there.
    fn named(&self, at: (usize, usize), segments: &[String], pending: &mut Pending) -> Option<Resolved> {
        let (first, rest) = segments.split_first()?;
        let module = self.at(at);
        if let Some(&child) = module.children.get(first) {
            return self.walk((at.0, child), rest, pending);
        }
        if module.items.contains(first) {
            return Some(Resolved::Ours { defined: at, through: vec![at] });
        }
        let question = (at.0, at.1, first.clone());
        if pending.contains(&question) {
            return None;
        }
        pending.push(question);
        let found = self.imported(module, at, first, rest, pending);
        pending.pop();
        found
    }

    fn imported(
        &self,
        module: &Module,
        at: (usize, usize),
        first: &str,
        rest: &[String],
        pending: &mut Pending,
    ) -> Option<Resolved> {
        if let Some(path) = module.imports.get(first) {
            return self.path(at, &[path, rest].concat(), pending);
        }
        module.globs.iter().find_map(|glob| {
            // Only a module of ours can be looked into.
            match self.path(at, glob, pending)? {
                Resolved::Ours { defined, .. } if defined != at => {
                    self.named(defined, &[&[first.to_owned()], rest].concat(), pending)
                }
                _ => None,
            }
        })
    }

    /// A path that begins with the name of a crate.
    fn external(&self, segments: &[String]) -> Resolved {
        let library = |name: &String| {
            self.crates.iter().position(|krate| krate.target.library && krate.target.name == *name)
        };
        segments
            .split_first()
            .and_then(|(first, rest)| self.walk((library(first)?, 0), rest, &mut Pending::new()))
            .unwrap_or_else(|| Resolved::Foreign(segments.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::modules::{How, Resolved, Target, Workspace};
    use crate::lint::tree::Tree;

    fn workspace(tree: &Tree) -> Workspace {
        let target =
            |name: &str, root: &str, library| Target { name: name.into(), root: root.into(), library };
        let targets = [target("a", "a/src/lib.rs", true), target("b", "b/src/lib.rs", true)];
        Workspace::load(tree, &targets)
    }

    /// The imports of a file: each with its line and the file, or the foreign path, that it leads to.
    fn imports(workspace: &Workspace, file: &str) -> Vec<(usize, String)> {
        let found = workspace.references().filter(|&(krate, module, reference)| {
            workspace.module(krate, module).file == file && reference.how != How::Method
        });
        let place = |(krate, module, reference): (usize, usize, &super::super::Reference)| {
            let to = match workspace.resolve(krate, module, &reference.segments) {
                Resolved::Ours { defined, .. } => workspace.module(defined.0, defined.1).file.clone(),
                Resolved::Foreign(path) => path.join("::"),
            };
            (reference.line, to)
        };
        found.map(place).collect()
    }

    fn expect(workspace: &Workspace, file: &str, expected: &[(usize, &str)]) {
        let expected: Vec<_> = expected.iter().map(|&(line, to)| (line, to.to_owned())).collect();
        assert_eq!(imports(workspace, file), expected);
    }

    #[test]
    fn groups_supers_and_inline_paths_lead_to_files() {
        let tree = Tree::from([
            ("a/src/lib.rs", "mod one;\nmod two;"),
            ("a/src/one/mod.rs", "pub mod deep;\npub struct One;"),
            (
                "a/src/one/deep.rs",
                "use crate::{two::{Two, self}, one::One as Other};\n\
                 use super::{super::two, One};\n\
                 use std::io;\n\
                 fn f() { crate::two::f(); vec![super::super::two::g()]; two::f(); }",
            ),
            ("a/src/two.rs", "pub struct Two;\npub fn f() {}"),
        ]);
        expect(
            &workspace(&tree),
            "a/src/one/deep.rs",
            &[
                (1, "a/src/two.rs"),
                (1, "a/src/two.rs"),
                (1, "a/src/one/mod.rs"),
                (2, "a/src/two.rs"),
                (2, "a/src/one/mod.rs"),
                (3, "std::io"),
                (4, "a/src/two.rs"),
                (4, "a/src/two.rs"),
                (4, "a/src/two.rs"),
            ],
        );
    }

    #[test]
    fn a_re_export_leads_to_what_defines_it() {
        let tree = Tree::from([
            ("a/src/lib.rs", "pub mod x;\nmod y;"),
            ("a/src/x/mod.rs", "mod inner;\nmod other;\npub use inner::Thing;\npub use other::*;"),
            ("a/src/x/inner.rs", "pub struct Thing;\nuse super::Glob;"),
            ("a/src/x/other.rs", "pub enum Glob { A }\nuse super::Unknown;"),
            ("a/src/y.rs", "use crate::x::{Thing, Glob};\nuse Glob::A;"),
            ("b/src/lib.rs", "use a::x::Thing;\nuse ::a::x;"),
        ]);
        let workspace = workspace(&tree);
        expect(&workspace, "a/src/x/inner.rs", &[(2, "a/src/x/other.rs")]);
        expect(&workspace, "a/src/x/other.rs", &[(2, "a/src/x/mod.rs")]);
        let glob = "a/src/x/other.rs";
        expect(&workspace, "a/src/y.rs", &[(1, "a/src/x/inner.rs"), (1, glob), (2, glob)]);
        expect(&workspace, "b/src/lib.rs", &[(1, "a/src/x/inner.rs"), (2, "a/src/x/mod.rs")]);
    }

    #[test]
    fn test_code_and_files_named_by_path_are_recognized() {
        let tree = Tree::from([
            (
                "a/src/lib.rs",
                "#[path = \"../other/far.rs\"]\nmod far;\n#[cfg(test)]\nmod tests { use super::far; }\nuse far::F;",
            ),
            ("a/other/far.rs", "pub struct F;\nmod near;"),
            ("a/other/near.rs", "use super::F;"),
        ]);
        let workspace = workspace(&tree);
        expect(&workspace, "a/other/near.rs", &[(1, "a/other/far.rs")]);
        let tests: Vec<_> = workspace.references().map(|(_, _, at)| (at.line, at.test)).collect();
        assert_eq!(tests, [(5, false), (1, false), (4, true)]);
    }
}
