//! `qoe ingest`: events over HTTP onto the bus, for any number of probes.

use server::roles::{self, Taking};
use server::trace::Endpoint;

use super::Context;
use super::door::{self, DoorArgs};
use super::places::{BusArgs, DatabaseArgs};
use crate::exit::Outcome;
use crate::signals;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
POST /v1/events takes events and answers 202 when the bus has them on its disk. The database is \
asked for tokens alone; those it has seen are good for an hour while it is away.")]
pub(crate) struct Args {
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    door: DoorArgs,
    /// A collector that traces go to, http://HOST:4318 or grpc://HOST:4317; which measurements are traced
    /// is said by the probes [default: none]
    #[arg(long, value_name = "URL")]
    otlp: Option<Endpoint>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    super::serve(async {
        let stop = signals::stop_on_signal()?;
        let role = Taking {
            bus: args.bus.connect("qoe ingest", args.database.allow_data_loss, context)?,
            store: args.database.location(context)?,
            door: args.door.open(8460, context).await?,
            collector: context.collector(args.otlp.as_ref())?,
        };
        door::announce(&role.door)?;
        roles::ingest(role, stop).await
    })
}
