//! The BPF toolchain: where it lies, and the one way to call cargo for the BPF side.
//!
//! `cargo xtask setup` installs it. `observer/build.rs` includes this file by `#[path]`, so that the
//! build, the linter and the set-up can never disagree; it therefore uses nothing but `std`.
//! The choices are explained in `docs/decisions/0001-toolchain.md`.

use std::env::{self, consts::ARCH};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The compiler of both sides; its LLVM is the newest that [`BPF_LINKER`] reads.
pub const RUST: &str = "1.95.0";
/// The linker of the BPF side.
pub const BPF_LINKER: &str = "0.10.3";
/// Names another directory for the toolchain than `.toolchain` in the repository.
pub const DIR_VARIABLE: &str = "OBSERVER_TOOLCHAIN_DIR";
/// The crate of the BPF programs, its main object, and the file in `OUT_DIR`.
pub const PROGRAMS: &str = "observer-ebpf";
/// The object that the benchmark holds the programs against.
pub const BENCH: &str = "observer-bench";
/// The object that measures the cost of encapsulation, loaded only where it is asked for.
pub const COST: &str = "observer-cost";

const TARGET: &str = "bpfel-unknown-none";

/// Where set-up puts what it fetches.
pub fn dir(root: &Path) -> PathBuf {
    root.join(env::var_os(DIR_VARIABLE).unwrap_or_else(|| ".toolchain".into()))
}

/// The linker inside `dir`.
pub fn linker(dir: &Path) -> PathBuf {
    dir.join("bin/bpf-linker")
}

/// The private copy of the standard library's source inside `dir`: what `library/` is in rust-src.
pub fn private_source(dir: &Path) -> PathBuf {
    dir.join(format!("rust-src-{RUST}/library"))
}

/// The compiler's own copy of the standard library's source, which `rustup component add` makes.
pub fn own_source(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library")
}

/// Where the compiler in use is installed.
///
/// # Errors
/// The compiler does not start, or is not [`RUST`].
pub fn sysroot() -> Result<PathBuf, String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = said(Command::new(&rustc).arg("--version"))?;
    if version.split(' ').nth(1) != Some(RUST) {
        return Err(format!("the compiler is {version}, but the BPF programs need exactly rustc {RUST}"));
    }
    said(Command::new(&rustc).args(["--print", "sysroot"])).map(PathBuf::from)
}

/// Checks that the linker at `linker` is there, starts, and is [`BPF_LINKER`].
///
/// # Errors
/// Which of these does not hold.
pub fn check_linker(linker: &Path, sysroot: &Path) -> Result<(), String> {
    if !linker.is_file() {
        return Err(format!("{} is missing", linker.display()));
    }
    let version = said(Command::new(linker).arg("--version").env("LD_LIBRARY_PATH", sysroot.join("lib")))?;
    if version != format!("bpf-linker {BPF_LINKER}") {
        return Err(format!("{} is {version}, wanted is {BPF_LINKER}", linker.display()));
    }
    Ok(())
}

/// A BPF toolchain that is complete.
pub struct Toolchain {
    root: PathBuf,
    sysroot: PathBuf,
    linker: PathBuf,
    /// `None` where the compiler has its own.
    source: Option<PathBuf>,
}

impl Toolchain {
    /// Finds the toolchain of the repository at `root`.
    ///
    /// # Errors
    /// What is missing or wrong, and that set-up is the remedy.
    pub fn find(root: &Path) -> Result<Self, String> {
        Self::look(root).map_err(|cause| {
            format!("the BPF programs cannot be built: {cause}; `cargo xtask setup` installs what is missing")
        })
    }

    fn look(root: &Path) -> Result<Self, String> {
        let root = canonical(root)?;
        let sysroot = sysroot()?;
        let dir = dir(&root);
        let linker = linker(&dir);
        check_linker(&linker, &sysroot)?;
        let private = private_source(&dir);
        let source = if private.is_dir() {
            // Cargo fails where this path has `..` in it.
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
            // The workspace's release profile is for the user side: stripping would lose the BTF.
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
            .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
            .env("CARGO_PROFILE_RELEASE_STRIP", "none");
        // What an outer cargo, or `cargo clippy`, has set for its own run; `HOST`, which build scripts
        // are given, would build half of the BPF side anew each time the caller changes.
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
    /// What the compiler said, or the file that could not be written.
    pub fn build(&self, out_dir: &Path) -> Result<String, String> {
        let dir = self.target_dir();
        let lock = dir.join("observer.lock");
        // Every profile of the user side shares this directory: no copy while another build links.
        let _held = fs::create_dir_all(&dir)
            .and_then(|()| File::create(&lock))
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| format!("cannot lock {}: {error}", lock.display()))?;
        let mut cargo = self.cargo("build");
        cargo.args(["--quiet", "--color", "never"]).stdin(Stdio::null());
        let output = cargo.output().map_err(|error| format!("cannot start {cargo:?}: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(format!("building {PROGRAMS} failed: {}\n{said}", output.status));
        }
        for name in [PROGRAMS, BENCH, COST] {
            let (object, copy) = (dir.join(TARGET).join("release").join(name), out_dir.join(name));
            if !self.without_debug(&object, &copy) {
                fs::copy(&object, &copy).map_err(|error| {
                    format!("cannot copy {} to {}: {error}", object.display(), copy.display())
                })?;
            }
        }
        Ok(said)
    }

    /// Copies an object without DWARF, which is four fifths of it and which no kernel reads: lines and types
    /// for the verifier stand in BTF. False where rustc came without the tool for it: then the program is
    /// larger.
    fn without_debug(&self, object: &Path, copy: &Path) -> bool {
        let Ok(targets) = fs::read_dir(self.sysroot.join("lib/rustlib")) else { return false };
        let tools = targets.flatten().map(|target| target.path().join("bin/rust-objcopy"));
        let Some(tool) = tools.into_iter().find(|tool| tool.exists()) else { return false };
        // It loads the LLVM of rustc.
        let library = self.sysroot.join("lib");
        said(Command::new(tool).arg("--strip-debug").args([object, copy]).env("LD_LIBRARY_PATH", library))
            .is_ok()
    }

    /// Where cargo keeps what it makes for the BPF target.
    pub fn target_dir(&self) -> PathBuf {
        self.root.join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into())).join("bpf")
    }
}

fn canonical(path: &Path) -> Result<PathBuf, String> {
    path.canonicalize().map_err(|error| format!("cannot find {}: {error}", path.display()))
}

fn said(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().display().to_string();
    let output = command.output().map_err(|error| format!("cannot start {program}: {error}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} does not work: {}", error.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
