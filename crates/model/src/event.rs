//! A measurement as the platform counts it: checked, in whole units, with what a window needs
//! and no more. What travels between probe and ingest is [`crate::wire`].

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::stage::{ErrorStage, Metric};
use crate::trace::Trace;
use crate::units::{BitsPerSecond, Micros, Minute};

/// Who measured: 1 to 255 characters without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(Arc<str>);

/// What was measured: an absolute http or https URL of at most 2,048 bytes, as it was sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(Arc<str>);

macro_rules! text_id {
    ($name:ident) => {
        impl $name {
            /// Takes a text that was checked where it entered (validation, or our own store).
            pub fn trusted(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
text_id!(ClientId);
text_id!(Target);

/// The version of the wire contract an event was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemaVersion {
    /// `1.0`: 0 stands for "no such stage" in `dns_ms`, `tls_ms` and `throughput_kbps`.
    V1_0,
    /// `1.1`: absent or null is "not measured", 0 is a measured zero.
    V1_1,
}

impl SchemaVersion {
    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
        }
    }
}

/// The durations an event brings, each of its own stage. `None` is "no such stage" or "not
/// measured", never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// The look-up.
    pub dns: Option<Micros>,
    /// SYN to established.
    pub tcp: Option<Micros>,
    /// The TLS handshake.
    pub tls: Option<Micros>,
    /// Request sent to first byte of the response.
    pub ttfb: Option<Micros>,
    /// The whole measurement where the sender gave it.
    pub total: Option<Micros>,
}

/// Events that a probe lost before the one that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How many, 1 or more.
    pub count: u64,
    /// The time of the oldest, milliseconds since the Unix epoch, where it is known.
    pub first_ts_ms: Option<i64>,
    /// The time of the newest, where it is known.
    pub last_ts_ms: Option<i64>,
}

/// What an event says beside its measurement, to tell whose fault it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// The handshake failed for the certificate.
    pub certificate: bool,
    /// Latency of the loaded line.
    pub loaded: Option<Micros>,
    /// The probe was in trouble only in so far as its name server said nothing.
    pub silent: bool,
    /// `labels.site`.
    pub site: Option<Arc<str>>,
    /// `labels.isp`.
    pub isp: Option<Arc<str>>,
    /// `dns_server`, else `labels.resolver`.
    pub resolver: Option<Arc<str>>,
    /// `remote_addr`.
    pub address: Option<Arc<str>>,
    /// `traceparent`, where the trace is to be kept.
    pub trace: Option<Trace>,
}

/// A checked event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The version it was written in.
    pub version: SchemaVersion,
    /// Unique for its client.
    pub id: Uuid,
    /// Who measured.
    pub client: ClientId,
    /// What was measured.
    pub target: Target,
    /// Start of the measurement, milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// The stage that failed.
    pub failure: Option<ErrorStage>,
    /// What was timed.
    pub timings: Timings,
    /// Download goodput.
    pub throughput: Option<BitsPerSecond>,
    /// Whether the probe says that it was in trouble itself: then the event is kept and counted,
    /// but what it measured says nothing of its target.
    pub troubled: bool,
    /// What the probe lost before it.
    pub gap: Option<Gap>,
    /// What else it says; absent where that is nothing.
    pub beside: Option<Box<Beside>>,
}

impl Event {
    /// The window this event belongs to, by its own time.
    pub fn minute(&self) -> Minute {
        Minute::of_ms(self.ts_ms)
    }

    /// The value this event adds to a metric's distribution: only where that stage completed.
    /// The total counts for events without error, and where throughput alone failed.
    pub fn sample(&self, metric: Metric) -> Option<u64> {
        let completed = |last_that_spoils: ErrorStage| match self.failure {
            None => true,
            Some(failed) => failed > last_that_spoils,
        };
        match metric {
            Metric::Dns => self.timings.dns.filter(|_| completed(ErrorStage::Dns)).map(|v| v.0),
            Metric::Tcp => self.timings.tcp.filter(|_| completed(ErrorStage::Tcp)).map(|v| v.0),
            Metric::Tls => self.timings.tls.filter(|_| completed(ErrorStage::Tls)).map(|v| v.0),
            Metric::Ttfb => self.timings.ttfb.filter(|_| completed(ErrorStage::Http)).map(|v| v.0),
            Metric::Total => self.total().filter(|_| self.counts_in_total()).map(|v| v.0),
            Metric::Throughput => {
                self.throughput.filter(|_| completed(ErrorStage::ThroughputTimeout)).map(|v| v.0)
            }
        }
    }

    /// Whether the event enters the total's distribution and the sums by stage.
    pub fn counts_in_total(&self) -> bool {
        self.failure.is_none_or(ErrorStage::is_throughput)
    }

    /// The sender's total where given, else the sum of the event's own stages.
    pub fn total(&self) -> Option<Micros> {
        let Timings { dns, tcp, tls, ttfb, total } = self.timings;
        total.or_else(|| {
            let stages = [dns, tcp, tls, ttfb];
            stages
                .iter()
                .any(Option::is_some)
                .then(|| Micros(stages.iter().flatten().map(|v| v.0).sum()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(failure: Option<ErrorStage>) -> Event {
        Event {
            version: SchemaVersion::V1_1,
            id: Uuid::from_u128(1),
            client: ClientId::trusted("c"),
            target: Target::trusted("https://t.example/"),
            ts_ms: 61_000,
            failure,
            timings: Timings {
                dns: Some(Micros(1)),
                tcp: Some(Micros(2)),
                tls: Some(Micros(3)),
                ttfb: Some(Micros(4)),
                total: None,
            },
            throughput: Some(BitsPerSecond(5)),
            troubled: false,
            gap: None,
            beside: None,
        }
    }

    fn samples(failure: Option<ErrorStage>) -> [Option<u64>; 6] {
        Metric::ALL.map(|m| event(failure).sample(m))
    }

    #[test]
    fn only_completed_stages_are_sampled() {
        use ErrorStage as E;
        assert_eq!(samples(None), [Some(1), Some(2), Some(3), Some(4), Some(10), Some(5)]);
        assert_eq!(samples(Some(E::Dns)), [None; 6]);
        assert_eq!(samples(Some(E::Tls)), [Some(1), Some(2), None, None, None, None]);
        assert_eq!(samples(Some(E::Http)), [Some(1), Some(2), Some(3), None, None, None]);
    }

    #[test]
    fn a_throughput_failure_keeps_every_timing() {
        for failed in [ErrorStage::Throughput, ErrorStage::ThroughputTimeout] {
            assert_eq!(samples(Some(failed)), [Some(1), Some(2), Some(3), Some(4), Some(10), None]);
        }
    }

    #[test]
    fn a_given_total_stands_over_the_sum() {
        let mut e = event(None);
        e.timings.total = Some(Micros(11));
        assert_eq!(e.sample(Metric::Total), Some(11));
        assert_eq!(e.minute(), Minute(1));
    }
}
