//! `cargo xtask docs`: generates the diagrams and pictures of the documentation and the files in `deploy/`.

use std::process::Command;

use anyhow::Result;

use crate::{artifacts, deploy, lint, setup, shell};

/// Options of `cargo xtask docs`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// A generator fails.
pub fn run(_: &Args) -> Result<()> {
    shell::step("docs", "the imports between folders in docs/architecture.md");
    lint::write_graph()?;
    setup::toolchain()?;
    shell::step("docs", "pictures of `observer top` in docs/images");
    let built = artifacts::build(&["build", "--example", "top_svg"])?;
    let images = shell::root().join("docs/images");
    shell::run(Command::new(artifacts::program(&built, "top_svg")?).arg(images))?;
    deploy::run(&deploy::Args::files())
}
