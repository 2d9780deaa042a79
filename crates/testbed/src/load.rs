//! Sending events to an ingest, all of them, and driving one as hard as it goes.

mod ndjson;
pub mod raw;
mod sender;

pub use ndjson::write_ndjson;
pub use sender::{Format, Progress, SendError, Sender, Totals};
