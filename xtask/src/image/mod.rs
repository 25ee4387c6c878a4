//! `cargo xtask image`: builds an image from scratch with a static binary, without a registry.

mod bundle;
mod container;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{build, setup, shell};

/// Options of `cargo xtask image`.
#[derive(clap::Args)]
pub struct Args {
    /// Name and tag of the image
    #[arg(long, default_value = concat!("localhost/observer:", env!("CARGO_PKG_VERSION")), value_name = "NAME:TAG")]
    tag: String,
    /// Also start the image on a lab node with the security settings of the DaemonSet, and scrape it
    #[arg(long)]
    test: bool,
}

impl Args {
    /// The image of this version, started in a container.
    pub fn test() -> Self {
        Self { tag: concat!("localhost/observer:", env!("CARGO_PKG_VERSION")).to_owned(), test: true }
    }
}

/// Maximum size of the image in bytes, uncompressed.
const LARGEST: u64 = 20_000_000;

/// Runs the command.
///
/// # Errors
/// The step that failed, and why.
pub fn run(args: &Args) -> Result<()> {
    if !shell::is_root() {
        bail!("building an image needs root");
    }
    setup::toolchain()?;
    setup::ensure(&[setup::Group::Fleet])?;
    let image = Image::make(&args.tag)?;
    if args.test {
        setup::ensure(&[setup::Group::Lab])?;
        container::test(&image)?;
    }
    Ok(())
}

/// An image in a private storage below `target/`.
pub struct Image {
    folder: PathBuf,
    tag: String,
}

impl Image {
    fn make(tag: &str) -> Result<Self> {
        let binary = build::static_binary()?;
        let folder = shell::root().join("target/image");
        let context = folder.join("context");
        fs::create_dir_all(&context).with_context(|| format!("cannot create {}", context.display()))?;
        fs::copy(&binary, context.join("observer"))?;
        let image = Self { folder, tag: tag.to_owned() };
        shell::step("image", &format!("building {tag}"));
        shell::output(
            image
                .buildah()
                // No container is needed, because nothing is run, and it is not possible everywhere.
                .args(["build", "--isolation", "chroot", "--timestamp", "0", "--tag", tag, "--file"])
                .arg(shell::root().join("deploy/Containerfile"))
                .arg(&context),
        )?;
        let archive = image.archive()?;
        let size = fs::metadata(&archive)?.len();
        ensure!(size < LARGEST, "the image has {size} bytes; the maximum is {LARGEST}");
        shell::step(
            "image",
            &format!(
                "{tag}, {:.1} MB: {} (`podman load`, `ctr images import`)",
                size as f64 / 1e6,
                archive.display()
            ),
        );
        Ok(image)
    }

    /// buildah with a private storage, which works on every file system.
    fn buildah(&self) -> Command {
        let mut buildah = Command::new("buildah");
        buildah.args(["--storage-driver", "vfs", "--root"]).arg(self.folder.join("storage"));
        buildah.arg("--runroot").arg(self.folder.join("run"));
        buildah
    }

    /// Writes the image into one file.
    fn archive(&self) -> Result<PathBuf> {
        let archive = self.folder.join("observer.tar");
        if archive.exists() {
            fs::remove_file(&archive)?;
        }
        let goal = format!("docker-archive:{}:{}", archive.display(), self.tag);
        shell::output(self.buildah().args(["push", "--quiet", &self.tag, &goal]))?;
        Ok(archive)
    }

    /// The image's files, unpacked, removed on drop.
    fn root(&self) -> Result<Root<'_>> {
        let id = shell::output(self.buildah().args(["from", "--pull-never", &self.tag]))?.trim().to_owned();
        let mut root = Root { image: self, id, path: PathBuf::new() };
        root.path = shell::output(self.buildah().args(["mount", &root.id]))?.trim().into();
        Ok(root)
    }
}

/// A working container.
struct Root<'a> {
    image: &'a Image,
    id: String,
    path: PathBuf,
}

impl Root<'_> {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Root<'_> {
    fn drop(&mut self) {
        if let Err(error) = shell::output(self.image.buildah().args(["rm", &self.id])) {
            eprintln!("warning: the container {} was not removed: {error:#}", self.id);
        }
    }
}
