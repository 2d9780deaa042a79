//! What is said of one window, with the numbers that make it checkable by hand.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::label::Label;
use super::pool::ENOUGH;
use crate::stage::{Metric, Stage};
use crate::units::Minute;

/// What is said of one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The window.
    pub start: Minute,
    /// The window is younger than its end + 2 min: more events are expected.
    pub provisional: bool,
    /// What is said.
    pub outcome: Outcome,
}

/// The three things that can be said of a window.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// As usual.
    Normal,
    /// Too little to judge by.
    InsufficientData(Shortage),
    /// Something is wrong.
    Diagnosed(Box<Diagnosis>),
}

impl Outcome {
    /// The label to write down; none where all is as usual.
    pub fn label(&self) -> Option<Label> {
        match self {
            Self::Normal => None,
            Self::InsufficientData(_) => Some(Label::InsufficientData),
            Self::Diagnosed(diagnosis) => Some(diagnosis.label),
        }
    }

    /// The diagnosis, where something is wrong.
    pub fn diagnosis(&self) -> Option<&Diagnosis> {
        match self {
            Self::Diagnosed(diagnosis) => Some(diagnosis),
            Self::Normal | Self::InsufficientData(_) => None,
        }
    }
}

/// What there is too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// Of what.
    pub what: Lacking,
    /// How much there is.
    pub have: u64,
    /// How much it takes.
    pub need: u64,
}

impl Shortage {
    /// Where nothing that was measured says anything of the target.
    pub(super) fn nothing_measured() -> Self {
        Self { what: Lacking::Measurements, have: 0, need: ENOUGH }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, have, need } = self;
        match what {
            Lacking::Measurements => write!(f, "{have} of {need} measurements to judge by"),
            Lacking::UsualWindows => {
                write!(f, "the usual is not known yet: {have} of {need} windows")
            }
            Lacking::UsualMeasurements => {
                write!(f, "the usual is not known yet: {have} of {need} measurements")
            }
        }
    }
}

/// What a judgement can lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lacking {
    /// Measurements in the window and those it may be merged with.
    Measurements,
    /// Windows without a fault to know the usual from.
    UsualWindows,
    /// Measurements in those windows.
    UsualMeasurements,
}

/// Why a window is labelled as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The primary cause.
    pub label: Label,
    /// The stage it lies in.
    pub stage: Stage,
    /// The metric that `current` and `baseline` are of: the stage's own, the total for an
    /// outage.
    pub metric: Metric,
    /// Start of the first window that shows it without a break, ms since the Unix epoch.
    pub since_ms: i64,
    /// How it is now.
    pub current: Stats,
    /// How it usually is; absent where that is not known yet.
    pub baseline: Option<Stats>,
    /// What the change was held against; absent for an outage.
    pub threshold: Option<Threshold>,
    /// What is added to the mean, by stage; absent where either side has no total.
    pub excess: Option<Excess>,
    /// Failed measurements among the current, by error stage.
    pub failures: BTreeMap<String, u64>,
    /// All measurements the judgement rests on, failed ones included.
    pub measurements: u64,
    /// What else is out of the usual, the largest first.
    pub secondary: Vec<Label>,
    /// Which rules said so.
    pub rule_version: u32,
    /// The same in one or a few sentences.
    pub text: String,
}

/// A metric over some windows. Of the two pairs, the one in the metric's unit is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Median, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// 95th percentile, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<f64>,
    /// Median, kilobits a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_kbps: Option<f64>,
    /// 95th percentile, kilobits a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_kbps: Option<f64>,
    /// Samples.
    pub n: u64,
    /// Windows they come from.
    pub windows: u32,
}

/// How a change was found to be one: `change >= least`, where `least` is the largest of a
/// floor, a part of the usual and three spreads. Milliseconds, or kilobits a second for
/// throughput.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// Median of the usual windows' medians.
    pub usual: f64,
    /// How much those medians vary: 1.4826 times their median absolute deviation.
    pub spread: f64,
    /// The change it takes.
    pub least: f64,
    /// The change there is, after taking off what another stage explains.
    pub change: f64,
}

/// Mean now less the usual mean, in milliseconds. The parts add up to the total: what no
/// stage accounts for is the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Excess {
    /// The whole measurement.
    pub total_ms: f64,
    /// The look-up.
    pub dns_ms: f64,
    /// The connect.
    pub tcp_ms: f64,
    /// The handshake.
    pub tls_ms: f64,
    /// The wait for the first byte.
    pub ttfb_ms: f64,
    /// What is in none of them.
    pub rest_ms: f64,
}
