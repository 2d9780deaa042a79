//! `qoe migrate up|down|status`: the store's tables, and the streams of the bus where one is named.
//! `qoe up` brings its own store up to date; this is for a shared one, for looking, and for going
//! back to an older program.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytesize::ByteSize;
use server::bus::{Bus, Made, StreamSettings};
use server::store::{Location, schema};

use super::places::{BusArgs, StoreArgs, shown};
use super::{Context, parse_span};
use crate::exit::Outcome;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    bus: BusArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Bring the tables to this program's version, and make the streams of the bus
    Up(Streams),
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

/// What the streams hold.
#[derive(Debug, clap::Args)]
struct Streams {
    /// How long the bus keeps an event, counted or not [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    stream_max_age: Option<Duration>,
    /// How many bytes of events the bus keeps [default: 8GiB]
    #[arg(long, value_name = "BYTES")]
    stream_max_bytes: Option<ByteSize>,
    /// How long a dead letter stays [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    dead_letters_max_age: Option<Duration>,
    /// How many bytes of dead letters stay [default: 512MiB]
    #[arg(long, value_name = "BYTES")]
    dead_letters_max_bytes: Option<ByteSize>,
    /// On how many servers of a NATS cluster each message is kept [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=5))]
    stream_replicas: Option<u8>,
}

impl Streams {
    fn settings(&self) -> StreamSettings {
        let default = StreamSettings::default();
        let bytes = |given: Option<ByteSize>, or| given.map_or(or, |size| size.as_u64());
        StreamSettings {
            max_age: self.stream_max_age.unwrap_or(default.max_age),
            max_bytes: bytes(self.stream_max_bytes, default.max_bytes),
            dead_letter_max_age: self.dead_letters_max_age.unwrap_or(default.dead_letter_max_age),
            dead_letter_max_bytes: bytes(
                self.dead_letters_max_bytes,
                default.dead_letter_max_bytes,
            ),
            replicas: self.stream_replicas.map_or(default.replicas, usize::from),
        }
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let location = args.store.location(context)?;
    let place = shown(&location);
    let latest = schema::LATEST;
    let text = match &args.action {
        Action::Up(_) => moved(schema::up(&location)?, latest),
        &Action::Down { to, yes } => {
            let from = schema::version(&location)?;
            ensure!(to <= from, "the tables in {place} have version {from}, which is below {to}");
            ensure!(
                yes || to == from,
                "going from version {from} to {to} drops tables of {place} with what they hold; \
                 stop the server, copy {}, and say --yes",
                copied(&location)
            );
            moved(schema::down(&location, to)?, to)
        }
        Action::Status => {
            let found = schema::version(&location)?;
            let next = match found {
                _ if found == latest => "up to date",
                _ if found < latest => "older; run `qoe migrate up`",
                _ => "newer; use the program that wrote it",
            };
            format!("version {found}, this program needs {latest}: {next}")
        }
    };
    output::print(&format!("{place}: {text}\n"))?;
    if let Action::Up(streams) = &args.action {
        let lossy = args.store.database.allow_data_loss;
        if let Some(connect) = args.bus.given("qoe migrate", lossy, context)? {
            super::one_thread()?.block_on(make_streams(&connect, &streams.settings()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn make_streams(
    connect: &server::bus::Connect,
    settings: &StreamSettings,
) -> anyhow::Result<()> {
    let bus = Bus::connect(connect).await?;
    let made = bus.make_streams(settings).await.context("making the streams")?;
    for (name, made) in made {
        let made = match made {
            Made::Created => "created",
            Made::Changed => "there, with new bounds",
            Made::Unchanged => "there, nothing to do",
        };
        output::print(&format!("{}: stream {name} {made}\n", bus.at()))?;
    }
    bus.close().await;
    Ok(())
}

fn copied(location: &Location) -> &'static str {
    match location {
        Location::Directory(_) => "the directory",
        Location::Postgres(_) => "the database",
    }
}

fn moved(from: usize, to: usize) -> String {
    match from == to {
        true => format!("version {to}, nothing to do"),
        false => format!("from version {from} to {to}"),
    }
}
