//! The sentence below the picture: what is slowest, and how much of it is the line and how much
//! the far end. A pure function of what was measured.

use std::time::Duration;

use crate::{Failure, Measurement};
use model::ErrorStage;

use crate::render::units::{self, rough};

/// What the sentence is made of. Absent is "no such stage" or "not measured".
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) dns: Option<Duration>,
    pub(crate) tcp: Option<Duration>,
    pub(crate) tls: Option<Duration>,
    pub(crate) wait: Option<Duration>,
    pub(crate) body: Option<Duration>,
    pub(crate) total: Option<Duration>,
    /// The handshake took one round trip (TLS 1.3), or two (before).
    pub(crate) tls_round_trips: u32,
    /// Why it failed.
    pub(crate) failure: Option<Failure>,
    /// Whole days until the certificate expires; negative: since.
    pub(crate) certificate_days: Option<i64>,
}

/// Fewer days than this are worth a warning: what renews itself does so at 30.
const CERTIFICATE_SOON_DAYS: i64 = 14;

impl Facts {
    /// From a measurement.
    pub(crate) fn of(m: &Measurement, now_ms: i64) -> Self {
        let version = m.tls_session.as_ref().map(|tls| tls.version);
        Self {
            dns: m.dns,
            tcp: m.tcp,
            tls: m.tls,
            wait: m.ttfb,
            body: m.transfer,
            total: m.total,
            tls_round_trips: match version {
                None => 0,
                Some("1.3") => 1,
                Some(_) => 2,
            },
            failure: m.any_failure().cloned(),
            certificate_days: m.certificate.as_ref().map(|c| days_between(now_ms, c.expires_ms)),
        }
    }
}

/// One line in two parts, so that the first can be coloured: how it went; and what was slowest,
/// the line against the server, and a certificate that ends soon.
pub(crate) struct Sentence {
    /// `OK.`, or what failed and why.
    pub(crate) head: String,
    /// The rest, empty or beginning with a space.
    pub(crate) rest: String,
}

impl Sentence {
    /// The whole line.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.head, self.rest)
    }
}

/// Says it.
pub(crate) fn sentence(facts: &Facts) -> Sentence {
    let head = facts.failure.as_ref().map_or_else(|| "OK.".to_owned(), failed);
    let mut rest = String::new();
    // A failure without a total ended early: there is nothing to compare.
    if let (Some(slowest), Some(line)) = (slowest(facts), line(facts)) {
        rest.push_str(&slowest);
        rest.push_str(&line);
    }
    if let Some(days @ 0..CERTIFICATE_SOON_DAYS) = facts.certificate_days {
        let days = units::count(days.unsigned_abs(), "day");
        rest.push_str(&format!(" The certificate expires in {days}."));
    }
    Sentence { head, rest }
}

/// `Failed in TCP: 192.0.2.1:443 refused the connection (tcp.refused).`
fn failed(failure: &Failure) -> String {
    let stage = match failure.stage {
        ErrorStage::Dns => "DNS",
        ErrorStage::Tcp => "TCP",
        ErrorStage::Tls => "TLS",
        ErrorStage::Http => "HTTP",
        ErrorStage::Throughput | ErrorStage::ThroughputTimeout => "throughput",
        ErrorStage::Parse => "reading the answer",
    };
    format!("Failed in {stage}: {} ({}).", failure.detail.trim_end_matches('.'), failure.kind)
}

/// The slowest stage, and its share of the total.
fn slowest(facts: &Facts) -> Option<String> {
    let total = facts.total?;
    let stages = [
        ("DNS", facts.dns),
        ("connecting", facts.tcp),
        ("the TLS handshake", facts.tls),
        ("the server", facts.wait),
        ("reading the answer", facts.body),
    ];
    let (name, took) =
        stages.into_iter().filter_map(|(name, took)| Some((name, took?))).max_by_key(|s| s.1)?;
    Some(format!(" Slowest: {name}, {} of {}.", rough(took), rough(total)))
}

/// How much of the total is round trips, and how much the server's own time. A connection takes
/// one round trip, a handshake one or two, a request one.
fn line(facts: &Facts) -> Option<String> {
    let (rtt, wait) = (facts.tcp?, facts.wait?);
    let trips = 2 + facts.tls_round_trips;
    let server = wait.saturating_sub(rtt);
    let number = ["", "", "both", "all three", "all four"].get(trips as usize)?;
    let server = match server.is_zero() {
        true => "the server answered at once".to_owned(),
        false => format!("the server's own time: {}", rough(server)),
    };
    let (one, all) = (rough(rtt), rough(rtt * trips));
    Some(format!(" The line: {one} a round trip, {all} for {number}; {server}."))
}

/// Whole days from one moment to another, rounded down: -1 is "less than a day ago".
pub(crate) fn days_between(from_ms: i64, to_ms: i64) -> i64 {
    const DAY_MS: i64 = 86_400_000;
    (to_ms - from_ms).div_euclid(DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: f64) -> Option<Duration> {
        Some(Duration::from_secs_f64(ms / 1e3))
    }

    fn shop() -> Facts {
        Facts {
            dns: ms(12.4),
            tcp: ms(21.0),
            tls: ms(43.8),
            wait: ms(88.1),
            body: ms(4.2),
            total: ms(169.5),
            tls_round_trips: 1,
            failure: None,
            certificate_days: Some(63),
        }
    }

    #[test]
    fn the_slowest_stage_and_the_line_against_the_server() {
        insta::assert_snapshot!(sentence(&shop()).text(), @"OK. Slowest: the server, 88 ms of 170 ms. The line: 21 ms a round trip, 63 ms for all three; the server's own time: 67 ms.");
        let plain = Facts { tls: None, tls_round_trips: 0, ..shop() };
        insta::assert_snapshot!(sentence(&plain).text(), @"OK. Slowest: the server, 88 ms of 170 ms. The line: 21 ms a round trip, 42 ms for both; the server's own time: 67 ms.");
    }

    #[test]
    fn a_failure_is_its_stage_and_its_cause() {
        let refused = Facts {
            dns: ms(1.0),
            failure: Some(Failure::new(ErrorStage::Tcp, "tcp.refused", "192.0.2.1:443 refused.")),
            ..Facts::default()
        };
        assert_eq!(
            sentence(&refused).text(),
            "Failed in TCP: 192.0.2.1:443 refused (tcp.refused)."
        );
    }

    #[test]
    fn a_certificate_that_ends_soon_is_said() {
        let soon = Facts { certificate_days: Some(1), ..shop() };
        assert!(sentence(&soon).text().ends_with("The certificate expires in 1 day."));
        let later = Facts { certificate_days: Some(14), ..shop() };
        assert!(!sentence(&later).text().contains("certificate"));
    }

    #[test]
    fn days_are_whole_and_round_down() {
        assert_eq!(days_between(0, 86_400_000), 1);
        assert_eq!(days_between(0, 86_399_999), 0);
        assert_eq!(days_between(0, -1), -1);
    }
}
