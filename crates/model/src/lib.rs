//! What the platform knows, as pure logic: the event and its validation, the one-minute
//! window, the quantile sketch, the scores, the comparison of cohorts, and the detector.
//!
//! Nothing here reads a clock, a file, a socket or a random number: time comes in as an
//! argument, so the same input gives the same bytes on every machine.

pub mod compare;
pub mod decode;
pub mod detect;
pub mod diagnosis;
pub mod event;
pub mod score;
pub mod sketch;
pub mod stage;
pub mod trace;
pub mod units;
pub mod window;
pub mod wire;

pub use event::{ClientId, Event, Gap, SchemaVersion, Target};
pub use stage::{ErrorStage, Metric, Stage};
pub use trace::Trace;
pub use units::{BitsPerSecond, Micros, Minute};
