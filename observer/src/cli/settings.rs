//! The configuration file: the same words as the command line, in TOML.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use observer_common::abi::{MAX_SLOTS, MOST_PATHS};
use serde::{Deserialize, Deserializer};

use super::values::{IngressHook, seconds};
use crate::topology::{Prefix, prefix};

/// Read where no other file is named.
pub const DEFAULT: &str = "/etc/observer/config.toml";

/// Entries that a table may have at most, as on the command line.
const LARGEST_TABLE: u32 = 1_048_576;

/// As on the command line.
const LARGEST_SAMPLE: u32 = 1_000_000;

/// What the file may say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// As the positional arguments.
    pub devices: Vec<String>,
    /// As `--workloads`.
    pub workloads: bool,
    /// As `--ingress`.
    pub ingress: Option<IngressHook>,
    /// As `--peer`.
    pub peers: Vec<IpAddr>,
    /// As `--pod-cidr`.
    #[serde(deserialize_with = "prefixes")]
    pub pod_cidrs: Vec<Prefix>,
    /// As `--max-paths`.
    pub max_paths: Option<u32>,
    /// As `--max-peers`.
    pub max_peers: Option<u32>,
    /// As `--max-blocks`.
    pub max_blocks: Option<u32>,
    /// As `--max-devices`.
    pub max_devices: Option<u32>,
    /// As `--interval`, seconds.
    pub interval: Option<Seconds>,
    /// What only `observer export` reads.
    pub export: ExportSettings,
}

/// The table `[export]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ExportSettings {
    /// As `--listen`.
    pub listen: Vec<SocketAddr>,
    /// As `--web-config`.
    pub web_config: Option<PathBuf>,
    /// As `--peers-exported`.
    pub peers_exported: Option<usize>,
    /// As `--pin-path`.
    pub pin_path: Option<PathBuf>,
    /// As `--no-pin`.
    pub no_pin: bool,
    /// As `--cost`.
    pub cost: bool,
    /// As `--cost-rtt-at-hooks`.
    pub cost_rtt_at_hooks: bool,
    /// As `--cost-sample`.
    pub cost_sample: Option<u32>,
    /// As `--no-sandbox`.
    pub no_sandbox: bool,
}

/// Seconds, checked like the command line's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub std::time::Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        seconds(&number.to_string()).map(Self).map_err(serde::de::Error::custom)
    }
}

fn prefixes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Prefix>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| prefix(text).map_err(serde::de::Error::custom)).collect()
}

/// The file could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the configuration file {}: {cause}; {remedy}", path.display())]
pub struct ConfigError {
    path: PathBuf,
    cause: String,
    remedy: &'static str,
}

impl Settings {
    /// Reads the file at `path`, or the default one where that exists.
    ///
    /// # Errors
    /// The file named cannot be read, or says what is not understood; the line is named.
    pub fn read(path: Option<&Path>) -> Result<Self, ConfigError> {
        let (path, named) = match path {
            Some(path) => (path, true),
            None => (Path::new(DEFAULT), false),
        };
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|cause| ConfigError {
                path: path.to_owned(),
                cause,
                remedy: "correct that line, or name another file with --config",
            }),
            Err(error) if !named && error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ConfigError {
                path: path.to_owned(),
                cause: error.to_string(),
                remedy: "name a readable file with --config, or none",
            }),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let settings = Self::read_toml(text)?;
        let tables = [
            ("max-paths", settings.max_paths, MOST_PATHS),
            ("max-peers", settings.max_peers, LARGEST_TABLE),
            ("max-blocks", settings.max_blocks, LARGEST_TABLE),
            ("max-devices", settings.max_devices, MAX_SLOTS),
            ("cost-sample", settings.export.cost_sample, LARGEST_SAMPLE),
        ];
        for (name, value, most) in tables {
            if let Some(value) = value.filter(|value| !(1..=most).contains(value)) {
                return Err(format!("{name} = {value} is not between 1 and {most}"));
            }
        }
        Ok(settings)
    }

    fn read_toml(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let message = error.message().replace('\n', " ");
            line.map_or_else(|| message.clone(), |line| format!("line {line}: {message}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_the_flags_say() {
        let settings = Settings::parse(
            "devices = [\"eth0\", \"tunl0\"]\ningress = \"xdp\"\npod-cidrs = [\"10.244.0.0/16\"]\ninterval = 0.5\n",
        );
        let settings = settings.expect("a valid file");
        assert_eq!(settings.devices, ["eth0", "tunl0"]);
        assert_eq!(settings.ingress, Some(IngressHook::Xdp));
        assert_eq!(settings.interval.map(|i| i.0.as_millis()), Some(500));
    }

    #[test]
    fn the_cost_is_off_unless_the_file_says_so() {
        let export = |text: &str| Settings::parse(text).map(|settings| settings.export);
        assert!(!export("").expect("an empty file").cost);
        let asked = export("[export]\ncost = true\ncost-rtt-at-hooks = true\ncost-sample = 8\n")
            .expect("a valid file");
        assert_eq!((asked.cost, asked.cost_rtt_at_hooks, asked.cost_sample), (true, true, Some(8)));
        let error = export("[export]\ncost-sample = 0\n").expect_err("none of none");
        assert!(error.contains("cost-sample = 0 is not between 1 and 1000000"), "{error}");
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let error = Settings::parse("workloads = true\ndevics = []\n").expect_err("a typing mistake");
        assert!(error.starts_with("line 2: unknown field `devics`"), "{error}");
        let error = Settings::parse("max-paths = 0\n").expect_err("no table");
        assert!(error.contains("max-paths = 0 is not between 1 and 1048576"), "{error}");
        let error = Settings::parse("interval = 0\n").expect_err("no interval");
        assert!(error.contains("between 0.1 and 86400"), "{error}");
    }
}
