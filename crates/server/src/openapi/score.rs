//! The shapes of scores, which are the model's.
#![expect(dead_code, reason = "shapes, of which there is no value")]

use utoipa::ToSchema;

/// How good a line is for a use, and what limits it (docs/scores.md).
#[derive(ToSchema)]
pub(crate) struct Score {
    /// The minimum of the parts.
    #[schema(minimum = 0, maximum = 100)]
    score: f64,
    /// In a word.
    band: Band,
    /// What holds it down; `null` at 100.
    #[schema(required)]
    limited_by: Option<Limit>,
    /// The samples of the part at the minimum: what the score rests on.
    n: u64,
    /// By `n`: below 10, below 30, from 30.
    confidence: Confidence,
    /// The share of events that had a first byte, with bounds that the true one hardly passes.
    availability: Share,
    /// What the minimum was taken of.
    parts: Parts,
}

/// From 0, 25, 50, 75 and 90.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Band {
    Bad,
    Poor,
    Fair,
    Good,
    Excellent,
}

/// What a score is held down by: failures, the stage that most waiting goes to, or a part of the path.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Limit {
    Failures,
    Dns,
    Tcp,
    Tls,
    Ttfb,
    Rest,
    LatencyP95,
    Loss,
    Throughput,
}

/// How far a score can be trusted, by the number of samples alone.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Confidence {
    Low,
    Medium,
    High,
}

/// A share of `n`, and the bounds of its 95 % interval.
#[derive(ToSchema)]
struct Share {
    #[schema(minimum = 0, maximum = 1)]
    share: f64,
    #[schema(minimum = 0, maximum = 1)]
    low: f64,
    #[schema(minimum = 0, maximum = 1)]
    high: f64,
    n: u64,
}

/// The two components.
#[derive(ToSchema)]
struct Parts {
    web: Web,
    /// `null` without a round trip.
    #[schema(required)]
    net: Option<Net>,
}

/// What requests were worth to who waited for them.
#[derive(ToSchema)]
struct Web {
    #[schema(minimum = 0, maximum = 100)]
    score: f64,
    n: u64,
    failed: u64,
    /// Points, of 100.
    lost_to_waiting: f64,
    /// Points, of 100.
    lost_to_failures: f64,
}

/// What the path is fit for: the minimum of latency, loss and throughput.
#[derive(ToSchema)]
struct Net {
    #[schema(minimum = 0, maximum = 100)]
    score: f64,
    latency: RoundTrip,
    /// What the round trip adds to the quickest. It is not part of the score.
    excess: RoundTrip,
    loss: Loss,
    /// `null` where the profile demands none, or none was measured.
    #[schema(required)]
    throughput: Option<Throughput>,
}

/// A 95th percentile and its score.
#[derive(ToSchema)]
struct RoundTrip {
    #[schema(minimum = 0, maximum = 100)]
    score: f64,
    p95_ms: f64,
    n: u64,
}

/// Loss as retransmitted SYNs show it.
#[derive(ToSchema)]
struct Loss {
    #[schema(minimum = 0, maximum = 100)]
    score: f64,
    #[schema(minimum = 0, maximum = 1)]
    ratio: f64,
    /// Always true.
    proxy: bool,
    #[schema(minimum = 0, maximum = 1)]
    confidence: f64,
    n: u64,
}

/// A rate and whether it is enough.
#[derive(ToSchema)]
struct Throughput {
    #[schema(minimum = 0, maximum = 100)]
    score: f64,
    /// The median, bits a second.
    p50_bps: u64,
    n: u64,
}
