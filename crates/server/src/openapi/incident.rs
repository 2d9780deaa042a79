//! The shapes of what an incident says, which are the model's.
#![expect(dead_code, reason = "shapes, of which there is no value")]

use std::collections::BTreeMap;

use model::ErrorStage;
use model::diagnosis::Label as Said;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// What is wrong.
pub(crate) struct Label;

impl PartialSchema for Label {
    fn schema() -> RefOr<Schema> {
        let plain = [
            Said::DnsBound,
            Said::HandshakeBound,
            Said::ServerBound,
            Said::ThroughputBound,
            Said::PathDelay,
            Said::PathLossBound,
            Said::Bufferbloat,
            Said::Certificate,
            Said::ProbeBound,
            Said::InsufficientData,
        ];
        let labels = plain.into_iter().chain(ErrorStage::ALL.map(Said::Outage));
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(labels.map(|label| label.to_string())))
            .description(Some("What is wrong (docs/diagnosis.md)."))
            .into()
    }
}

impl ToSchema for Label {}

/// The worst last.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Severity {
    Info,
    Minor,
    Major,
    Critical,
}

/// How an incident stands: it goes on, comes and goes, was not measured for five minutes, has ended, or
/// lasted so long that it is the usual now.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum IncidentState {
    Open,
    Flapping,
    Stale,
    Ended,
    Accepted,
}

/// What slows a transfer.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Cause {
    Loss,
    Bufferbloat,
    ClientWindow,
    Server,
    RateLimit,
}

/// The numbers that an incident rests on.
#[derive(ToSchema)]
pub(crate) struct Evidence {
    /// What `current` and `usual` are of; `null` for failures.
    #[schema(required)]
    signal: Option<Signal>,
    /// The last minutes, at most ten.
    #[schema(required)]
    current: Option<Level>,
    /// The last hour of good minutes, as it is expected to be at this time of day.
    #[schema(required)]
    usual: Option<Level>,
    /// By what the time of day makes `usual` differ from the rest of the day, as a factor; null where it does
    /// not, or is not known to.
    #[schema(required)]
    seasonal_factor: Option<f64>,
    /// `current` against `usual`, by their medians.
    #[schema(required)]
    change: Option<Change>,
    /// What each stage has more than usual, milliseconds: look-up, connect, handshake, first byte.
    #[schema(value_type = Vec<f64>, min_items = 4, max_items = 4)]
    excess_ms: [f64; 4],
    /// How sure it is.
    #[schema(required)]
    evidence: Option<Sum>,
    /// Failed measurements of the last minutes, by stage.
    failures: BTreeMap<String, u64>,
    /// Measurements of the last minutes.
    measurements: u64,
    /// The cells of whom it is.
    cells: Tally,
    /// Scopes that the data can't tell apart from this one: type and name.
    #[schema(value_type = Vec<Vec<String>>)]
    ambiguous_with: Vec<(String, String)>,
}

/// What is compared.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Signal {
    Dns,
    Tcp,
    Tls,
    Ttfb,
    Throughput,
    Loaded,
}

/// A distribution, in milliseconds, or kilobits a second for throughput. Values are within 1 %.
#[derive(ToSchema)]
struct Level {
    p50: f64,
    p95: f64,
    n: u64,
}

/// How far the medians are apart.
#[derive(ToSchema)]
struct Change {
    /// Milliseconds, or kilobits a second.
    difference: f64,
    /// Times the usual.
    #[schema(required)]
    ratio: Option<f64>,
}

/// The sum of the logarithms of likelihood ratios, and where it counts as found.
#[derive(ToSchema)]
struct Sum {
    kind: SumKind,
    sum: f64,
    opens_at: f64,
    /// Minutes it was summed over.
    minutes: u64,
}

/// What the sum is of.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum SumKind {
    Level,
    Tail,
    Failures,
}

/// Cells, by what their last minutes say.
#[derive(ToSchema)]
struct Tally {
    /// They were told.
    bad: u64,
    /// They were measured and not told.
    good: u64,
    /// They were not measured.
    unknown: u64,
}
