//! What the process returns.
//!
//! 0 is success and 2 wrong usage (clap's). `qoe check` returns curl's numbers. Everything else
//! returns 1, except a setting or a file of targets or alerts that can't be used: 78, as sysexits has it.

use std::io;
use std::process::ExitCode;

use crate::settings::SettingsError;

/// What every command returns.
pub(crate) type Outcome = anyhow::Result<ExitCode>;

/// 128 + SIGINT, what a shell reports for a process that was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;
/// A general failure.
const FAILED: u8 = 1;
/// `EX_CONFIG`.
const CONFIG: u8 = 78;

/// Turns a command's result into the process's, and prints the error: one line, from the
/// outermost to the innermost cause.
pub(crate) fn code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("qoe: {}", line(&error));
            let config = error.chain().any(|cause| {
                cause.is::<SettingsError>()
                    || cause.is::<::probe::agent::FileError>()
                    || cause.is::<server::file::FileError>()
            });
            ExitCode::from(if config { CONFIG } else { FAILED })
        }
    }
}

/// The causes in one line. Some errors say their own cause already; it is not said twice.
fn line(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |line, cause| {
        if line.is_empty() {
            cause
        } else if line.contains(&cause) {
            line
        } else {
            format!("{line}: {cause}")
        }
    })
}

/// Whoever read our output has seen enough (`qoe report | head`): not a failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read it: {0}")]
    struct Says(#[from] io::Error);

    #[test]
    fn a_cause_is_said_once() {
        let error = Says(io::Error::other("disk on fire"));
        let error = Err::<(), _>(error).context("starting").unwrap_err();
        assert_eq!(line(&error), "starting: cannot read it: disk on fire");
        let error = Err::<(), _>(io::Error::other("disk on fire")).context("starting").unwrap_err();
        assert_eq!(line(&error), "starting: disk on fire");
    }
}
