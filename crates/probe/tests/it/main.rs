//! The probe against real sockets.
#![expect(clippy::unwrap_used, reason = "tests")]

mod raw;
mod ship;
mod spool;
mod support;
mod target;
