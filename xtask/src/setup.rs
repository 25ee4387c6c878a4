//! `cargo xtask setup`: installs what building and testing need, and reports each step.
//!
//! What is installed already is not changed; a second run does not use the network.

mod packages;
mod python;
mod source;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

pub use packages::{Group, packages};
pub use python::{environment, lint_python};
pub use source::Way;
use source::rustup_add;

use crate::toolchain::{self, BPF_LINKER, PROGRAMS, Toolchain};
use crate::{artifacts, shell};

/// Options of `cargo xtask setup`.
#[derive(clap::Args)]
pub struct Args {
    /// Install only what building needs: no Debian packages, no root
    #[arg(long)]
    build_only: bool,
    /// Source of Rust's standard library
    #[arg(long, value_enum, default_value_t = Way::Any)]
    rust_src: Way,
}

/// Runs the command.
///
/// # Errors
/// The step that failed, and why.
pub fn run(args: &Args) -> Result<()> {
    let toolchain = install(args.rust_src)?;
    lint_tools()?;
    if !args.build_only {
        lint_python()?;
        ensure(&Group::ALL)?;
    }
    probe(&toolchain)?;
    shell::step("setup", "complete");
    Ok(())
}

/// The BPF toolchain, installed first if it is missing.
///
/// # Errors
/// What cannot be installed, why, and what to do.
pub fn toolchain() -> Result<Toolchain> {
    install(Way::Any)
}

/// Installs what is missing of the Debian packages of `groups`.
///
/// # Errors
/// As [`packages`].
pub fn ensure(groups: &[Group]) -> Result<()> {
    let names: Vec<&str> = groups.iter().flat_map(|group| group.packages()).copied().collect();
    packages(&names)
}

/// Installs rustfmt and clippy if they are missing.
///
/// # Errors
/// Rustup cannot install them.
pub fn lint_tools() -> Result<()> {
    for (tool, component) in [("cargo-fmt", "rustfmt"), ("cargo-clippy", "clippy")] {
        if shell::output(Command::new(tool).arg("--version")).is_ok() {
            continue;
        }
        shell::step("setup", &format!("installing {component} with rustup"));
        rustup_add(component).with_context(|| {
            format!("installing {component} failed; install it for Rust {} by hand", toolchain::RUST)
        })?;
    }
    Ok(())
}

fn install(way: Way) -> Result<Toolchain> {
    let root = shell::root();
    if way == Way::Any
        && let Ok(found) = Toolchain::find(&root)
    {
        return Ok(found);
    }
    let sysroot = toolchain::sysroot().map_err(|cause| {
        anyhow!("{cause}; install it, or run this inside the repository, where rustup selects it")
    })?;
    let dir = toolchain::dir(&root);
    let _held = lock(&dir)?;
    linker(&dir, &sysroot)?;
    source::install(&dir, &sysroot, way)?;
    Toolchain::find(&root).map_err(|error| anyhow!(error))
}

/// A second run waits for the first, because both write to the same files.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    fs::create_dir_all(dir)
        .and_then(|()| File::create(&path))
        .and_then(|file| file.lock().map(|()| file))
        .with_context(|| {
            format!(
                "locking {} failed; set {} to a writable directory",
                path.display(),
                toolchain::DIR_VARIABLE
            )
        })
}

fn linker(dir: &Path, sysroot: &Path) -> Result<()> {
    let linker = toolchain::linker(dir);
    if toolchain::check_linker(&linker, sysroot).is_ok() {
        return Ok(());
    }
    shell::step("setup", &format!("installing bpf-linker {BPF_LINKER} (about a minute)"));
    let build = dir.join("build");
    let mut cargo = shell::cargo();
    cargo
        .args(["install", "--quiet", "--locked", "--force", "bpf-linker", "--version", BPF_LINKER, "--root"])
        .arg(dir)
        .arg("--target-dir")
        .arg(&build)
        // The flags are meant for the caller's own builds.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET");
    shell::output(&mut cargo).with_context(|| {
        format!(
            "installing bpf-linker {BPF_LINKER} into {} failed; allow access to the crate registry, or set {} to the \
             directory of another checkout",
            dir.display(),
            toolchain::DIR_VARIABLE
        )
    })?;
    fs::remove_dir_all(&build).with_context(|| format!("removing {} failed", build.display()))?;
    toolchain::check_linker(&linker, sysroot).map_err(|cause| anyhow!("bpf-linker is installed, but {cause}"))
}

/// Builds the BPF programs, checks the result and loads it.
fn probe(toolchain: &Toolchain) -> Result<()> {
    shell::step("setup", "checking the BPF programs (half a minute the first time)");
    let dir = toolchain.target_dir().join("probe");
    fs::create_dir_all(&dir).with_context(|| format!("creating {} failed", dir.display()))?;
    toolchain.build(&dir).map_err(|error| anyhow!(error))?;
    let object = dir.join(PROGRAMS);
    check_object(&object)?;
    load_probe()
}

/// Checks that `object` is an ELF file for the BPF machine with type information in it.
fn check_object(object: &Path) -> Result<()> {
    const MACHINE: std::ops::Range<usize> = 18..20;
    const EM_BPF: [u8; 2] = 247_u16.to_le_bytes();
    let bytes = fs::read(object).with_context(|| format!("reading {} failed", object.display()))?;
    if !bytes.starts_with(b"\x7fELF") || bytes.get(MACHINE) != Some(&EM_BPF) {
        bail!("{} is not a BPF object; the linker is not bpf-linker {BPF_LINKER}", object.display());
    }
    if !bytes.windows(5).any(|window| window == b".BTF\0") {
        bail!("{} has no BTF: the linker ignored --btf", object.display());
    }
    Ok(())
}

/// Loads every program into the running kernel.
fn load_probe() -> Result<()> {
    if !shell::is_root() {
        shell::step("setup", "programs not loaded: root is needed");
        return Ok(());
    }
    shell::step("setup", "loading the BPF programs (builds observer, two minutes the first time)");
    let built = artifacts::build(&["build", "--bin", "observer"])?;
    let observer = artifacts::program(&built, "observer")?;
    shell::run(Command::new(observer).arg("probe").stdout(Stdio::null()))
}
