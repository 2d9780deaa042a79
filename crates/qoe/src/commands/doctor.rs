//! `qoe doctor`: looks at bus and store and says what they can lose as they are set up. It changes
//! nothing, and tells what it can't reach beside what it can.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use server::bus::{self, Bus};
use server::roles::Horizon;
use server::store::{Location, Reader, ReceiverFares, StoreError, inspect};
use url::Url;

use super::places::{BusArgs, StoreArgs, shown};
use super::{Context, parse_span};
use crate::exit::Outcome;
use crate::output;

mod json;
mod view;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Looks at the bus and the database that are named, or at the store of this machine where none is. \
Exits with 0 where nothing that was answered 202 can be lost by a crash or a power cut and every \
receiver of alerts gets them, and with 1 where that is not so or could not be looked at. --json prints one object of schema qoe.doctor/1; \
fields may be added, none change.")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    bus: BusArgs,
    /// NATS' monitoring port, http://HOST:8222: it tells when messages reach the disk
    #[arg(long, value_name = "URL", value_parser = parse_monitor)]
    bus_monitor: Option<Url>,
    /// How long the ids of counted events are kept, as the aggregators have it [default: 22d]
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    keep_ids: Option<Duration>,
    /// Who is where, a file: it is told whom it names that was never seen
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was given up before that is history.
const GIVEN_UP_MS: i64 = 24 * 60 * 60 * 1_000;

/// What was looked at; `None` is what was not asked for.
pub(crate) struct Findings {
    pub(crate) bus: Option<Result<bus::inspect::Report, Unreachable>>,
    pub(crate) store: Option<Result<inspect::Report, Unreachable>>,
    pub(crate) horizon: Option<Horizon>,
    /// Dead letters that are there.
    pub(crate) dead_letters: Option<u64>,
    /// Receivers of alerts, where the store tells of them.
    pub(crate) receivers: Vec<ReceiverFares>,
    /// Clients that the topology names and of which nothing was ever counted.
    pub(crate) unseen: Option<Vec<String>>,
}

/// What a store tells.
struct Stored {
    report: inspect::Report,
    receivers: Vec<ReceiverFares>,
    unseen: Option<Vec<String>>,
}

/// What could not be looked at.
pub(crate) struct Unreachable {
    pub(crate) at: String,
    pub(crate) why: String,
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let lossy = args.store.database.allow_data_loss;
    let bus = args.bus.given("qoe doctor", lossy, context)?;
    let store = match args.store.given(context)? {
        None if bus.is_none() => Some(args.store.location(context)?),
        given => given,
    };
    let set = context.settings.bus_monitor.as_deref().map(parse_monitor).transpose();
    let set = set.map_err(|wrong| anyhow!("setting bus_monitor: {wrong}"))?;
    let monitor = args.bus_monitor.as_ref().or(set.as_ref());
    let named = args.topology.as_deref().map(server::topology::load).transpose()?;
    let named = named.map(|topology| topology.clients.keys().map(ToString::to_string).collect());
    let (bus, store) = super::one_thread()?
        .block_on(async { tokio::join!(look_at_bus(bus, monitor), look_at_store(store, named)) });
    let findings = Findings::of(bus, store, context.keep_ids(args.keep_ids));
    match args.json {
        true => output::print_json(&json::of(&findings))?,
        false => output::print(&view::text(&findings, context.style))?,
    }
    Ok(if findings.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look_at_bus(
    connect: Option<bus::Connect>,
    monitor: Option<&Url>,
) -> Option<Result<bus::inspect::Report, Unreachable>> {
    // One that forgets is looked at too, to say so.
    let connect = bus::Connect { allow_old: true, ..connect? };
    let look = async {
        let bus = Bus::connect(&connect).await?;
        let report = bus.inspect(monitor).await;
        bus.close().await;
        report
    };
    let at = connect.shown();
    Some(look.await.map_err(|error| Unreachable { at, why: error.to_string() }))
}

async fn look_at_store(
    location: Option<Location>,
    named: Option<Vec<String>>,
) -> Option<Result<Stored, Unreachable>> {
    let location = location?;
    let at = shown(&location);
    let look = move || stored(&location, named);
    let looked = tokio::task::spawn_blocking(look).await;
    let found = looked.map_err(anyhow::Error::from).and_then(|found| Ok(found?));
    Some(found.map_err(|error| Unreachable { at, why: format!("{error}") }))
}

/// Tables of another version tell nothing of receivers and clients, which is said of the tables.
fn stored(location: &Location, named: Option<Vec<String>>) -> Result<Stored, StoreError> {
    let report = inspect::inspect(location)?;
    let from_ms = super::now_ms().saturating_sub(GIVEN_UP_MS);
    let told = Reader::open(location).and_then(|reader| {
        let mut unseen = named.map(|clients| reader.unseen(&clients)).transpose()?;
        unseen.iter_mut().for_each(|unseen| unseen.sort());
        Ok((reader.receivers(from_ms)?, unseen))
    });
    let (receivers, unseen) = told.unwrap_or_default();
    Ok(Stored { report, receivers, unseen })
}

impl Findings {
    fn of(
        bus: Option<Result<bus::inspect::Report, Unreachable>>,
        store: Option<Result<Stored, Unreachable>>,
        keep_ids: Duration,
    ) -> Self {
        let (mut receivers, mut unseen) = (Vec::new(), None);
        let store = store.map(|found| {
            found.map(|stored| {
                (receivers, unseen) = (stored.receivers, stored.unseen);
                stored.report
            })
        });
        let report = bus.as_ref().and_then(|found| found.as_ref().ok());
        let horizon = report.and_then(|report| Horizon::found(report, keep_ids));
        let letters = report.and_then(|report| report.streams[1].found.as_ref());
        let dead_letters = letters.map(|found| found.state.messages);
        Self { bus, store, horizon, dead_letters, receivers, unseen }
    }

    /// What could not be looked at.
    fn unreachable(&self) -> Vec<String> {
        let bus = self.bus.as_ref().and_then(|found| found.as_ref().err());
        let store = self.store.as_ref().and_then(|found| found.as_ref().err());
        bus.into_iter().chain(store).map(|unreachable| unreachable.why.clone()).collect()
    }

    /// What can be lost, one sentence each.
    fn risks(&self) -> Vec<String> {
        let mut risks = Vec::new();
        if let Some(Ok(bus)) = &self.bus {
            risks.extend(bus.risks());
        }
        if let Some(Ok(store)) = &self.store {
            risks.extend(store.risks());
        }
        if let Some(Err(short)) = self.horizon.as_ref().map(Horizon::check) {
            risks.push(short.to_string());
        }
        risks
    }

    /// Receivers that do not get their alerts, one sentence each.
    fn untold(&self) -> Vec<String> {
        let trouble = self.receivers.iter().filter(|one| one.is_in_trouble());
        trouble.map(untold).collect()
    }

    /// What is worth knowing.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(count @ 1..) = self.dead_letters {
            notes.push(format!(
                "{} could not be counted, and go when they are too old: qoe dlq list",
                crate::render::units::count(count, "dead letter")
            ));
        }
        if let Some(unseen) = self.unseen.as_ref().filter(|unseen| !unseen.is_empty()) {
            notes.push(format!(
                "the topology names {} of which nothing was ever counted, perhaps misspelt: {}",
                crate::render::units::count(unseen.len() as u64, "client"),
                listed(unseen)
            ));
        }
        if let Some(Ok(bus)) = &self.bus {
            notes.extend(bus.notes());
        }
        if let Some(Ok(store)) = &self.store {
            notes.extend(store.notes());
        }
        notes
    }

    fn is_well(&self) -> bool {
        self.unreachable().is_empty() && self.risks().is_empty() && self.untold().is_empty()
    }
}

/// The first few.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}

fn untold(receiver: &ReceiverFares) -> String {
    let ReceiverFares { receiver: name, pending, given_up, .. } = receiver;
    let notices = |n| crate::render::units::count(n, "notice");
    let mut said = Vec::new();
    if let Some(since) = receiver.failing_since_ts {
        said.push(format!("{} undelivered since {}", notices(*pending), super::alert::time(since)));
    }
    if *given_up > 0 {
        said.push(format!("{} given up in the last 24 hours", notices(*given_up)));
    }
    let why = receiver.last_error.as_deref().unwrap_or("it is not known why");
    let state = said.join(", ");
    format!("{name}: {state}: {why}; try it with: qoe alert test --receiver {name}")
}

fn parse_monitor(text: &str) -> Result<Url, String> {
    match text.parse::<Url>() {
        Ok(url) if url.scheme() == "http" && url.has_host() => Ok(url),
        _ => Err("write http://HOST:8222".to_owned()),
    }
}
