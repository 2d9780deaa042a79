//! `qoe aggregator`: from the bus into the shared database. Any number share the work.

use std::time::Duration;

use server::roles::{self, Aggregating};
use server::trace::Endpoint;

use super::door::{self, DoorArgs};
use super::places::{BusArgs, DatabaseArgs};
use super::{Context, parse_span};
use crate::exit::Outcome;
use crate::signals;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Start as many as the load wants, on any machines: they share the work, and what one had taken when \
it died comes to another after --takeover.")]
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
    /// Connections that write to the database at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    writers: u8,
    /// How long the ids of counted events are kept, so that none counts twice [default: 22d]
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    keep_ids: Option<Duration>,
    /// How long an aggregator may give no sign of life before others get what it had taken; the
    /// same for all of them
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_takeover)]
    takeover: Duration,
}

/// Signs are sent three times in it, and a busy machine must not miss all of them.
fn parse_takeover(text: &str) -> Result<Duration, String> {
    match parse_span(text)? {
        span if span < Duration::from_secs(3) => Err("3s is the least".to_owned()),
        span => Ok(span),
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    super::serve(async {
        let stop = signals::stop_on_signal()?;
        let role = Aggregating {
            bus: args.bus.connect("qoe aggregator", args.database.allow_data_loss, context)?,
            store: args.database.location(context)?,
            door: args.door.open(8462, context).await?,
            collector: context.collector(args.otlp.as_ref())?,
            writers: args.writers.into(),
            keep_ids: context.keep_ids(args.keep_ids),
            takeover: args.takeover,
        };
        door::announce(&role.door)?;
        roles::aggregator(role, stop).await
    })
}
