//! The modules of every crate and what each refers to, read from the source with `syn`.
//!
//! Macros are not expanded: paths of two or more segments in their arguments count as references. Test
//! code is marked, and targets that consist of it are not read.

mod load;
mod parse;
mod resolve;
mod targets;

use std::collections::{BTreeMap, BTreeSet};

pub use resolve::Resolved;
pub use targets::{Target, targets};

use super::tree::Tree;
use super::violation::Violation;

/// How a path is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// `use a::b`
    Import,
    /// `use a::b::*`: the path is `a::b`
    Glob,
    /// `a::b` in an expression, a type or a macro's arguments
    Inline,
    /// `.name()`: the path is the name alone
    Method,
}

/// A path in the source.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Its segments as written; a leading `::` is an empty one.
    pub segments: Vec<String>,
    /// Its line, from 1.
    pub line: usize,
    /// How it is written.
    pub how: How,
    /// Whether only tests compile it.
    pub test: bool,
}

/// A module: a file, or a block in one.
#[derive(Debug, Default)]
pub struct Module {
    /// Names from the crate's root down to this module; empty for the root.
    pub path: Vec<String>,
    /// The file that has its text.
    pub file: String,
    /// The index of its parent; the root is its own.
    pub parent: usize,
    /// Indices of its children.
    pub children: BTreeMap<String, usize>,
    /// Names that it defines.
    pub items: BTreeSet<String>,
    /// Names that it imports, with their paths.
    pub imports: BTreeMap<String, Vec<String>>,
    /// Paths whose every name it imports.
    pub globs: Vec<Vec<String>>,
    /// Everything that it refers to.
    pub references: Vec<Reference>,
}

/// A crate: one target of a package.
#[derive(Debug)]
pub struct Crate {
    /// What it was read from.
    pub target: Target,
    /// Its modules; the first is the root.
    pub modules: Vec<Module>,
}

/// All crates.
#[derive(Debug, Default)]
pub struct Workspace {
    /// The crates, in the order of their targets.
    pub crates: Vec<Crate>,
    /// Files that could not be parsed.
    pub broken: Vec<Violation>,
}

impl Workspace {
    /// Reads the crates of `targets` out of `tree`.
    pub fn load(tree: &Tree, targets: &[Target]) -> Self {
        let mut workspace = Self::default();
        for target in targets {
            let modules = load::modules(tree, target, &mut workspace.broken);
            workspace.crates.push(Crate { target: target.clone(), modules });
        }
        workspace
    }

    /// Every reference with the place of its module: crate, module, reference.
    pub fn references(&self) -> impl Iterator<Item = (usize, usize, &Reference)> {
        self.crates.iter().enumerate().flat_map(|(at, krate)| {
            krate.modules.iter().enumerate().flat_map(move |(module, found)| {
                found.references.iter().map(move |reference| (at, module, reference))
            })
        })
    }

    /// A module.
    pub fn module(&self, krate: usize, module: usize) -> &Module {
        &self.crates[krate].modules[module]
    }
}
