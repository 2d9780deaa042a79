//! Tests of `qoe-model` as its users see it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod contract;
mod decode;
mod decode_additions;
mod decode_hostile;
