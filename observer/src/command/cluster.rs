//! `observer cluster`.

use std::io::IsTerminal as _;

use anyhow::Result;
use ratatui::crossterm::terminal;

use super::output::Output;
use crate::cli::Format;
use crate::cli::cluster::ClusterArgs;
use crate::fleet::{self, Client, Fleet, Login, Scope};
use crate::view::cluster::{csv, json, table};
use crate::view::table::TableOptions;

/// Runs `observer cluster`.
///
/// # Errors
/// Prometheus cannot be reached, refuses a query, or has no figures of Observer.
pub fn run(args: &ClusterArgs) -> Result<()> {
    let login = Login::read(args.user.as_deref(), args.password_file.as_deref(), args.token_file.as_deref())?;
    let client = Client::new(&args.prometheus, &login, args.ca_file.as_deref(), args.timeout)?;
    let mut output = Output::open(&args.output)?;
    let scope =
        Scope { selector: args.selector.clone(), window: args.window, pairs: usize::from(args.pairs) };
    let fleet = fleet::fetch(&client, &scope, args.to)?;
    output.write(&render(&fleet, args, output.colour))?;
    Ok(())
}

fn render(fleet: &Fleet, args: &ClusterArgs, colour: bool) -> String {
    match args.output.format {
        Format::Json => json::line(fleet) + "\n",
        Format::Csv => csv::nodes(fleet),
        Format::Table => {
            let options =
                TableOptions { bits: !args.bytes, colour, width: width(args), ..TableOptions::default() };
            table::report(fleet, &options)
        }
    }
}

/// Width of the terminal; 0 (no limit) without one.
fn width(args: &ClusterArgs) -> usize {
    if args.output.output.is_some() || !std::io::stdout().is_terminal() {
        return 0;
    }
    terminal::size().map_or(0, |(columns, _)| usize::from(columns))
}
