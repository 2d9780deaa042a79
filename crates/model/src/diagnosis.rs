//! What a diagnosis can say, of what, and simple rules to compare the detector's with.

pub mod classic;
mod label;

pub use label::{Label, UnknownLabel};

use crate::units::Minute;
use crate::window::Window;

/// How long after its end a window is provisional, milliseconds.
pub const WATERMARK_MS: i64 = 120_000;

/// One window of a cell: of one client and target.
#[derive(Clone, Debug, PartialEq)]
pub struct CellWindow {
    /// When it starts.
    pub start: Minute,
    /// What was counted in it.
    pub window: Window,
}
