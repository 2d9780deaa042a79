//! What runs in a process of its own: the server, and the handler it is compared with.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use axum::body::Bytes;
use axum::response::IntoResponse;
use axum::{Json, Router, routing::post};
use http::StatusCode;
use model::decode::{Limits, Media, decode};
use server::clock::now_ms;
use server::roles::{AllInOne, all_in_one};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves on a port of this machine, whose address it prints, until its input ends.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Inside {
    /// The whole server, as `qoe server` runs it
    Server {
        /// Its data directory
        #[arg(long)]
        dir: PathBuf,
    },
    /// A handler that reads and checks events and keeps nothing
    Handler,
}

impl Inside {
    /// Runs to the end.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.context("failed to start")?.block_on(async {
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
                .await
                .context("failed to listen")?;
            println!("{}", listener.local_addr().context("failed to listen")?);
            match self {
                Self::Server { dir } => server(listener, dir).await,
                Self::Handler => handler(listener).await,
            }
        })
    }
}

async fn server(listener: TcpListener, data_dir: PathBuf) -> anyhow::Result<()> {
    let local_client_id = "bench".to_owned();
    let cfg = AllInOne {
        data_dir,
        listener,
        tls: None,
        local: None,
        local_client_id,
        alerts: None,
        topology: model::detect::Topology::default(),
        collector: None,
    };
    all_in_one(cfg, at_end_of_input()).await
}

async fn handler(listener: TcpListener) -> anyhow::Result<()> {
    let router = Router::new().route("/v1/events", post(read));
    let stop = at_end_of_input();
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await
        .context("failed to serve")
}

async fn read(body: Bytes) -> impl IntoResponse {
    match decode(&body, Media::Json, now_ms(), &Limits::default()) {
        Ok(decoded) => {
            let answer = serde_json::json!({ "accepted": decoded.events.len() });
            (StatusCode::ACCEPTED, Json(answer)).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// Input that ends is a parent that stops this process, or is gone.
fn at_end_of_input() -> CancellationToken {
    let stop = CancellationToken::new();
    let ended = stop.clone();
    // A thread of its own, because a read of standard input can't be called off.
    std::thread::spawn(move || {
        _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        ended.cancel();
    });
    stop
}
