//! The `qoe` program as a person or a script meets it.

#![expect(clippy::unwrap_used, reason = "tests")]

mod check;
mod help;
mod running;
mod simulate;
