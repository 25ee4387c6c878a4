//! The accounting rule: which counters a parsed packet is added to, given the facts of the node.
//!
//! It runs in the BPF programs on kernel maps and in user space on plain collections, both behind
//! [`Tables`].

mod add;
mod fast_path;
mod observation;
mod path;
mod ptb;
mod rule;
mod site;
mod sizes;
mod tables;

pub use fast_path::fast_path;
pub use observation::{Observation, Verdict};
pub use path::is_known_tunnel;
pub use ptb::count_ptb;
pub use rule::{account, classify, observe, ran_out};
pub use site::Site;
pub use sizes::Sizes;
pub use tables::Tables;
