//! `qoe`: measure, ingest, aggregate, diagnose, show. Parses, dispatches, returns.

mod cli;
mod commands;
mod exit;
mod logging;
use ::probe::output;
use ::probe::progress;
use ::probe::render;
mod settings;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    exit::code(run(cli))
}

fn run(Cli { options, command }: Cli) -> exit::Outcome {
    logging::start(&options)?;
    let context = match command {
        Command::Probe(_) => commands::Context::without_settings(&options),
        _ => commands::Context::new(&options)?,
    };
    match command {
        Command::Check(args) => commands::check::run(&args, &context),
        Command::Up(args) => commands::up::run(&args, &context),
        Command::Demo(args) => commands::demo::run(&args, &context),
        Command::Report(args) => commands::report::run(&args, &context),
        Command::Compare(args) => commands::compare::run(&args, &context),
        Command::Explain(args) => commands::explain::run(&args, &context),
        Command::Rediagnose(args) => commands::rediagnose::run(&args, &context),
        Command::Target(args) => commands::target::run(&args, &context),
        Command::Traces(args) => commands::traces::run(&args),
        Command::Diagnose(args) => commands::diagnose::run(&args),
        Command::Simulate(args) => commands::simulate::run(&args, &context),
        Command::Probe(args) => commands::probe::run(args, &context),
        Command::Ingest(args) => commands::ingest::run(&args, &context),
        Command::Aggregator(args) => commands::aggregator::run(&args, &context),
        Command::Diagnoser(args) => commands::diagnoser::run(&args, &context),
        Command::Api(args) => commands::api::run(&args, &context),
        Command::Ready(args) => commands::ready::run(&args),
        Command::Token(args) => commands::token::run(&args, &context),
        Command::Migrate(args) => commands::migrate::run(&args, &context),
        Command::Alert(args) => commands::alert::run(&args, &context),
        Command::Doctor(args) => commands::doctor::run(&args, &context),
        Command::Dlq(args) => commands::dlq::run(&args, &context),
        Command::Replay(args) => commands::replay::run(&args, &context),
        Command::Backup(args) => commands::backup::run(&args, &context),
        Command::Restore(args) => commands::restore::run(&args, &context),
        Command::Openapi(args) => commands::openapi::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
        Command::Man(args) => commands::man::run(&args),
    }
}
