//! `observer doctor`.

use std::io::{ErrorKind, IsTerminal as _};
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};

use super::output::{Output, cannot, message};
use super::session::{Signals, Source, block_on, measure};
use crate::advice::plan::{Plan, plan};
use crate::advice::{Facts, FelixFile, diagnose};
use crate::calico::{self, Calico};
use crate::cli::{DoctorArgs, Format};
use crate::kernel::{Options, netlink, sys};
use crate::kubernetes::{Client, Credentials};
use crate::model::Report;
use crate::view::doctor::{json, metrics, table};
use crate::view::units;

/// Runs `observer doctor`; returns whether the last diagnosis has findings.
///
/// # Errors
/// Something cannot be read, measured or written.
pub fn run(args: &DoctorArgs) -> Result<bool> {
    if args.output.format == Format::Csv {
        bail!("doctor does not support CSV; use --format json");
    }
    if args.cost.cost && args.plan.is_none() {
        log::warn!("the cost of encapsulation is not measured: --cost requires --plan");
    }
    let mut output = Output::open(&args.output)?;
    block_on(async {
        let mut signals = Signals::new()?;
        let mut due = Instant::now();
        let mut found = false;
        for nth in 0_u64.. {
            match facts(args, &mut signals).await {
                Ok(None) => break,
                Ok(Some(facts)) => found = report(args, &facts, nth != 0, &mut output)?,
                // May be temporary, such as an unreachable API server.
                Err(error) if args.watch && nth != 0 => message(format_args!("observer: {error:#}")),
                Err(error) => return Err(error),
            }
            if !args.watch {
                break;
            }
            due = Instant::now().max(due + args.watch_interval);
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                () = signals.any() => break,
            }
        }
        Ok(found)
    })
}

/// One diagnosis; `None` if a signal interrupts it.
async fn facts(args: &DoctorArgs, signals: &mut Signals) -> Result<Option<Facts>> {
    let (calico, notes) = declared(args)?;
    let observed = if args.no_measurement {
        None
    } else {
        let Some(report) = observe(args, signals).await? else { return Ok(None) };
        Some(report)
    };
    let Options { choice, .. } = Options::from(&args.node);
    let node = netlink::read_node().await?;
    let mut facts = Facts::of_node(node, &choice);
    facts.topology.notes.extend(notes);
    facts.felix_file = felix_file(&args.mtu_file)?;
    facts.felix_path = args.mtu_file.display().to_string();
    facts.host = sys::node_name();
    facts.calico = calico;
    facts.observed = observed;
    Ok(Some(facts))
}

/// Measures traffic, with an exporter's maps or its own hooks; `None` if a signal interrupts it.
async fn observe(args: &DoctorArgs, signals: &mut Signals) -> Result<Option<Report>> {
    let duration = args.duration;
    if std::io::stderr().is_terminal() {
        message(format_args!("observer: measuring traffic for {}", units::duration(duration)));
    }
    // Only a plan uses the cost.
    let cost = measure(args.cost).filter(|_| args.plan.is_some());
    let mut source = Source::open(&args.node, &args.source, cost).await.map_err(|error| {
        anyhow!("cannot measure traffic: {error:#}; use --no-measurement to check everything else")
    })?;
    let measured = async {
        let before = source.read()?;
        source.run_until(Instant::now() + duration).await?;
        anyhow::Ok(Some(Report::between(&before, &source.read()?)))
    };
    let result = tokio::select! {
        result = measured => result,
        () = signals.any() => Ok(None),
    };
    source.stop().await;
    result
}

/// Calico's resources, from files and from the API.
fn declared(args: &DoctorArgs) -> Result<(Option<Calico>, Vec<String>)> {
    let mut all: Option<Calico> = None;
    let mut notes = Vec::new();
    for path in &args.resources {
        let named = || format!("cannot read the resources in {}", path.display());
        let text = std::fs::read_to_string(path).with_context(named)?;
        let read = calico::parse(&text).with_context(named)?;
        if read.others != 0 {
            notes.push(format!("{}: skipped {} objects of other kinds", path.display(), read.others));
        }
        all.get_or_insert_default().add(read);
    }
    if args.kubernetes {
        let client = Client::new(Credentials::find(args.kubeconfig.as_deref())?)?;
        let (read, more) = client.calico()?;
        all.get_or_insert_default().add(read);
        notes.extend(more);
    }
    Ok((all, notes))
}

/// The contents of Felix's file, which need not exist.
fn felix_file(path: &Path) -> Result<FelixFile> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(FelixFile::Absent),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    match text.trim().parse() {
        Ok(mtu) => Ok(FelixFile::Mtu(mtu)),
        Err(_) => {
            bail!(
                "cannot parse {}: expected a number of bytes; use --mtu-file with the right file",
                path.display()
            )
        }
    }
}

/// Prints and writes the diagnosis; returns whether it has findings.
fn report(args: &DoctorArgs, facts: &Facts, again: bool, output: &mut Output) -> Result<bool> {
    let diagnosis = diagnose(facts);
    let view = &diagnosis.view;
    if view.modes.is_empty()
        && view.mtu.tunnels.is_empty()
        && view.mtu.pods.is_empty()
        && diagnosis.findings.is_empty()
    {
        bail!(
            "cannot diagnose this node: no pod, no tunnel device and no route to pods of other nodes; run doctor in the \
             node's network namespace (hostNetwork: true)"
        );
    }
    let planned: Option<Plan> = args.plan.map(|target| plan(view, target.into(), args.mtu));
    let text = match args.output.format {
        Format::Json => json::diagnosis(&diagnosis, planned.as_ref()).to_string() + "\n",
        Format::Table | Format::Csv => {
            let options =
                table::Options { width: output.width().unwrap_or(table::WIDTH), colour: output.colour };
            let text = table::diagnosis(&diagnosis, planned.as_ref(), options);
            if again { format!("\n{text}") } else { text }
        }
    };
    output.write(&text)?;
    if let Some(path) = &args.metrics_file {
        let taken = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        write_whole(path, &metrics::diagnosis(&diagnosis, taken))?;
    }
    Ok(!diagnosis.findings.is_empty())
}

/// Replaces a file atomically.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let mut new = path.as_os_str().to_owned();
    // The collector reads files that end in `.prom`, so not this one.
    new.push(".new");
    std::fs::write(&new, text)
        .and_then(|()| std::fs::rename(&new, path))
        .map_err(|error| cannot("write", path, &error))
}
