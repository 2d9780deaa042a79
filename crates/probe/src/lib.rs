//! The probe: measures DNS, TCP, TLS, HTTP and throughput of a target, each at its own socket
//! on a fresh connection, and ships what it measured as events.
//!
//! [`Prober::measure`] is one measurement and needs no server. [`agent::run`] measures on a
//! schedule and ships to an ingest. What cannot be measured is absent, never zero, and a
//! failure is charged to the stage in which it happened.

pub mod agent;
pub mod check;
pub mod echo;
pub mod exporter;
pub mod failure;
pub mod family;
#[doc(hidden)]
pub mod fuzzing;
pub mod identity;
pub mod load;
pub mod log;
pub mod measure;
pub mod measurement;
pub mod output;
pub mod progress;
pub mod render;
mod serve;
mod spread;
pub mod target;

pub use failure::Failure;
pub use family::{Families, Family};
pub use identity::Identity;
pub use measure::{Options, Prober, SetupError};
pub use measurement::{
    Attempt, Certificate, Confidence, Latency, Lookup, Measurement, QuicPath, ServerTiming,
    TcpInfo, Terms, Throughput, Tls, Transport,
};
pub use target::{parse_resolver, parse_span, parse_target};

/// The version the probe gives in its events and its User-Agent.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
