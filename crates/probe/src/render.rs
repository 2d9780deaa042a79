//! What a person sees, as pure functions from plain data to text. Nothing here reads a clock, a
//! terminal or the environment: the [`Style`] says what may be drawn.

pub mod colour;
pub mod sparkline;
pub mod table;
pub mod units;
pub mod waterfall;

pub use colour::{Ink, Style};
