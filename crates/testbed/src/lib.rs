//! What tests, `qoe demo` and `qoe target` stand on: a test target with faults that can be
//! switched while it runs, a seeded fleet simulator with ground truth, load generation, real NATS
//! and PostgreSQL servers, a collector of traces, and a proxy that is a bad line.

pub mod load;
pub mod proxy;
pub mod score;
pub mod servers;
pub mod simulate;
pub mod target;
pub mod traces;
