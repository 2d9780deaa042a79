//! Rules to compare ours with: the classic four over ten windows, and a band of medians and
//! deviations over a day. The detector does not stand on them.
//!
//! A rule set takes one cell's windows in order and says of each what it would have been called
//! at its end, from it and from those before it.

mod band;
mod figures;
mod four;
mod hold;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use super::Label;
pub use band::Band;
pub use four::{Classic, Reading};
pub use hold::Hold;
