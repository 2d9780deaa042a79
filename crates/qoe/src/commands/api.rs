//! `qoe api`: the read API over the shared database.

use server::roles::{self, Serving};

use super::Context;
use super::door::{self, DoorArgs};
use super::places::DatabaseArgs;
use crate::exit::Outcome;
use crate::signals;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
GET /api/v1/windows, /api/v1/summary, /api/v1/scores, /api/v1/incidents, \
/api/v1/drifts and /api/v1/gaps, with a token of scope read.")]
pub(crate) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    door: DoorArgs,
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    super::serve(async {
        let stop = signals::stop_on_signal()?;
        let role = Serving {
            store: args.database.location(context)?,
            door: args.door.open(8461, context).await?,
        };
        door::announce(&role.door)?;
        roles::api(role, stop).await
    })
}
