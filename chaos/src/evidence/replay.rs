//! The whole stream once more: into the database that has counted it, and into an empty one.

use anyhow::Context;
use model::decode::Limits;
use server::aggregator::{Aggregator, Settings};
use server::bus::replay::{Replayed, Since, replay};
use server::bus::{Bus, Connect};
use server::store::{Location, PostgresSettings, Store, schema};
use testbed::servers::postgres::Database;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Counts the stream from its beginning into a database, whose tables are made where it has none.
/// Blocks.
///
/// # Errors
/// Where bus or database fail.
pub fn into(runtime: &Runtime, nats_url: &str, database: &Database) -> anyhow::Result<Replayed> {
    let location = Location::from(PostgresSettings::parse(&database.url(), None)?);
    schema::up(&location)?;
    let store = Store::open(&location)?;
    let (aggregator, mut writers) = Aggregator::start(&store, Settings::default())?;
    runtime.block_on(async {
        let bus = Bus::connect(&Connect::to(nats_url)).await?;
        let (limits, stop) = (Limits::default(), CancellationToken::new());
        let replayed = replay(&bus, aggregator.clone(), Since::Start, &limits, &stop).await;
        aggregator.close();
        writers.finished().await;
        replayed?.context("nobody stopped it")
    })
}
