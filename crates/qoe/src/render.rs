//! What a person sees, as pure functions from plain data to text. Nothing here reads a clock, a
//! terminal or the environment: the [`Style`] says what may be drawn.

pub(crate) mod colour;
pub(crate) mod sparkline;
pub(crate) mod table;
pub(crate) mod units;
pub(crate) mod waterfall;

pub(crate) use colour::{Ink, Style};
