//! The headline: `QoE = min(S_web, S_net)`, with what is at the minimum.
//!
//! `S_net` is the [`qoo`] of a profile. Its round trip is the time of the TCP connect. Windows hold no
//! loss, so it is taken from connects that took a SYN's retransmission longer than the quickest, and
//! weighted by half as the proxy it is.

use serde::Serialize;

use super::qoo::{self, Qoo};
use super::web::Web;
use super::{Band, Confidence, Profile, Share, float};
use crate::sketch::{Quantile, Sketch};
use crate::stage::Metric;
use crate::window::{StageSums, Window};

/// What a score is held down by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Events that failed before their first byte.
    Failures,
    /// Waiting, and most of the time went to the look-up.
    Dns,
    /// Waiting, most of it for the connect.
    Tcp,
    /// Waiting, most of it for the handshake.
    Tls,
    /// Waiting, most of it for the server's first byte.
    Ttfb,
    /// Waiting, most of it in no stage.
    Rest,
    /// The 95th percentile of the round trip.
    LatencyP95,
    /// Lost packets.
    Loss,
    /// The rate of a transfer.
    Throughput,
}

/// The score of a window or of any merge of windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Qoe {
    /// 0 to 100.
    pub score: f64,
    /// In a word.
    pub band: Band,
    /// What holds it down; `None` at 100.
    pub limited_by: Option<Limit>,
    /// The samples of the part at the minimum: what the score rests on.
    pub n: u64,
    /// By `n`.
    pub confidence: Confidence,
    /// The share of events that had a first byte.
    pub availability: Share,
    /// What the minimum was taken of.
    pub parts: Parts,
}

/// The two components.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Parts {
    /// What requests were worth.
    pub web: Web,
    /// What the path is fit for; absent without a round trip.
    pub net: Option<Net>,
}

/// QoO of a profile, as far as it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Net {
    /// The minimum of the three below.
    pub score: f64,
    /// The round trip.
    pub latency: Latency,
    /// What the round trip adds to the quickest of the window: for targets far away, which no
    /// profile allows for. It is not part of the score.
    pub excess: Latency,
    /// Lost packets.
    pub loss: Loss,
    /// The rate; absent where the profile demands none or it was not measured.
    pub throughput: Option<Throughput>,
}

/// A 95th percentile and its score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// 0 to 100.
    pub score: f64,
    /// Milliseconds.
    pub p95_ms: f64,
    /// Of how many connects.
    pub n: u64,
}

/// Loss as connects show it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// 0 to 100, weighted by the confidence.
    pub score: f64,
    /// Lost of all SYNs, 0 to 1.
    pub ratio: f64,
    /// Always true: SYNs' retransmissions stand for the loss of packets.
    pub proxy: bool,
    /// What the proxy is worth, 0 to 1.
    pub confidence: f64,
    /// Of how many SYNs.
    pub n: u64,
}

/// A rate and whether it is enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Throughput {
    /// 100 or 0.
    pub score: f64,
    /// The median, bits a second.
    pub p50_bps: u64,
    /// Of how many transfers.
    pub n: u64,
}

/// What a SYN's retransmission is worth as a sign of loss: a full backlog looks the same, and one
/// packet of a connection is a small sample of it.
const SYN_CONFIDENCE: f64 = 0.5;

impl Qoe {
    /// The score for one use of the line. `None` without events: unknown is not 0.
    pub fn of(window: &Window, profile: &Profile) -> Option<Self> {
        let web = Web::of(window)?;
        let availability = Share::of(web.n - web.failed, web.n)?;
        let net = Net::of(window, profile);
        let (score, limit, n) = match net.filter(|net| net.score < web.score) {
            Some(net) => net.minimum(),
            None => (web.score, web_limit(&web, window.sums()), web.n),
        };
        Some(Self {
            score,
            band: Band::of(score),
            limited_by: Some(limit).filter(|_| score < 100.0),
            n,
            confidence: Confidence::of(n),
            availability,
            parts: Parts { web, net },
        })
    }

    /// What was measured of all that a score could rest on: the rest is absent, not perfect.
    pub fn rests_on(&self) -> Vec<&'static str> {
        let net = self.parts.net;
        let parts = [
            ("first_byte", true),
            ("round_trip", net.is_some()),
            ("loss_proxy", net.is_some()),
            ("throughput", net.is_some_and(|net| net.throughput.is_some())),
        ];
        parts.into_iter().filter_map(|(name, there)| there.then_some(name)).collect()
    }
}

/// Failures where they cost more than waiting; else the stage that most of the time goes to.
fn web_limit(web: &Web, sums: &StageSums) -> Limit {
    if web.lost_to_failures >= web.lost_to_waiting {
        return Limit::Failures;
    }
    let stages = [
        (Limit::Rest, u128::try_from(sums.rest()).unwrap_or(0)),
        (Limit::Ttfb, sums.ttfb),
        (Limit::Tls, sums.tls),
        (Limit::Tcp, sums.tcp),
        (Limit::Dns, sums.dns),
    ];
    // Of equals the last: the earlier stage.
    stages.into_iter().max_by_key(|(_, sum)| *sum).map_or(Limit::Rest, |(limit, _)| limit)
}

impl Net {
    fn of(window: &Window, profile: &Profile) -> Option<Self> {
        let connects = window.sketch(Metric::Tcp);
        let p95 = connects.quantile(Quantile::P95)?;
        let latency = |us| {
            let p95_ms = float(us) / 1e3;
            let score = profile.latency_p95_ms.score(p95_ms);
            Latency { score, p95_ms, n: connects.count() }
        };
        let excess = latency(p95.saturating_sub(connects.min()?));
        let latency = latency(p95);
        let loss = Loss::of(connects, profile)?;
        let throughput = Throughput::of(window.sketch(Metric::Throughput), profile);
        let score = Qoo {
            latency: Some(latency.score),
            loss: Some(loss.score),
            throughput: throughput.map(|throughput| throughput.score),
        }
        .score()?;
        Some(Self { score, latency, excess, loss, throughput })
    }

    /// The part at the minimum: its score, its name and its samples. Of equals the first.
    fn minimum(self) -> (f64, Limit, u64) {
        let Self { score, latency, loss, throughput, .. } = self;
        if latency.score <= score {
            return (score, Limit::LatencyP95, latency.n);
        }
        match throughput {
            Some(throughput) if loss.score > score => (score, Limit::Throughput, throughput.n),
            _ => (score, Limit::Loss, loss.n),
        }
    }
}

impl Loss {
    /// From connects that took as much longer than the quickest as one, two or three lost SYNs cost.
    fn of(connects: &Sketch, profile: &Profile) -> Option<Self> {
        let quickest = connects.min()?;
        let lost: u64 =
            connects.iter().map(|(us, count)| retransmissions(us - quickest) * count).sum();
        let n = connects.count().saturating_add(lost);
        let ratio = float(lost) / float(n);
        let score = qoo::weighted(profile.loss_percent.score(100.0 * ratio), SYN_CONFIDENCE);
        Some(Self { score, ratio, proxy: true, confidence: SYN_CONFIDENCE, n })
    }
}

/// How many SYNs were lost where a connect took so many microseconds more than the quickest. The
/// first is sent again after one second, each later one after twice the time (RFC 6298), so that
/// they show near 1, 3 and 7 s: a timer is hardly early, and the round trip may be longer this time.
fn retransmissions(excess_us: u64) -> u64 {
    [(1, 1_000_000), (2, 3_000_000), (3, 7_000_000)]
        .into_iter()
        .find(|(_, timer)| (timer / 100 * 98..=timer / 10 * 12).contains(&excess_us))
        .map_or(0, |(lost, _)| lost)
}

impl Throughput {
    fn of(rates: &Sketch, profile: &Profile) -> Option<Self> {
        let required = profile.throughput_bps?;
        let p50_bps = rates.quantile(Quantile::P50)?;
        let score = qoo::throughput(float(required), float(p50_bps));
        Some(Self { score, p50_bps, n: rates.count() })
    }
}

#[cfg(test)]
mod tests {
    use super::retransmissions;

    #[test]
    fn lost_syns_show_by_their_timers() {
        for (excess_ms, lost) in [
            (0, 0),
            (500, 0),
            (1_000, 1),
            (1_080, 1),
            (1_900, 0),
            (3_010, 2),
            (7_000, 3),
            (9_000, 0),
        ] {
            assert_eq!(retransmissions(excess_ms * 1_000), lost, "{excess_ms}");
        }
    }
}
