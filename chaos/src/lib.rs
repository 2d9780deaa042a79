//! The chaos harness: an oracle posts events whose content follows from their id, faults come from
//! a seeded plan, and when all is at rest the judge says what was kept of what was promised.
//!
//! [`event`], [`ledger`], [`plan`] and [`judge`] are functions of what they are given; the rest is
//! servers, processes and sockets.

pub mod cluster;
pub mod event;
pub mod evidence;
pub mod http;
pub mod judge;
pub mod ledger;
pub mod mutants;
pub mod nemesis;
pub mod oracle;
pub mod plan;
pub mod report;
pub mod run;
pub mod watch;
