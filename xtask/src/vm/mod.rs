//! `cargo xtask vm`: Debian's kernels under software emulation (docs/vm.md).

mod initramfs;
pub mod kernels;
mod modules;
mod newc;
mod plan;
mod privileged;
mod qemu;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

pub use initramfs::{Payload, Placed};
use kernels::{Kernel, RemoveOnDrop};

use crate::artifacts::{self, Artifact};
use crate::test::tally::{Reader, Tally};
use crate::{setup, shell};
use qemu::Console;

/// Options of `cargo xtask vm`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask vm --kernel all                              the privileged tests on every kernel
  cargo xtask vm --kernel 6.1 --filter tcx                 some of them on one
  cargo xtask vm --kernel 5.10,7.3 -- ip -d link           a command
  cargo xtask vm --kernel 6.1 --payload ./tool -- tool -v  your own program")]
pub struct Args {
    /// Kernels to boot, two at a time
    #[arg(long, value_name = "SERIES", value_delimiter = ',', default_value = "all",
          value_parser = ["5.10", "6.1", "6.12", "6.18", "7.3", "all"])]
    kernel: Vec<String>,
    /// List the kernels and whether they are in the cache, and exit
    #[arg(long)]
    list: bool,
    /// Programs to copy into PATH; without a command, each of them is run
    #[arg(long, value_name = "PROGRAM", num_args = 1..)]
    payload: Vec<PathBuf>,
    /// Run only the privileged tests whose name contains this
    #[arg(long, value_name = "NAME", conflicts_with_all = ["payload", "command"])]
    filter: Option<String>,
    /// Seconds until a machine is stopped
    #[arg(long, value_name = "SECONDS", default_value_t = TIMEOUT.as_secs())]
    timeout: u64,
    /// Command to run instead of the privileged tests
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Default time limit of a machine, generous for a busy host.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// Machines that run at once: on two cores, two in parallel are faster than one after the other.
const AT_ONCE: usize = 2;

/// Programs that this machine needs, and their Debian packages.
const PACKAGES: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("depmod", "kmod"),
    ("xz", "xz-utils"),
    ("dash", "dash"),
    ("ip", "iproute2"),
];

/// Runs the command.
///
/// # Errors
/// The kernels on which the payload failed, and why.
pub fn run(args: &Args) -> Result<()> {
    let kernels = selected(&args.kernel);
    if args.list {
        list(&kernels);
        return Ok(());
    }
    let payload = if args.command.is_empty() && args.payload.is_empty() {
        setup::toolchain()?;
        privileged::payload(
            &artifacts::everything()?,
            &args.filter.as_deref().map_or(vec![], |filter| vec![filter]),
        )?
    } else {
        of_command(&args.payload, &args.command)?
    };
    let machines: Vec<(&Kernel, &Payload)> = kernels.iter().map(|kernel| (*kernel, &payload)).collect();
    boot_all(&machines, Duration::from_secs(args.timeout))
}

/// Runs the privileged tests of [`plan::PLAN`], one machine at a time, with the consoles in files.
///
/// # Errors
/// A kernel cannot be obtained, or ended without a result.
pub fn privileged_tests(built: &[Artifact]) -> Result<Tally> {
    install()?;
    let folder = shell::root().join("target/vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut total = Tally::default();
    for plan in &plan::PLAN {
        let kernel = Kernel::named(plan.series).with_context(|| format!("no kernel {}", plan.series))?;
        let payload = privileged::payload(built, plan.tests)?;
        let log = folder.join(format!("{}.log", plan.series));
        let start = Instant::now();
        let console = Console::File(fs::File::create(&log).context("cannot create the console's file")?);
        let (tally, result) = boot_one(kernel, &payload, TIMEOUT, console);
        let seconds = start.elapsed().as_secs_f64();
        shell::step("vm", &format!("{}: {} in {seconds:.0} s", plan.series, tally.summary()));
        if let Err(error) = result {
            shell::step("vm", &format!("{}: {error:#}; the console: {}", plan.series, log.display()));
            // A panic or a time-out fails without a failed test.
            total.failed += u64::from(tally.failed == 0);
        }
        total.add(tally.on(plan.series));
    }
    Ok(total)
}

/// Installs QEMU and the programs for the initramfs.
fn install() -> Result<()> {
    let missing = PACKAGES.iter().filter(|(program, _)| initramfs::which(program).is_none());
    let missing: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if missing.is_empty() { Ok(()) } else { setup::packages(&missing) }
}

/// Boots several machines, [`AT_ONCE`] at a time: tests mostly wait, and one machine leaves a core idle.
fn boot_all(machines: &[(&Kernel, &Payload)], timeout: Duration) -> Result<()> {
    install()?;
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(machines.len()) {
            scope.spawn(|| {
                while let Some((kernel, payload)) = machines.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !passes(kernel, payload, timeout) {
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push(kernel.series);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !failures.is_empty() {
        bail!("failed on {} of {} kernels: {}", failures.len(), machines.len(), failures.join(", "));
    }
    Ok(())
}

/// Boots one machine and prints the result.
fn passes(kernel: &Kernel, payload: &Payload, timeout: Duration) -> bool {
    let start = Instant::now();
    let (tally, result) = boot_one(kernel, payload, timeout, Console::Print);
    let seconds = start.elapsed().as_secs_f64();
    for skipped in &tally.skipped {
        eprintln!("[{}] SKIPPED {skipped}", kernel.series);
    }
    match &result {
        Ok(()) => eprintln!("[{}] passed in {seconds:.1} s: {}", kernel.series, tally.summary()),
        Err(error) => eprintln!("[{}] FAILED after {seconds:.1} s: {error:#}", kernel.series),
    }
    result.is_ok()
}

/// Boots one machine; the counts are those of libtest, if the payload is tests.
fn boot_one(kernel: &Kernel, payload: &Payload, timeout: Duration, console: Console) -> (Tally, Result<()>) {
    let mut reader = Reader::default();
    let result = (|| {
        let unpacked = kernel.obtain()?;
        let initramfs = initramfs::build(&unpacked, payload)?;
        let path = kernels::cache().join(format!("initramfs-{}-{}", kernel.series, std::process::id()));
        let _cleanup = RemoveOnDrop(path.clone());
        fs::write(&path, initramfs).with_context(|| format!("cannot write {}", path.display()))?;
        qemu::boot(kernel.series, &unpacked.image, &path, timeout, console, |line| reader.line(line))
    })();
    (reader.tally().clone(), result)
}

fn selected(names: &[String]) -> Vec<&'static Kernel> {
    let wanted = |kernel: &&Kernel| names.iter().any(|name| name == "all" || name == kernel.series);
    kernels::ALL.iter().filter(wanted).collect()
}

fn list(kernels: &[&Kernel]) {
    for kernel in kernels {
        let state =
            kernel.cached().map_or_else(|| "not cached".to_owned(), |it| format!("cached: {}", it.release));
        println!("{:<5} pinned to {:<16} {state}", kernel.series, kernel.pin());
    }
}

/// The payload of `--payload PROGRAM… -- COMMAND…`.
fn of_command(programs: &[PathBuf], command: &[String]) -> Result<Payload> {
    let mut payload = Payload::default();
    for program in programs {
        let name = program.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("{} has no usable name", program.display()))?;
        let to = format!("/usr/local/bin/{name}");
        if command.is_empty() {
            payload.script.push_str(&format!("{} || exit\n", quote(&to)));
        }
        payload.binaries.push(Placed { from: program.clone(), to });
    }
    match command {
        [] => {}
        // A single word may be a script: `-- 'ip link; tc qdisc'`.
        [script] => payload.script.clone_from(script),
        words => payload.script = words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
    }
    payload.script.push('\n');
    Ok(payload)
}

/// `text`, quoted for a shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_selected_in_their_own_order() {
        let names = |wanted: &[&str]| -> Vec<&str> {
            let wanted: Vec<String> = wanted.iter().map(|&name| name.to_owned()).collect();
            selected(&wanted).iter().map(|kernel| kernel.series).collect()
        };
        assert_eq!(names(&["7.3", "6.1"]), ["6.1", "7.3"]);
        assert_eq!(names(&["6.1", "all"]).len(), kernels::ALL.len());
    }

    #[test]
    fn arguments_are_quoted_for_the_shell() {
        let payload = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            of_command(&[], &words).expect("no programs").script
        };
        assert_eq!(payload(&["echo", "it's $HOME"]), "'echo' 'it'\\''s $HOME'\n");
        assert_eq!(payload(&["ip link; tc qdisc"]), "ip link; tc qdisc\n");
    }

    #[test]
    fn programs_run_one_by_one_without_a_command() {
        let payload = of_command(&["/x/a".into(), "/y/b".into()], &[]).expect("usable names");
        assert_eq!(payload.script, "'/usr/local/bin/a' || exit\n'/usr/local/bin/b' || exit\n\n");
        assert_eq!(payload.binaries[1].to, "/usr/local/bin/b");
    }
}
