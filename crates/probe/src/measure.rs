//! One measurement from look-up to last byte, and the prober that holds what measurements share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::ErrorStage;
use thiserror::Error;
use url::Url;

use crate::failure::{Failure, kind};
use crate::measurement::Measurement;

/// How to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The resolver to ask; the system's where none is named.
    pub resolver: Option<SocketAddr>,
    /// Certificates (PEM) to trust beside the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// Limit for the first connection, from look-up to last byte.
    pub timeout: Duration,
    /// Limit for each stage, within `timeout`.
    pub stage_timeout: Option<Duration>,
    /// Whether [`Prober::measure`] measures throughput.
    pub throughput: bool,
    /// Limit for the transfer of the fixed object, its connection included.
    pub throughput_timeout: Duration,
    /// Body bytes to read on the first connection; a longer body is left there.
    pub max_body: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            resolver: None,
            ca_file: None,
            timeout: Duration::from_secs(10),
            stage_timeout: None,
            throughput: true,
            throughput_timeout: Duration::from_secs(30),
            max_body: 1 << 20,
        }
    }
}

/// Why a prober could not be made.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The file of trusted certificates.
    #[error("cannot read certificates from {path}: {detail}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The TLS library refused its own defaults.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

/// Measures targets. Cheap to share; holds no connections.
#[derive(Debug)]
pub struct Prober {
    options: Options,
}

impl Prober {
    /// Reads the certificates and sets up what all measurements share.
    pub fn new(options: Options) -> Result<Self, SetupError> {
        Ok(Self { options })
    }

    /// Measures a target once, throughput as the options say.
    pub async fn measure(&self, target: &Url) -> Measurement {
        self.measure_with(target, self.options.throughput).await
    }

    /// Measures a target once, and its throughput where asked.
    pub async fn measure_with(&self, target: &Url, _throughput: bool) -> Measurement {
        let mut m = Measurement::started(target, 1);
        m.failure = Some(Failure::new(ErrorStage::Dns, kind::DNS_FAILED, "not built yet"));
        m
    }
}
