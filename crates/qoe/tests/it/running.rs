//! Starts `qoe` with nothing of the surroundings in it.

use std::process::{Command, Stdio};

/// The program, with an empty environment: no settings, no colour, no proxy.
pub(crate) fn qoe() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qoe"));
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command
}
