//! `qoe diagnoser`: judges the windows in the shared database.

use std::path::PathBuf;
use std::time::Duration;

use server::roles::{self, Diagnosing};

use super::door::{self, DoorArgs};
use super::places::DatabaseArgs;
use super::{Context, parse_span};
use crate::exit::Outcome;
use crate::signals;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Of several, one judges and tells; another takes over when it is gone.")]
pub(crate) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    door: DoorArgs,
    /// How long the ids of counted events are kept; as the aggregators have it [default: 22d]
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    keep_ids: Option<Duration>,
    /// Who is told of incidents: docs/alerts.md [default: nobody]
    #[arg(long, value_name = "FILE")]
    alerts: Option<PathBuf>,
    /// Who is where, a file: docs/diagnosis.md [default: what events say]
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    super::serve(async {
        let stop = signals::stop_on_signal()?;
        let role = Diagnosing {
            topology: super::topology(args.topology.as_deref())?,
            store: args.database.location(context)?,
            door: args.door.open(8463, context).await?,
            keep_ids: context.keep_ids(args.keep_ids),
            alerts: context.alerts(args.alerts.as_deref())?,
        };
        door::announce(&role.door)?;
        roles::diagnoser(role, stop).await
    })
}
