//! The BPF toolchain: its location, and the cargo command for the BPF side.
//!
//! `cargo xtask setup` installs it. `observer/build.rs` includes this file by `#[path]`, so that build, linter and
//! set-up agree; it therefore uses only `std`.
//! The choices are explained in `docs/decisions/0001-toolchain.md`.

use std::env::{self, consts::ARCH};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The compiler of both sides; its LLVM is the newest that [`BPF_LINKER`] reads.
pub const RUST: &str = "1.95.0";
/// The linker of the BPF side.
pub const BPF_LINKER: &str = "0.10.3";
/// Environment variable with the toolchain's directory (default: `.toolchain` in the repository).
pub const DIR_VARIABLE: &str = "OBSERVER_TOOLCHAIN_DIR";
/// The crate of the BPF programs, its main object, and the file in `OUT_DIR`.
pub const PROGRAMS: &str = "observer-ebpf";
/// The object with the benchmark's baselines.
pub const BENCH: &str = "observer-bench";
/// The object that measures the cost of encapsulation, loaded on request.
pub const COST: &str = "observer-cost";

const TARGET: &str = "bpfel-unknown-none";

/// The directory of the toolchain.
pub fn dir(root: &Path) -> PathBuf {
    root.join(env::var_os(DIR_VARIABLE).unwrap_or_else(|| ".toolchain".into()))
}

/// The linker inside `dir`.
pub fn linker(dir: &Path) -> PathBuf {
    dir.join("bin/bpf-linker")
}

/// The private copy of the standard library's source inside `dir`, `library/` of rust-src.
pub fn private_source(dir: &Path) -> PathBuf {
    dir.join(format!("rust-src-{RUST}/library"))
}

/// The compiler's own copy of the standard library's source, which `rustup component add` installs.
pub fn own_source(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library")
}

/// Where the compiler in use is installed.
///
/// # Errors
/// The compiler does not start, or is not [`RUST`].
pub fn sysroot() -> Result<PathBuf, String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = output(Command::new(&rustc).arg("--version"))?;
    if version.split(' ').nth(1) != Some(RUST) {
        return Err(format!("the compiler is {version}, but the BPF programs need exactly rustc {RUST}"));
    }
    output(Command::new(&rustc).args(["--print", "sysroot"])).map(PathBuf::from)
}

/// Checks that the linker at `linker` exists, starts, and is [`BPF_LINKER`].
///
/// # Errors
/// The condition that is not met.
pub fn check_linker(linker: &Path, sysroot: &Path) -> Result<(), String> {
    if !linker.is_file() {
        return Err(format!("{} is missing", linker.display()));
    }
    let version = output(Command::new(linker).arg("--version").env("LD_LIBRARY_PATH", sysroot.join("lib")))?;
    if version != format!("bpf-linker {BPF_LINKER}") {
        return Err(format!("{} is {version} instead of {BPF_LINKER}", linker.display()));
    }
    Ok(())
}

/// A complete BPF toolchain.
pub struct Toolchain {
    root: PathBuf,
    sysroot: PathBuf,
    linker: PathBuf,
    /// `None` if the compiler has its own.
    source: Option<PathBuf>,
}

impl Toolchain {
    /// Finds the toolchain of the repository at `root`.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn find(root: &Path) -> Result<Self, String> {
        Self::locate(root)
            .map_err(|cause| format!("cannot build the BPF programs: {cause}; run `cargo xtask setup`"))
    }

    fn locate(root: &Path) -> Result<Self, String> {
        let root = canonical(root)?;
        let sysroot = sysroot()?;
        let dir = dir(&root);
        let linker = linker(&dir);
        check_linker(&linker, &sysroot)?;
        let private = private_source(&dir);
        let source = if private.is_dir() {
            // Cargo fails if this path contains `..`.
            Some(canonical(&private)?)
        } else if own_source(&sysroot).is_dir() {
            None
        } else {
            return Err(format!("the source of Rust {RUST}'s standard library is missing"));
        };
        Ok(Self { root, sysroot, linker: canonical(&linker)?, source })
    }

    /// `cargo <subcommand>` for the BPF programs: release profile, BPF target, own target directory.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_else(|_| ARCH.to_owned());
        let flags = [&format!("--cfg=bpf_target_arch=\"{arch}\""), "-Cdebuginfo=2", "-Clink-arg=--btf"];
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .arg(subcommand)
            .args(["--release", "--package", PROGRAMS, "--target", TARGET, "-Z", "build-std=core"])
            .arg("--target-dir")
            .arg(self.target_dir())
            .current_dir(&self.root)
            // `-Z` on the stable compiler whose LLVM the linker reads.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &self.linker)
            // The linker loads the LLVM of rustc.
            .env("LD_LIBRARY_PATH", self.sysroot.join("lib"))
            // The workspace's release profile is for user space; stripping would remove the BTF.
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
            .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
            .env("CARGO_PROFILE_RELEASE_STRIP", "none");
        // Set by an outer cargo or `cargo clippy` for itself. `HOST`, which build scripts receive, would cause
        // a rebuild of half of the BPF side whenever the caller changes.
        for variable in
            ["RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS", "RUSTFLAGS", "HOST"]
        {
            cargo.env_remove(variable);
        }
        match &self.source {
            Some(source) => cargo.env("__CARGO_TESTS_ONLY_SRC_ROOT", source),
            None => cargo.env_remove("__CARGO_TESTS_ONLY_SRC_ROOT"),
        };
        cargo
    }

    /// Builds the BPF objects and copies them to `out_dir`; returns the compiler's warnings.
    ///
    /// # Errors
    /// The compiler's output, or the file that could not be written.
    pub fn build(&self, out_dir: &Path) -> Result<String, String> {
        let dir = self.target_dir();
        let lock = dir.join("observer.lock");
        // All profiles share this directory: do not copy while another build links.
        let _held = fs::create_dir_all(&dir)
            .and_then(|()| File::create(&lock))
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| format!("cannot lock {}: {error}", lock.display()))?;
        let mut cargo = self.cargo("build");
        cargo.args(["--quiet", "--color", "never"]).stdin(Stdio::null());
        let output = cargo.output().map_err(|error| format!("cannot start {cargo:?}: {error}"))?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(format!("building {PROGRAMS} failed: {}\n{text}", output.status));
        }
        for name in [PROGRAMS, BENCH, COST] {
            let (object, copy) = (dir.join(TARGET).join("release").join(name), out_dir.join(name));
            if !self.without_debug(&object, &copy) {
                fs::copy(&object, &copy).map_err(|error| {
                    format!("cannot copy {} to {}: {error}", object.display(), copy.display())
                })?;
            }
        }
        Ok(text)
    }

    /// Copies an object without DWARF, which is four fifths of it and which no kernel reads: the verifier's lines
    /// and types are in BTF. Returns false if rustc came without objcopy; the program is then larger.
    fn without_debug(&self, object: &Path, copy: &Path) -> bool {
        let Ok(targets) = fs::read_dir(self.sysroot.join("lib/rustlib")) else { return false };
        let tools = targets.flatten().map(|target| target.path().join("bin/rust-objcopy"));
        let Some(tool) = tools.into_iter().find(|tool| tool.exists()) else { return false };
        // It loads the LLVM of rustc.
        let library = self.sysroot.join("lib");
        output(Command::new(tool).arg("--strip-debug").args([object, copy]).env("LD_LIBRARY_PATH", library))
            .is_ok()
    }

    /// Cargo's target directory of the BPF side.
    pub fn target_dir(&self) -> PathBuf {
        self.root.join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into())).join("bpf")
    }
}

fn canonical(path: &Path) -> Result<PathBuf, String> {
    path.canonicalize().map_err(|error| format!("cannot find {}: {error}", path.display()))
}

fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().display().to_string();
    let output = command.output().map_err(|error| format!("cannot start {program}: {error}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} failed: {}", error.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
