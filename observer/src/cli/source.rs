//! Options of commands that read a running exporter's maps where there are any.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::BoolishValueParser;

use super::export::PIN_PATH;

/// Where figures come from.
#[derive(Clone, Debug, Default, Args)]
pub struct SourceArgs {
    /// Attach even where an exporter's maps could be read
    #[arg(long, env = "OBSERVER_ATTACH", value_parser = BoolishValueParser::new())]
    pub attach: bool,
    /// Where a running exporter has pinned its maps [default: /sys/fs/bpf/observer]
    #[arg(long, value_name = "DIRECTORY", env = "OBSERVER_PIN_PATH")]
    pub pin_path: Option<PathBuf>,
}

impl SourceArgs {
    /// The directory to look in; `None` where nobody else's maps are wanted.
    #[must_use]
    pub fn directory<'a>(&'a self, configured: Option<&'a Path>) -> Option<&'a Path> {
        (!self.attach).then(|| self.pin_path.as_deref().or(configured).unwrap_or(Path::new(PIN_PATH)))
    }
}
