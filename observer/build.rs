//! Builds the BPF programs and leaves their objects (`observer-ebpf`, `observer-bench`) in `OUT_DIR`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

use toolchain::{DIR_VARIABLE, Toolchain};

/// What the object is made from, seen from the repository's root.
const SOURCES: [&str; 7] = [
    "observer-ebpf/Cargo.toml",
    "observer-ebpf/src",
    "observer-common/Cargo.toml",
    "observer-common/src",
    "xtask/src/toolchain.rs",
    "Cargo.toml",
    "Cargo.lock",
];

fn main() -> ExitCode {
    // Of the checkout that is built now: the script may have been compiled in another one, whose target directory
    // was copied.
    let Some(manifest) = std::env::var_os("CARGO_MANIFEST_DIR") else {
        println!("cargo::error=CARGO_MANIFEST_DIR is not set: this is cargo's build script");
        return ExitCode::SUCCESS;
    };
    // `dev/bench` has this build script too, one folder deeper.
    let Some(root) = Path::new(&manifest).ancestors().find(|folder| folder.join("Cargo.lock").is_file())
    else {
        println!("cargo::error=no folder above {} holds a Cargo.lock", Path::new(&manifest).display());
        return ExitCode::SUCCESS;
    };
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    println!("cargo::rerun-if-env-changed={DIR_VARIABLE}");
    let dir = toolchain::dir(root);
    for installed in [toolchain::linker(&dir), toolchain::private_source(&dir)] {
        // A path that does not exist would run this script at every build.
        if installed.exists() {
            println!("cargo::rerun-if-changed={}", installed.display());
        }
    }

    let toolchain = match Toolchain::find(root) {
        Ok(toolchain) => toolchain,
        Err(error) => {
            println!("cargo::error={error}");
            return ExitCode::SUCCESS;
        }
    };
    let Some(out_dir) = std::env::var_os("OUT_DIR") else {
        println!("cargo::error=OUT_DIR is not set: this is cargo's build script");
        return ExitCode::SUCCESS;
    };
    match toolchain.build(&PathBuf::from(out_dir)) {
        Ok(warnings) => {
            for line in warnings.lines() {
                println!("cargo::warning={line}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
