//! The options that flags, environment variables and the configuration file share: one row each.
//!
//! A row belongs to the field of an `Args` struct that has its key as name: key `max-paths`, field `max_paths`,
//! variable `OBSERVER_MAX_PATHS`. The struct has the type, the row everything else.

use clap::builder::BoolishValueParser;
use clap::{Arg, Command, value_parser};
use observer_common::abi::{
    DEFAULT_BLOCKS, DEFAULT_PATHS, DEFAULT_PEERS, DEFAULT_SLOTS, MAX_SLOTS, MOST_BLOCKS, MOST_PATHS,
    MOST_PEERS,
};

/// Headings of groups of options.
pub(super) mod heading {
    pub(in crate::cli) const DEVICES: &str = "Devices";
    pub(in crate::cli) const FIGURES: &str = "Figures";
    pub(in crate::cli) const SOURCE: &str = "Source";
    pub(in crate::cli) const COST: &str = "Cost of encapsulation";
    pub(in crate::cli) const LIMITS: &str = "Limits";
    pub(in crate::cli) const PACKETS: &str = "Packets";
    pub(in crate::cli) const PLAN: &str = "Plan";
    pub(in crate::cli) const OUTPUT: &str = "Output";
    pub(in crate::cli) const SERVICE: &str = "Service";
}

/// One option.
pub(super) struct OptionSpec {
    /// The key in the configuration file.
    pub(super) key: &'static str,
    /// The table of that key, and the only command for which the file sets it; empty: all commands.
    pub(super) table: &'static str,
    heading: &'static str,
    pub(super) value: Value,
    help: &'static str,
}

/// What an option takes.
pub(super) enum Value {
    /// Nothing; true or false in the environment and in the file.
    Switch,
    /// A number: default, smallest, largest.
    Number(u32, u32, u32),
    /// A time in seconds: default.
    Seconds(&'static str),
    /// Anything that the field's type can parse: its name, default.
    Text(&'static str, Option<&'static str>),
}

use Value::{Number, Seconds, Switch, Text};

/// Used unless it is changed, and unless there is no BPF file system.
pub const PIN_PATH: &str = "/sys/fs/bpf/observer";

const fn row(key: &'static str, heading: &'static str, value: Value, help: &'static str) -> OptionSpec {
    OptionSpec { key, table: "", heading, value, help }
}

const fn export(key: &'static str, heading: &'static str, value: Value, help: &'static str) -> OptionSpec {
    OptionSpec { table: "export", ..row(key, heading, value, help) }
}

/// Every option.
#[rustfmt::skip]
pub(super) const OPTIONS: &[OptionSpec] = &[
    row("devices", heading::DEVICES, Text("DEVICE", None),
        "Watch only these devices; default: underlay and tunnel devices, detected automatically"),
    row("workloads", heading::DEVICES, Switch, "Also watch pod interfaces (cali*)"),
    row("ingress", heading::DEVICES, Text("HOOK", Some("tc")),
        "Hook that counts ingress of underlay devices: tc, or xdp (native mode; some NICs reset their link)"),
    row("peers", heading::DEVICES, Text("ADDRESS", None),
        "Additional peer node that cannot be discovered from routes, neighbours or the FDB; may be repeated"),
    row("pod-cidrs", heading::DEVICES, Text("PREFIX", None),
        "Pod network with native routes that neither BIRD nor Felix wrote; may be repeated"),
    row("max-paths", heading::LIMITS, Number(DEFAULT_PATHS, 1, MOST_PATHS),
        "Maximum paths (152 bytes per path per CPU)"),
    row("max-peers", heading::LIMITS, Number(DEFAULT_PEERS, 1, MOST_PEERS), "Maximum peer nodes"),
    row("max-blocks", heading::LIMITS, Number(DEFAULT_BLOCKS, 1, MOST_BLOCKS), "Maximum pod blocks"),
    row("max-devices", heading::LIMITS, Number(DEFAULT_SLOTS, 1, MAX_SLOTS),
        "Maximum devices watched at a time"),
    row("interval", heading::FIGURES, Seconds("1"), "Interval between reports"),
    row("pin-path", heading::SOURCE, Text("DIRECTORY", Some(PIN_PATH)),
        "Directory in which the exporter pins its maps, on a BPF file system"),
    export("listen", heading::SERVICE, Text("ADDRESS:PORT", Some("127.0.0.1:9475")),
        "Address and port to listen on; may be repeated"),
    export("web-config", heading::SERVICE, Text("FILE", None),
        "Web configuration file with TLS certificates and users, in the format of Prometheus exporters"),
    export("peers-exported", heading::FIGURES, Number(100, 0, MOST_PEERS),
        "Export each path of the N peers with most bytes; sum up the rest"),
    export("no-pin", heading::SOURCE, Switch,
        "Do not pin maps: totals restart at 0 with the exporter, and other instances cannot read them"),
    export("cost", heading::COST, Switch,
        "Measure the CPU time of encapsulation, round-trip times, retransmissions and drops"),
    export("cost-rtt-at-hooks", heading::COST, Switch,
        "With --cost: also time TCP at the hooks, forwarded traffic included; runs two more programs per packet"),
    export("cost-sample", heading::COST, Number(64, 1, 1_000_000),
        "With --cost: measure during one Nth of the time"),
    export("no-sandbox", heading::SERVICE, Switch, "Keep all capabilities and allow all system calls"),
];

impl OptionSpec {
    /// The row of the argument with this id.
    pub(super) fn of(id: &str) -> Option<&'static Self> {
        OPTIONS.iter().find(|spec| spec.id() == id)
    }

    fn id(&self) -> String {
        self.key.replace('-', "_")
    }

    pub(super) fn variable(&self) -> String {
        format!("OBSERVER_{}", self.id().to_uppercase())
    }

    /// Smallest and largest value, with the unit.
    pub(super) fn range(&self) -> Option<String> {
        match self.value {
            Number(_, least, most) => Some(format!("{least} to {most}")),
            Seconds(_) => Some("0.1 to 86400 seconds".to_owned()),
            Switch | Text(..) => None,
        }
    }

    /// What the option does, and its range.
    fn describe(&self) -> String {
        self.range().map_or_else(|| self.help.to_owned(), |range| format!("{}, {range}", self.help))
    }

    fn apply(&self, arg: Arg) -> Arg {
        let heading = (!arg.is_positional()).then_some(self.heading);
        let arg = arg.env(self.variable()).required(false);
        let arg = arg.help(self.describe()).help_heading(heading);
        match self.value {
            Switch => arg.value_parser(BoolishValueParser::new()),
            Number(default, least, most) => arg
                .value_name("N")
                .value_parser(value_parser!(u32).range(i64::from(least)..=i64::from(most)))
                .default_value(default.to_string()),
            Seconds(default) => arg.value_name("SECONDS").default_value(default),
            Text(name, Some(default)) => arg.value_name(name).default_value(default),
            Text(name, None) => arg.value_name(name),
        }
    }
}

/// Completes the arguments of all commands with their rows. Their help texts list possible values.
pub(super) fn complete(command: Command) -> Command {
    let hide = |arg: Arg| {
        let takes_values = arg.get_action().takes_values();
        arg.hide_env_values(true).hide_possible_values(takes_values)
    };
    command.mut_args(hide).mut_subcommands(|command| {
        command.mut_args(|arg| match OptionSpec::of(arg.get_id().as_str()) {
            Some(spec) => spec.apply(hide(arg)),
            None => hide(arg),
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Write as _;

    use super::*;
    use crate::cli::Cli;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/options.md");
    const BEGIN: &str = "<!-- generated from observer/src/cli/options.rs -->\n";
    const END: &str = "<!-- end -->\n";

    /// Arguments of all commands by id, with the commands that have them.
    fn arguments() -> BTreeMap<String, (Arg, Vec<String>)> {
        let mut all: BTreeMap<String, (Arg, Vec<String>)> = BTreeMap::new();
        for command in Cli::definition().get_subcommands() {
            for arg in command.get_arguments() {
                let (_, commands) =
                    all.entry(arg.get_id().to_string()).or_insert_with(|| (arg.clone(), Vec::new()));
                commands.push(command.get_name().to_owned());
            }
        }
        all
    }

    #[test]
    fn every_key_has_a_flag_and_every_variable_a_key() {
        let arguments = arguments();
        for spec in OPTIONS {
            let (arg, _) = &arguments[&spec.id()];
            let variable = arg.get_env().and_then(|name| name.to_str());
            assert_eq!(variable, Some(spec.variable().as_str()), "{}", spec.key);
            assert!(arg.get_long().is_some() || arg.is_positional(), "{}", spec.key);
        }
        // What belongs to one invocation has a variable, and no key.
        let only = ["attach", "format", "duration", "mtu_file", "resources"];
        let definition = Cli::definition();
        let without_key: BTreeSet<&str> = definition
            .get_subcommands()
            .filter(|command| command.get_name() != "cluster")
            .flat_map(Command::get_arguments)
            .filter(|arg| arg.get_env().is_some())
            .map(|arg| arg.get_id().as_str())
            .filter(|id| OptionSpec::of(id).is_none())
            .collect();
        assert_eq!(without_key, only.into());
    }

    #[test]
    fn the_page_has_the_table() {
        let arguments = arguments();
        let mut table = String::from(
            "| flag | variable | key | default | range | meaning | commands |\n|---|---|---|---|---|---|---|\n",
        );
        for spec in OPTIONS {
            let (arg, commands) = &arguments[&spec.id()];
            let flag = arg.get_long().map_or_else(|| "DEVICE…".to_owned(), |long| format!("--{long}"));
            let key = match spec.table {
                "" => spec.key.to_owned(),
                table => format!("{table}.{}", spec.key),
            };
            let default = match spec.value {
                Switch => "`false`".to_owned(),
                _ => arg
                    .get_default_values()
                    .first()
                    .map_or_else(|| "–".to_owned(), |value| format!("`{}`", value.to_str().expect("UTF-8"))),
            };
            let range = spec.range().unwrap_or_else(|| "–".to_owned());
            let commands = commands.join(", ");
            writeln!(
                table,
                "| `{flag}` | `{}` | `{key}` | {default} | {range} | {} | {commands} |",
                spec.variable(),
                spec.help
            )
            .expect("a string");
        }
        let page = std::fs::read_to_string(PAGE).expect("docs/options.md");
        let (before, rest) = page.split_once(BEGIN).expect("the first marker");
        let (now, after) = rest.split_once(END).expect("the last marker");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(PAGE, [before, BEGIN, &table, END, after].concat()).expect("write");
        } else {
            assert_eq!(now, table, "UPDATE_GOLDEN=1 cargo test -p observer --lib cli::options rewrites it");
        }
    }
}
