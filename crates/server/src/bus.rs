//! The bus between ingest and aggregators.

pub mod message;
