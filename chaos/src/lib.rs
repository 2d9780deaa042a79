//! The chaos harness: an oracle posts events whose content follows from their id, faults come from
//! a seeded plan, and when all is at rest the judge says what was kept of what was promised.

pub mod event;
pub mod judge;
pub mod ledger;
pub mod plan;
