//! How a fault comes and goes.

use serde::{Deserialize, Serialize};

use super::{Fault, FaultKind};

/// How a fault comes and goes between its first minute and its last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Shape {
    /// In full from the first minute to the last.
    #[default]
    Steady,
    /// Grows evenly, and then stays.
    Ramp {
        /// Minutes until it is there in full.
        minutes: u32,
    },
    /// Comes and goes.
    Flapping {
        /// Minutes it is there.
        on: u32,
        /// Minutes it is not.
        off: u32,
    },
}

impl Shape {
    pub(super) fn is_steady(&self) -> bool {
        *self == Self::Steady
    }

    /// How much of the fault there is at this age, 0 to 1.
    fn part(self, age: u32) -> f64 {
        match self {
            Self::Steady => 1.0,
            Self::Ramp { minutes } => (f64::from(age + 1) / f64::from(minutes.max(1))).min(1.0),
            Self::Flapping { on, off } => f64::from(u8::from(age % (on + off).max(1) < on)),
        }
    }
}

impl Fault {
    /// What it does in a minute of the scenario; `None` before, after, and while it is away.
    pub(in super::super) fn at(&self, minute: u32) -> Option<FaultKind> {
        let age = minute.checked_sub(self.from_minute).filter(|age| *age < self.minutes)?;
        let part = self.shape.part(age);
        (part > 0.0).then(|| if part < 1.0 { self.kind.times(part) } else { self.kind })
    }

    /// Whether it may do something else in this minute than in the one before.
    pub(in super::super) fn turns(&self, minute: u32) -> bool {
        let end = self.from_minute.saturating_add(self.minutes);
        let within = minute > self.from_minute && minute < end && !self.shape.is_steady();
        minute == self.from_minute || minute == end || within
    }
}

impl FaultKind {
    /// So much of it. A certificate is out of date or is not.
    fn times(self, part: f64) -> Self {
        let less = |factor: f64| 1.0 - (1.0 - factor) * part;
        match self {
            Self::DnsDelay { add_ms } => Self::DnsDelay { add_ms: add_ms * part },
            Self::PathDelay { add_ms } => Self::PathDelay { add_ms: add_ms * part },
            Self::TlsDelay { add_ms } => Self::TlsDelay { add_ms: add_ms * part },
            Self::ServerDelay { add_ms } => Self::ServerDelay { add_ms: add_ms * part },
            Self::Bufferbloat { add_ms } => Self::Bufferbloat { add_ms: add_ms * part },
            Self::DnsServfail { share } => Self::DnsServfail { share: share * part },
            Self::SynLoss { share } => Self::SynLoss { share: share * part },
            Self::Loss { share } => Self::Loss { share: share * part },
            Self::OutageTcp { share } => Self::OutageTcp { share: share * part },
            Self::Http5xx { share } => Self::Http5xx { share: share * part },
            Self::ServerTail { share, from_ms, to_ms } => {
                Self::ServerTail { share: share * part, from_ms, to_ms }
            }
            Self::SlowDrip { factor } => Self::SlowDrip { factor: less(factor) },
            Self::RateLimit { factor } => Self::RateLimit { factor: less(factor) },
            Self::Cert => Self::Cert,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Scope;

    fn adds(shape: Shape) -> Vec<f64> {
        let kind = FaultKind::PathDelay { add_ms: 100.0 };
        let fault = Fault { kind, scope: Scope::Global, from_minute: 1, minutes: 5, shape };
        let add = |minute| match fault.at(minute) {
            Some(FaultKind::PathDelay { add_ms }) => add_ms,
            _ => 0.0,
        };
        (0..7).map(add).collect()
    }

    #[test]
    fn a_fault_comes_and_goes_by_its_shape() {
        assert_eq!(adds(Shape::Steady), [0.0, 100.0, 100.0, 100.0, 100.0, 100.0, 0.0]);
        assert_eq!(adds(Shape::Ramp { minutes: 4 }), [0.0, 25.0, 50.0, 75.0, 100.0, 100.0, 0.0]);
        let flaps = Shape::Flapping { on: 1, off: 2 };
        assert_eq!(adds(flaps), [0.0, 100.0, 0.0, 0.0, 100.0, 0.0, 0.0]);
    }
}
