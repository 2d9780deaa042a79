//! A fleet of probes that never was: clients at sites, behind ISPs and resolvers, measuring
//! targets, with faults whose truth is known.
//!
//! A [`Scenario`] is plain data. [`events`] streams what its probes would have sent, ordered by
//! time, in memory that does not grow with its length; [`truths`] says what was broken, where and
//! when, so that [`crate::score`] can compare it with what a diagnosis told.
//!
//! The same scenario gives the same bytes on every machine: each random number is a function of
//! the seed, of the names it belongs to, and of its place in time. So adding a client, a target or
//! a fault changes nothing about the events it does not touch.

mod deliver;
mod event;
mod fault;
mod measure;
mod random;
mod scenario;
mod truth;
mod untidy;
mod world;

pub use event::{Events, events};
pub use fault::{Fault, FaultKind, Scope, ScopeName, Shape};
pub use scenario::{CellProfile, Client, Climate, Scenario, ScenarioError};
pub use truth::{Truth, truths};
pub use untidy::Untidy;
pub use world::addresses;
