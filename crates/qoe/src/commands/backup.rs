//! `qoe backup FILE`: the store of this machine as one file, taken while a server runs on it.

use std::path::PathBuf;
use std::process::ExitCode;

use server::store::backup;

use super::Context;
use crate::exit::Outcome;
use crate::output;
use crate::render::units::size;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The copy is of one moment, and holds tokens (hashed) as well as measurements. It is there as a \
whole or not at all. A shared PostgreSQL database is backed up with PostgreSQL's own tools, and \
what came since is counted again by qoe replay.")]
pub(crate) struct Args {
    /// Where the copy goes, mode 0600
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The server's data directory [default: $XDG_DATA_HOME/qoe]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let dir = context.data_dir(args.data_dir.clone())?;
    let copied = backup::backup(&dir, &args.file, args.force)?;
    output::print(&format!(
        "{} copied to {}: {}, schema version {}\n",
        dir.display(),
        args.file.display(),
        size(copied.bytes),
        copied.schema
    ))?;
    Ok(ExitCode::SUCCESS)
}
