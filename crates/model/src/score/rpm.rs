//! Round trips a minute under load (draft-ietf-ippm-responsiveness), and their class.

use std::time::Duration;

use serde::Serialize;

/// Trimmed means (the lowest 95 %) of the last intervals of the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// TCP handshakes of fresh connections.
    pub tcp: Duration,
    /// TLS handshakes of fresh connections, for each round trip; absent without TLS.
    pub tls: Option<Duration>,
    /// Requests on fresh connections.
    pub http: Duration,
    /// Requests on connections that carry the load, or on one beside it.
    pub loaded: Duration,
}

/// The draft's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Below 300.
    Poor,
    /// From 300.
    Fair,
    /// From 1000.
    Good,
    /// From 6000.
    Excellent,
}

/// The mean of the lowest 95 %: what is very slow is slow by chance, what is fast is not.
pub fn trimmed_mean(samples: &[Duration]) -> Option<Duration> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    // At least one stays.
    let kept = (sorted.len() * 95).div_ceil(100);
    let kept = sorted.get(..kept).filter(|kept| !kept.is_empty())?;
    let count = u32::try_from(kept.len()).ok()?;
    Some(kept.iter().sum::<Duration>() / count)
}

impl Terms {
    /// F: `60000 / mean(tcp, tls, http)` of fresh connections, in ms; without TLS the mean of two.
    pub fn foreign(&self) -> Option<f64> {
        a_minute(match self.tls {
            Some(tls) => (ms(self.tcp) + ms(tls) + ms(self.http)) / 3.0,
            None => f64::midpoint(ms(self.tcp), ms(self.http)),
        })
    }

    /// L: `60000 / loaded` of the connections that carry the load.
    pub fn loaded(&self) -> Option<f64> {
        a_minute(ms(self.loaded))
    }

    /// `RPM = (F + L) / 2`. Another formula, the mean of the times first, gives another number.
    pub fn rpm(&self) -> Option<f64> {
        Some(f64::midpoint(self.foreign()?, self.loaded()?))
    }
}

impl Class {
    /// The class of so many round trips a minute. `None` for what is no number of them.
    pub fn of(rpm: f64) -> Option<Self> {
        match rpm {
            6000.0.. => Some(Self::Excellent),
            1000.0.. => Some(Self::Good),
            300.0.. => Some(Self::Fair),
            0.0.. => Some(Self::Poor),
            _ => None,
        }
    }

    /// The name used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poor => "poor",
            Self::Fair => "fair",
            Self::Good => "good",
            Self::Excellent => "excellent",
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn a_minute(time_ms: f64) -> Option<f64> {
    (time_ms > 0.0).then(|| 60_000.0 / time_ms)
}
