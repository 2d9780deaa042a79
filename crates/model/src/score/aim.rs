//! Badges for streaming, gaming and calls, from points by metric (Cloudflare's AIM, as its speed
//! test's `internalConfig.ts` and `ScoresCalculations.ts` have them).
//!
//! A value that reaches a breakpoint is in the next bin. An experience's points are the sum of its
//! metrics' points, at least 0; its class follows from its own four bounds. An experience that
//! lacks an input is absent; a missing loss alone adds no points.

use serde::Serialize;

use super::reached;

/// What was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Inputs {
    /// Median round trip at rest, ms.
    pub latency_ms: Option<f64>,
    /// Lost packets, 0 to 1.
    pub loss_ratio: Option<f64>,
    /// Mean difference of consecutive round trips, ms.
    pub jitter_ms: Option<f64>,
    /// 90th percentile of the download rate, bits a second.
    pub download_bps: Option<f64>,
    /// By how much load raises the round trip, ms.
    pub loaded_increase_ms: Option<f64>,
}

/// How good an experience is to be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the classes are words, their bounds differ by experience")]
pub enum Class {
    Bad,
    Poor,
    Average,
    Good,
    Great,
}

impl Class {
    /// The name used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Poor => "poor",
            Self::Average => "average",
            Self::Good => "good",
            Self::Great => "great",
        }
    }
}

/// One experience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Experience {
    /// The sum, at least 0.
    pub points: i32,
    /// What it amounts to.
    pub class: Class,
}

/// The three experiences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Aim {
    /// Films: latency, loss, download, load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streaming: Option<Experience>,
    /// Games: latency, loss, load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaming: Option<Experience>,
    /// Calls: latency, jitter, loss, load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtc: Option<Experience>,
}

/// Breakpoints of a metric, and the points below the first, between them, and from the last on.
struct Table<const N: usize, const POINTS: usize>([f64; N], [i32; POINTS]);

const LOSS: Table<4, 5> = Table([0.01, 0.05, 0.25, 0.5], [10, 5, 0, -10, -20]);
/// Of the round trip, and of its increase under load.
const LATENCY: Table<5, 6> = Table([10.0, 20.0, 50.0, 100.0, 500.0], [20, 10, 5, 0, -10, -20]);
const JITTER: Table<4, 5> = Table([10.0, 20.0, 100.0, 500.0], [10, 5, 0, -10, -20]);
const DOWNLOAD: Table<4, 5> = Table([1e6, 1e7, 5e7, 1e8], [0, 5, 10, 20, 30]);

const STREAMING: [i32; 4] = [15, 20, 40, 60];
const GAMING: [i32; 4] = [5, 15, 25, 30];
const RTC: [i32; 4] = [5, 15, 25, 40];

impl<const N: usize, const POINTS: usize> Table<N, POINTS> {
    /// `None` for what is absent or no number.
    fn points(&self, value: Option<f64>) -> Option<i32> {
        let value = value.filter(|value| value.is_finite())?;
        self.1.get(reached(value, &self.0)).copied()
    }
}

impl Aim {
    /// The experiences whose inputs are all there.
    pub fn of(inputs: &Inputs) -> Self {
        let latency = LATENCY.points(inputs.latency_ms);
        let loaded = LATENCY.points(inputs.loaded_increase_ms);
        let jitter = JITTER.points(inputs.jitter_ms);
        let download = DOWNLOAD.points(inputs.download_bps);
        let loss = Some(LOSS.points(inputs.loss_ratio).unwrap_or(0));
        Self {
            streaming: experience(&[latency, loss, download, loaded], STREAMING),
            gaming: experience(&[latency, loss, loaded], GAMING),
            rtc: experience(&[latency, jitter, loss, loaded], RTC),
        }
    }
}

fn experience(parts: &[Option<i32>], bounds: [i32; 4]) -> Option<Experience> {
    let sum: i32 = parts.iter().copied().sum::<Option<i32>>()?;
    let points = sum.max(0);
    let class = match bounds.iter().filter(|&&bound| points >= bound).count() {
        0 => Class::Bad,
        1 => Class::Poor,
        2 => Class::Average,
        3 => Class::Good,
        _ => Class::Great,
    };
    Some(Experience { points, class })
}
