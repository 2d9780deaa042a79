//! Tests of `qoe-server` over real sockets and a real store.
#![expect(clippy::unwrap_used, reason = "tests")]

mod aggregator;
mod alert_deliver;
mod alert_receiver;
mod alert_store;
mod api;
mod bad_input;
mod bus;
mod bus_consume;
mod bus_doors;
mod bus_publish;
mod bus_streams;
mod incidents;
mod ingest_accept;
mod ingest_answers;
mod ingest_bodies;
mod ingest_events;
mod ingest_unavailable;
mod nights;
mod openapi;
mod platform;
mod promises;
mod raw_http;
mod roles;
mod secrets;
mod store;
mod store_agree;
mod store_backup;
mod store_contract;
mod store_probes;
mod store_shared;
mod world;
