//! `cargo xtask lint`: one file a check, the fast ones first.

mod commits;
mod cycles;
mod layers;
mod modules;
mod phrases;
mod picture;
mod tools;
mod tree;
mod violation;

use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::shell;
use modules::Workspace;
use tree::Tree;
use violation::Violation;

/// Options of `cargo xtask lint`.
#[derive(Default, clap::Args)]
pub struct Args {
    /// Format the code instead of checking its format
    #[arg(long)]
    fix: bool,
    /// Run only this check; may be repeated (default: all but `commits` and `advisories`)
    #[arg(long, value_enum)]
    only: Vec<Check>,
    /// Print the imports between folders as a Mermaid diagram and exit
    #[arg(long, conflicts_with_all = ["fix", "only"])]
    graph: bool,
    /// Check commits after this one (default: origin/main, else the latest tag, else the last 20 commits)
    #[arg(long, value_name = "REVISION")]
    base: Option<String>,
}

impl Args {
    /// All checks, or those of text and format, which compile nothing.
    pub fn of_text_only(text_only: bool) -> Self {
        let only = if text_only {
            vec![Check::Layers, Check::Cycles, Check::Phrases, Check::Typos, Check::Format]
        } else {
            Vec::new()
        };
        Self { only, ..Self::default() }
    }
}

/// A check, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Check {
    /// Imports that a folder must not have
    Layers,
    /// Files that import each other in a loop
    Cycles,
    /// Phrases and names that the project does not use
    Phrases,
    /// Spelling
    Typos,
    /// Subjects of commits
    Commits,
    /// Licences, sources and duplicates of dependencies
    Deny,
    /// Known vulnerabilities of dependencies; needs the network
    Advisories,
    /// rustfmt
    Format,
    /// clippy, warnings denied
    Clippy,
}

/// Runs the command.
///
/// # Errors
/// What a check found, or why it could not run.
pub fn run(args: &Args) -> Result<()> {
    if args.graph {
        print!("{}", graph()?);
        return Ok(());
    }
    let wanted = |check: &Check| match args.only.as_slice() {
        // Shared history cannot be corrected, and the database of advisories changes without a commit.
        [] => !matches!(check, Check::Commits | Check::Advisories),
        only => only.contains(check),
    };
    let checks: Vec<Check> = Check::value_variants().iter().copied().filter(wanted).collect();
    let (texts, programs): (Vec<Check>, Vec<Check>) =
        checks.into_iter().partition(|check| check.reads_text());
    let mut sources = Sources::default();
    let mut violations = 0;
    for check in texts {
        let start = Instant::now();
        let found = sources.check(check, args)?;
        for violation in &found {
            println!("{violation}");
        }
        let (count, name) = (found.len(), check.name());
        let seconds = start.elapsed().as_secs_f64();
        shell::step("lint", &format!("{name}: {count} violations ({seconds:.1} s)"));
        violations += count;
    }
    if violations > 0 {
        bail!("{violations} violations of the project's rules");
    }
    for check in programs {
        let start = Instant::now();
        match check {
            Check::Deny => tools::deny()?,
            Check::Advisories => tools::advisories()?,
            Check::Format => tools::format(args.fix)?,
            _ => tools::clippy()?,
        }
        shell::step("lint", &format!("{}: passed ({:.1} s)", check.name(), start.elapsed().as_secs_f64()));
    }
    Ok(())
}

/// Writes the current diagram of imports into the page that shows it.
///
/// # Errors
/// The source cannot be read, or the page not be written.
pub fn write_graph() -> Result<()> {
    let path = shell::root().join(picture::PAGE);
    let page = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", picture::PAGE))?;
    let page = picture::insert(&page, &graph()?)
        .with_context(|| format!("{} has no marks for the diagram of imports", picture::PAGE))?;
    std::fs::write(&path, page).with_context(|| format!("cannot write {}", picture::PAGE))
}

/// The imports between folders as a Mermaid diagram.
///
/// # Errors
/// The source cannot be read.
fn graph() -> Result<String> {
    let mut sources = Sources::default();
    Ok(picture::mermaid(&cycles::graph(sources.workspace()?)))
}

impl Check {
    /// Whether it returns violations; the others are programs with their own output.
    fn reads_text(self) -> bool {
        !matches!(self, Self::Deny | Self::Advisories | Self::Format | Self::Clippy)
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// What checks read, each read once.
#[derive(Default)]
struct Sources {
    tree: Option<Tree>,
    workspace: Option<Workspace>,
}

impl Sources {
    fn tree(&mut self) -> Result<&Tree> {
        if self.tree.is_none() {
            self.tree = Some(Tree::read()?);
        }
        Ok(self.tree.as_ref().expect("just read"))
    }

    fn workspace(&mut self) -> Result<&Workspace> {
        if self.workspace.is_none() {
            let tree = self.tree()?;
            self.workspace = Some(Workspace::load(tree, &modules::targets(tree)?));
        }
        Ok(self.workspace.as_ref().expect("just read"))
    }

    fn check(&mut self, check: Check, args: &Args) -> Result<Vec<Violation>> {
        match check {
            Check::Layers => {
                self.workspace()?;
                let (tree, workspace) = (self.tree.as_ref(), self.workspace.as_ref());
                let (tree, workspace) = (tree.expect("just read"), workspace.expect("just read"));
                let mut found = workspace.broken.clone();
                found.extend(layers::check(tree, workspace));
                Ok(found)
            }
            Check::Cycles => {
                let graph = cycles::graph(self.workspace()?);
                let page = self.tree()?.text(picture::PAGE).unwrap_or_default();
                let mut found = cycles::check(&graph);
                found.extend(picture::check(page, &picture::mermaid(&graph)));
                Ok(found)
            }
            Check::Phrases => Ok(phrases::check(self.tree()?)),
            Check::Typos => tools::typos(),
            Check::Commits => commits::check(args.base.as_deref()),
            Check::Deny | Check::Advisories | Check::Format | Check::Clippy => Ok(Vec::new()),
        }
    }
}
