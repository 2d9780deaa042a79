//! `qoe migrate up|down|status`. `qoe up` migrates by itself; this is for looking, and for going
//! back to an older program.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use server::store::schema;

use super::Context;
use crate::exit::Outcome;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    /// The server's data directory [default: $XDG_DATA_HOME/qoe]
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Bring the tables to this program's version
    Up,
    /// Take the tables back to an older version; what newer tables hold is lost
    Down {
        /// The version to go back to; 0 removes every table
        #[arg(long, value_name = "VERSION")]
        to: usize,
        /// Yes, what the newer tables hold may be lost
        #[arg(long)]
        yes: bool,
    },
    /// Say which version the tables have and which this program needs
    Status,
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let dir = context.data_dir(args.data_dir.clone())?;
    let shown = dir.display();
    let latest = schema::LATEST;
    let text = match &args.action {
        Action::Up => moved(schema::up(&dir)?, latest),
        &Action::Down { to, yes } => {
            let from = schema::version(&dir)?;
            ensure!(to <= from, "the tables in {shown} have version {from}, which is below {to}");
            ensure!(
                yes || to == from,
                "going from version {from} to {to} drops tables of {shown} with what they hold; \
                 stop the server, copy the directory, and say --yes"
            );
            moved(schema::down(&dir, to)?, to)
        }
        Action::Status => {
            let found = schema::version(&dir)?;
            let next = match found {
                _ if found == latest => "up to date",
                _ if found < latest => "older; run `qoe migrate up`",
                _ => "newer; use the program that wrote it",
            };
            format!("version {found}, this program needs {latest}: {next}")
        }
    };
    output::print(&format!("{shown}: {text}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn moved(from: usize, to: usize) -> String {
    match from == to {
        true => format!("version {to}, nothing to do"),
        false => format!("from version {from} to {to}"),
    }
}
