//! Logs: on standard error, warnings by default, `-v` and `-q` to hear more or less, `RUST_LOG`
//! for whoever wants to say it exactly.

use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::cli::Options;

/// Starts logging for the whole process.
pub(crate) fn start(options: &Options) -> anyhow::Result<()> {
    let colour = io::stderr().is_terminal() && options.style_of(&io::stderr()).colour;
    let logs = Registry::default().with(options.log_format.layer(colour, options.verbose > 0));
    // The filter of RUST_LOG costs a compiled expression; the common case goes without.
    match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => {
            let filter = EnvFilter::try_new(&filter).context("reading RUST_LOG")?;
            logs.with(filter).init();
        }
        _ => {
            let level = level(options.verbose, options.quiet);
            logs.with(level.map_or(LevelFilter::OFF, LevelFilter::from_level)).init();
        }
    }
    Ok(())
}

/// The level `-v` and `-q` ask for; `None` is silence.
fn level(verbose: u8, quiet: u8) -> Option<Level> {
    match i16::from(verbose) - i16::from(quiet) {
        ..=-2 => None,
        -1 => Some(Level::ERROR),
        0 => Some(Level::WARN),
        1 => Some(Level::INFO),
        2 => Some(Level::DEBUG),
        3.. => Some(Level::TRACE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbose_and_quiet_move_the_level() {
        assert_eq!(level(0, 0), Some(Level::WARN));
        assert_eq!(level(1, 0), Some(Level::INFO));
        assert_eq!(level(0, 1), Some(Level::ERROR));
        assert_eq!(level(0, 2), None);
        assert_eq!(level(9, 0), Some(Level::TRACE));
    }
}
