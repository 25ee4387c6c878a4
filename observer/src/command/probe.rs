//! `observer probe`, for set-up and for packagers: loads every program and attaches none.

use anyhow::Result;

use crate::kernel::{Capacities, Programs, entry};

/// Loads every program that this kernel should take, and says what it cost.
///
/// # Errors
/// The kernel refused one.
pub fn run() -> Result<()> {
    let mut programs = Programs::load(Capacities::default())?;
    for name in entry::ALL {
        let Some(size) = programs.size(name)? else {
            println!("{name}: not for this kernel");
            continue;
        };
        println!("{name}: loaded, {size}");
    }
    Ok(())
}
