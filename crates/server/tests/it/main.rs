//! Tests of `qoe-server` over real sockets and a real store.
#![expect(clippy::unwrap_used, reason = "tests")]

mod ingest_accept;
mod raw_http;
