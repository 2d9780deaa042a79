//! Is it slow, for whom, since when, which stage, and whose fault: the detector.
//!
//! It takes a fleet's minutes in order. A *cell* is a client and a target; a *unit* is what cells have
//! in common and what may be at fault for all of them: a client, a site, a provider, a resolver, a
//! target, one of its addresses, or everything. Each cell's minute is held against that cell's own
//! usual (`usual`), which gives evidence by signal (`evidence`); units add the evidence of their
//! cells up (`unit`), so that what eight cells show a little of is seen where no one of them would
//! show it; `scope` finds the fewest units that explain the bad cells; `cause` names what is wrong
//! with a unit; `incident` is what is told, from its onset to its end.
//!
//! All of it is a function of the minutes handed in and their order: no clock, no random number.

mod address;
mod cause;
mod cell;
mod cells;
mod counts;
mod drift;
mod engine;
mod evidence;
mod explain;
mod hours;
mod incident;
mod observe;
mod payload;
mod replay;
mod scope;
mod season;
mod severity;
mod sighting;
mod slow;
mod tell;
#[cfg(test)]
mod tests;
mod text;
mod unit;
mod usual;

/// Which rules a verdict is of: another number, other verdicts.
pub const RULE_VERSION: u32 = 1;

pub use cells::Cells;
pub use drift::Drift;
pub use engine::{CellId, Engine, Place, Said};
pub use incident::{Incident, IncidentState, id_text};
pub use observe::{Failing, HeldUp, Observation, Signal};
pub use payload::{Change, Level, Payload, Sum, Tally as CellTally};
pub use replay::{Judged, Replay, Tally, Topology};
pub use scope::{Scope, ScopeKind};
pub use severity::{Severity, UnknownSeverity, severity};
pub use sighting::Sighting;
pub use slow::SlowBy;
pub use text::sentence;
