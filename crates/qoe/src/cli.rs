//! The command line as a whole; the arguments of each command stand beside it.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::commands;
use crate::render::Style;
use crate::render::colour::{Surroundings, When};
use probe::log::LogFormat;

/// Is it slow, for whom, since when, which stage, and whose fault is it?
#[derive(Debug, Parser)]
#[command(
    name = "qoe",
    version,
    about = "Is the network slow, since when, and which stage of a connection is it?",
    after_help = "Start with `qoe check URL`, `qoe up --target URL`, or `qoe demo`.\n\
                  Settings: flags over QOE_* variables over the configuration file over defaults.",
    disable_help_subcommand = true,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Options {
    /// Configuration file [default: $XDG_CONFIG_HOME/qoe/config.toml, if there is one] [env:
    /// QOE_CONFIG]
    // The variable is read with the settings: `qoe probe --config` is another file, with another
    // variable, and the parser would hand this one's value down to it.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Say more on standard error (-vv for more still)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say less on standard error
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "verbose")]
    pub(crate) quiet: u8,
    /// How log lines are written: json has an object a line
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        env = "QOE_LOG_FORMAT"
    )]
    pub(crate) log_format: LogFormat,
    /// Use colour; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: When,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure URLs now and show where the time goes; needs no server
    Check(commands::check::Args),
    /// Run server and probe on this machine and stay
    Up(commands::up::Args),
    /// Break a target in turn and see each fault named, with a score
    Demo(commands::demo::Args),
    /// Show what was measured and what was diagnosed
    Report(commands::report::Args),
    /// Say whether two cohorts differ, by stage, and how sure that is
    Compare(commands::compare::Args),
    /// List incidents, or say what one of them rests on
    Explain(commands::explain::Args),
    /// Judge a stretch of the past again, as the rules of this program have it
    Rediagnose(commands::rediagnose::Args),
    /// Judge a recording of events, as it would have been judged while it was made
    Diagnose(commands::diagnose::Args),
    /// Run the test target: HTTP, HTTPS and DNS with faults that can be switched
    Target(commands::target::Args),
    /// Collect traces over OTLP and draw them, where no other collector runs
    Traces(commands::traces::Args),
    /// Make the measurements of a simulated fleet, with faults whose truth is known
    Simulate(commands::simulate::Args),
    /// Measure targets on a schedule and send the results to a server
    Probe(commands::probe::Args),
    /// Take events over HTTP and put them on the bus
    Ingest(commands::ingest::Args),
    /// Count the events on the bus into the shared database
    Aggregator(commands::aggregator::Args),
    /// Judge the windows in the shared database
    Diagnoser(commands::diagnoser::Args),
    /// Serve the read API over the shared database
    Api(commands::api::Args),
    /// Ask a role whether it works: 0 if it does
    Ready(commands::ready::Args),
    /// Make, list and revoke tokens
    Token(commands::token::Args),
    /// Bring the store's tables, and the bus's streams, to what this program needs, or back
    Migrate(commands::migrate::Args),
    /// Try who is told of incidents, and show what was told
    Alert(commands::alert::Args),
    /// Say what bus and store can lose as they are set up
    Doctor(commands::doctor::Args),
    /// Show, replay or drop what could not be counted
    Dlq(commands::dlq::Args),
    /// Count again what the bus still holds
    Replay(commands::replay::Args),
    /// Copy the store of this machine into a file, while a server runs on it
    Backup(commands::backup::Args),
    /// Put such a copy in the place of the store
    Restore(commands::restore::Args),
    /// Print the HTTP API as an OpenAPI document
    Openapi(commands::openapi::Args),
    /// Print a completion script for a shell
    Completions(commands::completions::Args),
    /// Print the manual page, or write one for each command
    Man(commands::man::Args),
}

impl Options {
    /// What may be drawn on an output.
    pub(crate) fn style_of(&self, output: &impl IsTerminal) -> Style {
        Style::choose(
            self.color,
            Surroundings {
                terminal: output.is_terminal(),
                no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
                term: std::env::var("TERM").ok().as_deref(),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
