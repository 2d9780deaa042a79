//! One file a command: its arguments and what it does, top to bottom.

pub(crate) mod aggregator;
pub(crate) mod alert;
pub(crate) mod api;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod diagnose;
pub(crate) mod diagnoser;
pub(crate) mod dlq;
pub(crate) mod doctor;
mod door;
pub(crate) mod explain;
pub(crate) mod ingest;
pub(crate) mod man;
pub(crate) mod migrate;
pub(crate) mod openapi;
mod places;
pub(crate) mod probe;
pub(crate) mod ready;
pub(crate) mod rediagnose;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod restore;
pub(crate) mod simulate;
pub(crate) mod target;
pub(crate) mod token;
pub(crate) mod traces;
pub(crate) mod up;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::runtime::{Builder, Runtime};

use ::probe::parse_span;
use model::detect::Topology;
use server::alert::config as alerts;
use server::trace::{BadEndpoint, Endpoint};

use crate::cli::Options;
use crate::exit::Outcome;
use crate::render::Style;
use crate::settings::{self, Settings};

/// What every command is given.
pub(crate) struct Context {
    /// What the environment and the file said.
    pub(crate) settings: Settings,
    /// What may be drawn on standard output.
    pub(crate) style: Style,
}

impl Context {
    /// Reads the settings.
    pub(crate) fn new(options: &Options) -> anyhow::Result<Self> {
        Ok(Self {
            settings: Settings::load(options.config.as_deref())?,
            style: options.style_of(&io::stdout()),
        })
    }

    /// For a command that has no use for the settings, and whose `--config` is another file.
    pub(crate) fn without_settings(options: &Options) -> Self {
        Self { settings: Settings::default(), style: options.style_of(&io::stdout()) }
    }

    /// How long ids of counted events are kept: the flag's, the settings', or the default.
    pub(crate) fn keep_ids(&self, flag: Option<Duration>) -> Duration {
        flag.or(self.settings.keep_ids).unwrap_or(server::roles::KEEP_IDS)
    }

    /// Who is told of incidents, by the file of the flag or the settings; `None` where there is none.
    pub(crate) fn alerts(
        &self,
        flag: Option<&Path>,
    ) -> anyhow::Result<Option<Arc<alerts::Config>>> {
        let Some(path) = flag.or(self.settings.alerts.as_deref()) else { return Ok(None) };
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Ok(Some(Arc::new(alerts::Config::load(path, credentials.as_deref())?)))
    }

    /// Where traces go: the flag's, or the settings'.
    pub(crate) fn collector(&self, flag: Option<&Endpoint>) -> anyhow::Result<Option<Endpoint>> {
        let set = self.settings.otlp.as_deref().map(str::parse).transpose();
        let set = set.map_err(|wrong: BadEndpoint| anyhow!("setting otlp: {wrong}"))?;
        Ok(flag.cloned().or(set))
    }

    /// The data directory: the flag's, the settings', or the user's own.
    pub(crate) fn data_dir(&self, flag: Option<PathBuf>) -> anyhow::Result<PathBuf> {
        flag.or_else(|| self.settings.data_dir.clone())
            .or_else(settings::default_data_dir)
            .context("there is no home directory to keep data in; name one with --data-dir DIR")
    }
}

/// Who is where, by the file of the flag.
fn topology(flag: Option<&Path>) -> anyhow::Result<Topology> {
    Ok(flag.map(server::topology::load).transpose()?.unwrap_or_default())
}

/// One thread: for what measures (a scheduler's hand-over would end up in the timings) and for
/// what is short.
fn one_thread() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("starting the runtime")
}

/// A thread a core: for what serves.
fn many_threads() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build().context("starting the runtime")
}

/// Runs a role until it has stopped. What then still blocks, such as a database that does not
/// answer, is not waited for.
fn serve(role: impl Future<Output = anyhow::Result<()>>) -> Outcome {
    let runtime = many_threads()?;
    let ended = runtime.block_on(role);
    runtime.shutdown_timeout(Duration::from_millis(500));
    ended.map(|()| ExitCode::SUCCESS)
}

/// Milliseconds since the Unix epoch.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A target as a person types it.
fn parse_target(text: &str) -> Result<url::Url, String> {
    ::probe::parse_target(text).map_err(|error| error.to_string())
}
