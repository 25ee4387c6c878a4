//! `cargo xtask oracle`: compares user space, the programs in the kernel, and tshark frame by frame. Every
//! disagreement is a defect or listed in [`known`] (docs/oracle.md).

mod compare;
mod known;
mod tshark;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::artifacts::{self, Artifact};
use crate::{setup, shell};

/// Maximum differences that are printed for one file.
const REPORTED_PER_FILE: usize = 20;

/// Options of `cargo xtask oracle`.
#[derive(clap::Args)]
pub struct Args {
    /// Directory of captures, searched recursively
    dir: PathBuf,
    /// First write the packet table as captures to the directory
    #[arg(long)]
    make: bool,
    /// Do not run the programs in the kernel, which need root
    #[arg(long)]
    no_kernel: bool,
}

/// Runs the command.
///
/// # Errors
/// What could not be run, or the number of unexplained disagreements.
pub fn run(args: &Args) -> Result<()> {
    setup::ensure(&[setup::Group::Oracle])?;
    shell::step("oracle", "building observer (a minute the first time)");
    let built = artifacts::build(&["build", "--bin", "observer", "--example", "oracle"])?;
    compare_all(args, &Tools::of(&built)?)
}

/// Compares the captures of the repository.
///
/// # Errors
/// As [`run`].
pub fn check(built: &[Artifact]) -> Result<()> {
    let args = Args { dir: shell::root().join("observer/tests/data/pcap"), make: false, no_kernel: false };
    compare_all(&args, &Tools::of(built)?)
}

fn compare_all(args: &Args, tools: &Tools) -> Result<()> {
    if args.make {
        fs::create_dir_all(&args.dir).with_context(|| format!("creating {} failed", args.dir.display()))?;
        shell::run(Command::new(&tools.example).arg("make").arg(&args.dir))?;
    }
    let mut files = Vec::new();
    collect(&args.dir, &mut files)?;
    if files.is_empty() {
        bail!("no capture in {} (captures are recognised by their first bytes)", args.dir.display());
    }
    let mut tally = Tally::default();
    for file in &files {
        one(file, tools, &mut tally)?;
    }
    tally.print(files.len());
    let kernel = if args.no_kernel { None } else { Some(kernel(&files, tools)?) };
    match (tally.unexplained, kernel) {
        (0, Some(true)) => Ok(()),
        (0, None) => {
            shell::step("oracle", "the programs in the kernel were not run (--no-kernel)");
            Ok(())
        }
        (0, Some(false)) => bail!("the programs in the kernel differ from user space, see above"),
        (count, _) => bail!("{count} unexplained disagreements with tshark, see above"),
    }
}

/// What was compared.
#[derive(Default)]
struct Tally {
    frames: u64,
    agreed: u64,
    explained: BTreeMap<&'static str, u64>,
    unexplained: u64,
    /// Files that tshark cannot read.
    left_out: u64,
}

impl Tally {
    fn print(&self, files: usize) {
        println!(
            "{files} captures, {} frames: {} agree with tshark in every field",
            self.frames, self.agreed
        );
        for (id, count) in &self.explained {
            let entry = known::TABLE.iter().find(|entry| entry.id == *id);
            let right = entry.map_or("", |entry| entry.right);
            println!("  {count:>6} explained by {id} ({right} right)");
        }
        println!("  {:>6} not explained", self.unexplained);
        if self.left_out != 0 {
            println!("  {:>6} captures omitted: tshark cannot read them", self.left_out);
        }
    }
}

/// The programs of package observer.
struct Tools {
    observer: PathBuf,
    example: PathBuf,
}

impl Tools {
    fn of(built: &[Artifact]) -> Result<Self> {
        let program = |name| artifacts::program(built, name).map(Path::to_owned);
        Ok(Self { observer: program("observer")?, example: program("oracle")? })
    }
}

/// Captures at and below `path`, recognised by their first bytes.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    const MAGICS: [[u8; 4]; 6] = [
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0x34, 0xcd, 0xb2, 0xa1],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    let failed = || format!("reading {} failed", path.display());
    if path.is_dir() {
        let mut below = Vec::new();
        for entry in fs::read_dir(path).with_context(failed)? {
            below.push(entry.with_context(failed)?.path());
        }
        below.sort();
        return below.iter().try_for_each(|path| collect(path, files));
    }
    let mut first = [0; 4];
    let mut file = fs::File::open(path).with_context(failed)?;
    if std::io::Read::read_exact(&mut file, &mut first).is_ok() && MAGICS.contains(&first) {
        files.push(path.to_owned());
    }
    Ok(())
}

/// Compares one file.
fn one(file: &Path, tools: &Tools, tally: &mut Tally) -> Result<()> {
    let mut observer = Command::new(&tools.observer);
    observer.args(["pcap", "--format", "json", "--events=all"]).arg(file);
    let output = observer.stdin(Stdio::null()).output().context("cannot start observer")?;
    if !output.status.success() {
        // Both read damaged files up to the damage.
        shell::step("oracle", String::from_utf8_lossy(&output.stderr).trim());
    }
    let ours: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("observer printed no JSON: {line}")))
        .collect::<Result<_>>()?;
    let Some((report, ours)) = ours.split_last() else {
        bail!("observer printed nothing for {}", file.display())
    };
    let theirs = match tshark::dissect(file) {
        Ok(theirs) => theirs,
        // An unsupported link type, for example.
        Err(error) => {
            shell::step("oracle", &format!("omitted: {error:#}"));
            tally.left_out += 1;
            return Ok(());
        }
    };
    let frames = report["capture"]["files"][0]["frames"].as_u64().unwrap_or(0);
    // tshark shows the incomplete record at the end of a truncated file.
    let cut = !output.status.success() && frames as usize + 1 == theirs.len();
    if frames as usize != theirs.len() && !cut {
        println!("{}: {frames} frames here, {} for tshark", file.display(), theirs.len());
        tally.unexplained += 1;
    }
    let mut printed = 0;
    for event in ours {
        let number = event["frame"].as_u64().unwrap_or(0);
        let Some(their) = number.checked_sub(1).and_then(|index| theirs.get(index as usize)) else {
            continue;
        };
        tally.frames += 1;
        let differences = compare::frame(event, their);
        tally.agreed += u64::from(differences.is_empty());
        for difference in differences {
            match known::explain(event, their, &difference) {
                Some(id) => *tally.explained.entry(id).or_default() += 1,
                None => {
                    tally.unexplained += 1;
                    printed += 1;
                    if printed <= REPORTED_PER_FILE {
                        println!(
                            "{} frame {number}: {}: {} here, {} for tshark ({}; malformed {})",
                            file.display(),
                            difference.field,
                            difference.ours,
                            difference.theirs,
                            their.protocols,
                            event["malformed"]
                        );
                    }
                }
            }
        }
    }
    Ok(())
}

/// Runs the files through the programs in the kernel; false if the results differ.
fn kernel(files: &[PathBuf], tools: &Tools) -> Result<bool> {
    if !shell::is_root() {
        bail!("running the programs in the kernel needs root; use --no-kernel without it");
    }
    let status =
        Command::new(&tools.example).arg("replay").args(files).status().context("cannot start the replay")?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => bail!("the replay through the kernel failed: {status}"),
    }
}
