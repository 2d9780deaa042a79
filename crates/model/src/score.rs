//! Scores from 0 to 100 and grades: how good what was measured is for a person, told with what
//! limits it and how much it rests on.
//!
//! [`Qoe`] is the headline of a window or of any merge of windows. The others stand beside it, each
//! for its own input: [`qoo`] for latency and loss by the use that is made of a line, [`aim`],
//! [`rpm`] and [`bloat`] for a line under load, [`voice`] for a call. A score whose input is absent
//! is absent, never 0.

pub mod aim;
pub mod apdex;
pub mod bloat;
pub mod interval;
pub mod log_law;
pub mod profile;
mod qoe;
pub mod qoo;
pub mod rpm;
#[cfg(test)]
mod tests;
pub mod voice;
pub mod web;

use serde::Serialize;

pub use interval::Share;
pub use profile::Profile;
pub use qoe::{Latency, Limit, Loss, Net, Parts, Qoe, Throughput};
pub use web::Web;

/// A score in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    /// Below 25.
    Bad,
    /// From 25.
    Poor,
    /// From 50.
    Fair,
    /// From 75.
    Good,
    /// From 90.
    Excellent,
}

/// How far a score can be trusted, by the number of samples alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Fewer than 10 samples: a 95th percentile is then the slowest of them.
    Low,
    /// Fewer than 30.
    Medium,
    /// 30 or more.
    High,
}

impl Band {
    /// The band of a score from 0 to 100.
    pub fn of(score: f64) -> Self {
        match score {
            90.0.. => Self::Excellent,
            75.0.. => Self::Good,
            50.0.. => Self::Fair,
            25.0.. => Self::Poor,
            _ => Self::Bad,
        }
    }

    /// The name used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Poor => "poor",
            Self::Fair => "fair",
            Self::Good => "good",
            Self::Excellent => "excellent",
        }
    }
}

impl Confidence {
    /// The confidence of so many samples.
    pub fn of(n: u64) -> Self {
        match n {
            0..10 => Self::Low,
            10..30 => Self::Medium,
            30.. => Self::High,
        }
    }

    /// The name used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A count, or a sample of at most 2^53, for arithmetic that people read.
#[expect(clippy::cast_precision_loss, reason = "exact to 2^53, and a score needs no more digits")]
fn float(n: u64) -> f64 {
    n as f64
}

/// The first of the bounds that lies above `value`, as its position: how many a value has reached.
fn reached(value: f64, bounds: &[f64]) -> usize {
    bounds.iter().take_while(|&&bound| value >= bound).count()
}
