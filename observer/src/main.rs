//! The `observer` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    observer::command::run()
}
