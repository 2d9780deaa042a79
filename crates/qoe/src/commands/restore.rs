//! `qoe restore FILE`: what `qoe backup` took, in its place again.

use std::path::PathBuf;
use std::process::ExitCode;

use server::store::backup;

use super::Context;
use crate::exit::Outcome;
use crate::output;
use crate::render::units::size;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
No server may run on the directory. The file is looked through first; a crash leaves the store \
that was there or the one of the file. What was counted after the backup is gone with the store \
it was counted in.")]
pub(crate) struct Args {
    /// What `qoe backup` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The directory it goes into [default: $XDG_DATA_HOME/qoe]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Replace the store that is there, with all that it holds
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let dir = context.data_dir(args.data_dir.clone())?;
    let copied = backup::restore(&args.file, &dir, args.force)?;
    output::print(&format!(
        "{} restored from {}: {}, schema version {}\n",
        dir.display(),
        args.file.display(),
        size(copied.bytes),
        copied.schema
    ))?;
    Ok(ExitCode::SUCCESS)
}
