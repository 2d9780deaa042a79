//! What tests, `qoe demo` and `qoe target` stand on: a test target with faults that can be
//! switched while it runs, a seeded fleet simulator with ground truth, and load generation.

pub mod load;
pub mod score;
pub mod simulate;
pub mod target;
