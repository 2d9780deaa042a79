//! The probe against real sockets.
#![expect(clippy::unwrap_used, reason = "tests")]

mod echo;
mod exporter;
mod faults;
mod hostile;
mod http3;
mod load;
mod raw;
mod seeds;
mod ship;
mod spool;
mod stages;
mod support;
mod target;
