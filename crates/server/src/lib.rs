//! The server side of qoe, in the order of the data path: ingest, aggregator, store,
//! diagnoser, read API. [`roles`] is the only place that wires them.

pub mod aggregator;
pub mod alert;
pub mod api;
pub mod bus;
pub mod clock;
mod crash;
pub mod diagnoser;
pub mod file;
pub mod health;
pub mod ingest;
pub mod metrics;
pub mod openapi;
pub mod partition;
pub mod plain;
pub mod roles;
pub mod rollup;
pub mod store;
pub mod topology;
pub mod trace;
