//! The servers and roles of the distributed shape, on this machine.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use server::bus::{Bus, Connect, StreamSettings};
use server::ingest::auth::ANY_CLIENT;
use server::store::{Location, PostgresSettings, Retention, Scope, Store, schema};
use tempfile::TempDir;
use testbed::servers::nats::{self, Nats};
use testbed::servers::postgres::{Database, Postgres};

use crate::http::Http;
use crate::ingest::{Child, one_thread};

/// How long a role may take to be ready on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// NATS with empty streams, and an empty database on a PostgreSQL server.
pub(crate) struct World {
    pub(super) nats: Nats,
    pub(super) database: Database,
    /// May send for any client.
    pub(super) token: String,
    database_file: PathBuf,
    _dir: TempDir,
}

impl World {
    /// `sync_always`: whether NATS has each message on disk before it confirms it, as we ship it.
    pub(super) fn start(postgres: &Postgres, sync_always: bool) -> anyhow::Result<Self> {
        let nats = Nats::start(&nats::Options { sync_always, ..nats::Options::default() })?;
        one_thread()?.block_on(async {
            let bus = Bus::connect(&Connect::to(nats.url())).await?;
            bus.make_streams(&StreamSettings::default()).await?;
            bus.close().await;
            anyhow::Ok(())
        })?;
        let database = postgres.create_database()?;
        let location = Location::from(PostgresSettings::parse(&database.url(), None)?);
        schema::up(&location)?;
        let store = Store::open(&location)?;
        store.writer()?.prune(&Retention::default(), server::clock::now_ms())?;
        let token = store.tokens().create(ANY_CLIENT, Scope::Ingest, None)?;
        let dir = tempfile::tempdir().context("failed to make a directory")?;
        let database_file = dir.path().join("database");
        fs::write(&database_file, database.url()).context("failed to write a file")?;
        fs::set_permissions(&database_file, fs::Permissions::from_mode(0o600))?;
        Ok(Self { nats, database, token, database_file, _dir: dir })
    }

    /// Starts a role of the program `qoe`, and returns when it is ready.
    pub(super) fn role(&self, name: &str) -> anyhow::Result<Child> {
        let bus = self.nats.url();
        let mut args: Vec<&OsStr> = vec![name.as_ref(), "--database-file".as_ref()];
        args.extend([self.database_file.as_os_str(), "--listen".as_ref(), "127.0.0.1:0".as_ref()]);
        if name != "diagnoser" {
            args.extend::<[&OsStr; 2]>(["--bus".as_ref(), bus.as_ref()]);
        }
        let role = Child::role(args)?;
        let began = Instant::now();
        loop {
            let (status, said) = Http::connect(role.addr())?.get("/-/ready")?;
            if status == 200 {
                return Ok(role);
            }
            ensure!(began.elapsed() < PATIENCE, "qoe {name} is not ready: {said}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// How the stream of events stands.
    pub(super) fn stream(&self) -> anyhow::Result<Stream> {
        let url = self.nats.monitor_url();
        let addr = url.trim_start_matches("http://").parse().context("read an address")?;
        let (_, text) = Http::connect(addr)?.get("/jsz?streams=true&consumers=true")?;
        Stream::parse(&text).with_context(|| format!("NATS says nothing of its streams: {text}"))
    }

    /// Rows of a table.
    pub(super) fn count(&self, table: &str) -> anyhow::Result<i64> {
        let count = format!("SELECT count(*) FROM {table}");
        Ok(self.database.connect()?.query_one(&count, &[])?.get(0))
    }

    /// Bytes of a table's partitions, indexes included.
    pub(super) fn bytes(&self, table: &str) -> anyhow::Result<f64> {
        let sum = format!(
            "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('{table}')"
        );
        Ok(self.database.connect()?.query_one(&sum, &[])?.get::<_, i64>(0) as f64)
    }

    /// Events in windows.
    pub(super) fn counted(&self) -> anyhow::Result<u64> {
        let sum = "SELECT coalesce(sum(count_total), 0)::bigint FROM agg_1m";
        Ok(self.database.connect()?.query_one(sum, &[])?.get::<_, i64>(0).unsigned_abs())
    }
}

/// The stream of events and who takes from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Messages that are not acknowledged; all of them where nobody takes any.
    pub(super) lag: u64,
}

impl Stream {
    fn parse(text: &str) -> Option<Self> {
        let all: serde_json::Value = serde_json::from_str(text).ok()?;
        let streams = all["account_details"][0]["stream_detail"].as_array()?;
        let events = streams.iter().find(|stream| stream["name"] == "QOE_EVENTS")?;
        let messages = events["state"]["messages"].as_u64()?;
        let consumer = &events["consumer_detail"][0];
        let waiting = consumer["num_pending"].as_u64();
        let lag = waiting.map(|n| n + consumer["num_ack_pending"].as_u64().unwrap_or(0));
        let bytes = events["state"]["bytes"].as_u64()?;
        Some(Self { messages, bytes, lag: lag.unwrap_or(messages) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_waits_and_what_is_at_work() {
        let with = |consumers: &str| {
            Stream::parse(&format!(
                r#"{{"account_details": [{{"stream_detail": [{{"name": "QOE_DLQ"}},
                {{"name": "QOE_EVENTS", "state": {{"messages": 9, "bytes": 90}}{consumers}}}]}}]}}"#
            ))
        };
        let taken = with(r#", "consumer_detail": [{"num_pending": 2, "num_ack_pending": 3}]"#);
        assert_eq!(taken, Some(Stream { messages: 9, bytes: 90, lag: 5 }));
        assert_eq!(with(""), Some(Stream { messages: 9, bytes: 90, lag: 9 }));
        assert_eq!(Stream::parse("{}"), None);
    }
}
