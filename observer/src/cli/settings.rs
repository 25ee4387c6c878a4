//! The configuration file: keys of [`OPTIONS`] in TOML, which become the defaults of the flags.

use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::options::{OPTIONS, OptionSpec, Value};

/// Read if it exists and no other file is named.
const DEFAULT: &str = "/etc/observer/config.toml";

/// The configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the configuration file {}: {cause}; {remedy}", path.display())]
pub struct ConfigError {
    path: PathBuf,
    cause: String,
    remedy: &'static str,
}

/// Rows and the values that the file gives them.
type Values = Vec<(&'static OptionSpec, Vec<String>)>;

/// Makes the values of the file at `path`, or of the default one if it exists, the defaults of `command`.
///
/// # Errors
/// The named file cannot be read, or a line is wrong.
pub(super) fn apply(command: Command, path: Option<&Path>) -> Result<Command, ConfigError> {
    let failed = |path: &Path, cause, remedy| Err(ConfigError { path: path.to_owned(), cause, remedy });
    let file = path.unwrap_or(Path::new(DEFAULT));
    match std::fs::read_to_string(file) {
        Ok(text) => match parse(&text, &command) {
            Ok(values) => Ok(set(command, &values)),
            Err(cause) => failed(file, cause, "correct that line, or use --config FILE"),
        },
        Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(command),
        Err(error) => failed(file, error.to_string(), "use --config with a readable file"),
    }
}

fn set(command: Command, values: &Values) -> Command {
    command.mut_subcommands(|command| {
        let name = command.get_name().to_owned();
        command.mut_args(|arg| {
            let spec = OptionSpec::of(arg.get_id().as_str());
            let spec = spec.filter(|spec| spec.table.is_empty() || spec.table == name);
            match spec.and_then(|spec| values.iter().find(|(other, _)| other.key == spec.key)) {
                Some((_, values)) => arg.default_values(values),
                None => arg,
            }
        })
    })
}

fn parse(text: &str, command: &Command) -> Result<Values, String> {
    let at = |span: Range<usize>, cause: String| {
        let line = text[..span.start].matches('\n').count() + 1;
        format!("line {line}: {}", cause.trim().replace('\n', " "))
    };
    let root = DeTable::parse(text)
        .map_err(|error| at(error.span().unwrap_or_default(), error.message().to_owned()))?;
    let mut values = Values::new();
    let mut read = |name: &str, table: &DeTable| {
        for (key, value) in table {
            let row = OPTIONS.iter().find(|spec| spec.table == name && spec.key == key.get_ref());
            let spec = row.ok_or_else(|| at(key.span(), format!("unknown key `{}`", key.get_ref())))?;
            let value = of(spec, value, command).map_err(|cause| at(value.span(), cause))?;
            values.push((spec, value));
        }
        Ok::<(), String>(())
    };
    let mut top = root.into_inner();
    for name in ["export"] {
        if let Some(table) = top.get(name).map(Spanned::get_ref).and_then(DeValue::as_table) {
            read(name, table)?;
            top.remove(name);
        }
    }
    read("", &top)?;
    Ok(values)
}

/// The texts of a value, checked by the parser of the flag.
fn of(spec: &OptionSpec, value: &Spanned<DeValue>, command: &Command) -> Result<Vec<String>, String> {
    let scalar = |value: &DeValue| match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.to_string()),
        DeValue::Boolean(on) => Ok(on.to_string()),
        _ => Err(format!("invalid value for `{}`: expected a string or a number", spec.key)),
    };
    let values = match value.get_ref() {
        DeValue::Array(values) => {
            values.iter().map(|value| scalar(value.get_ref())).collect::<Result<Vec<_>, _>>()?
        }
        value => vec![scalar(value)?],
    };
    if matches!(spec.value, Value::Switch) {
        return match value.get_ref() {
            DeValue::Boolean(_) => Ok(values),
            _ => Err(format!("invalid value for `{}`: expected true or false", spec.key)),
        };
    }
    let has = |arg: &&Arg| OptionSpec::of(arg.get_id().as_str()).is_some_and(|other| other.key == spec.key);
    let Some(arg) = command.get_subcommands().find_map(|command| command.get_arguments().find(has)) else {
        return Err(format!("no command has the option `{}`", spec.key));
    };
    let action =
        if matches!(arg.get_action(), ArgAction::Append) { ArgAction::Append } else { ArgAction::Set };
    let flag = Arg::new(spec.key).long(spec.key).action(action).value_parser(arg.get_value_parser().clone());
    let given = values.iter().map(|value| format!("--{}={value}", spec.key));
    match Command::new("file").no_binary_name(true).arg(flag).try_get_matches_from(given) {
        Ok(_) => Ok(values),
        Err(error) => {
            let text = error.to_string();
            let text = text.split("\n\n").next().unwrap_or_default();
            Err(text
                .trim_start_matches("error: ")
                .replace(&format!("--{} <{}>", spec.key, spec.key), spec.key))
        }
    }
}
