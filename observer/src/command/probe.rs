//! `observer probe`, for setup and packagers: loads every program without attaching it.

use anyhow::Result;

use crate::kernel::{Capacities, Programs, entry};

/// Loads every program that this kernel supports, and prints its size.
///
/// # Errors
/// The kernel refuses one.
pub fn run() -> Result<()> {
    let mut programs = Programs::load(Capacities::default())?;
    for name in entry::ALL {
        let Some(size) = programs.size(name)? else {
            println!("{name}: not supported by this kernel");
            continue;
        };
        println!("{name}: loaded, {size}");
    }
    Ok(())
}
