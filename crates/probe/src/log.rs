//! How log lines are written, for both programs.

use std::io::stderr;

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

/// How log lines are written on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[expect(missing_docs, reason = "the help would print it")]
pub enum LogFormat {
    // For people.
    #[default]
    Text,
    // A JSON object a line.
    Json,
}

impl LogFormat {
    /// What writes them, with colour and with the module they come from where that is wanted.
    pub fn layer<S>(self, colour: bool, module: bool) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let layer = tracing_subscriber::fmt::layer();
        let layer = layer.with_writer(stderr).with_ansi(colour).with_target(module);
        match self {
            Self::Text => layer.boxed(),
            Self::Json => layer.json().flatten_event(true).boxed(),
        }
    }
}
