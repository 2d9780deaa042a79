//! `GET /api/v1/scores`: of each cohort the headline and what it was taken of.

use axum::extract::{RawQuery, State};
use model::score::{Profile, Qoe};
use serde::Serialize;
use utoipa::ToSchema;

use super::params::{AtMost, OfClient, OfTarget, Scored, Within};
use super::query::{Query, invalid};
use super::{Answer, DAY_MS, Deps, Problem, answer, read};
use crate::openapi::{refused, score};
use crate::store::{Cohort, CohortQuery, Grain, GroupBy, Reader};

/// Scores of a long stretch are merged from hours or days, of which there are few.
const LONGEST_MS: i64 = 10 * 366 * DAY_MS;
/// Rows of merged windows are all held until the last window was read.
const MOST_SCORES: usize = 1_000;

type Times = Within<LONGEST_MS>;
type Rows = AtMost<MOST_SCORES, MOST_SCORES>;

/// Scores of cohorts.
#[derive(Serialize, ToSchema)]
struct Scores {
    /// The stretch that was looked at.
    from_ms: i64,
    to_ms: i64,
    /// The use they are for.
    profile: &'static str,
    /// What they were merged from: minutes up to 7 days, hours up to 92, else days.
    grain: Grain,
    /// By client and target.
    scores: Vec<ScoreRow>,
    /// Whether there were more than the limit; the last are missing.
    truncated: bool,
}

/// The score of one cohort.
#[derive(Serialize, ToSchema)]
#[schema(as = CohortScore)]
struct ScoreRow {
    /// Left out where clients were merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    client_id: Option<String>,
    /// Left out where targets were merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    target: Option<String>,
    /// How many windows were merged.
    windows: usize,
    /// The start of the first of them.
    first_window_ts: i64,
    /// The start of the last of them.
    last_window_ts: i64,
    count_total: u64,
    count_troubled: u64,
    /// `null` where nothing was measured that could say something.
    #[schema(value_type = Option<score::Score>, required)]
    score: Option<Qoe>,
    /// Which inputs there were, of `first_byte`, `round_trip`, `loss_proxy` and `throughput`.
    rests_on: Vec<&'static str>,
}

/// Scores of any cohort for a use of the line.
#[utoipa::path(
    get, path = "/api/v1/scores", tag = "read", params(OfClient, OfTarget, Times, Scored, Rows),
    responses((status = 200, description = "Those with windows in the stretch", body = Scores), refused::ToRead),
    security(("bearer" = ["read"]), ("header" = ["read"])),
)]
pub(super) async fn get_scores(State(deps): State<Deps>, RawQuery(query): RawQuery) -> Answer {
    let now_ms = (deps.now)();
    let mut query = Query::parse(query.as_deref())?;
    let span = query.span(now_ms, LONGEST_MS)?;
    let wanted = CohortQuery {
        client_id: query.text("client_id")?,
        target: query.text("target")?,
        ..CohortQuery::of(span)
    };
    let (profile, group_by) = (profile(&mut query)?, group_by(&mut query)?);
    let limit = query.limit(MOST_SCORES, MOST_SCORES)?;
    query.finish(&["client_id", "target", "from", "to", "profile", "group_by", "limit"])?;
    let grain = wanted.grain;
    let look = move |reader: &Reader| reader.cohorts(&wanted, group_by, limit);
    let (cohorts, truncated) = read(&deps, look).await?;
    let scores = cohorts.into_iter().map(|cohort| ScoreRow::of(cohort, &profile)).collect();
    let (from_ms, to_ms) = (span.from_ms, span.to_ms);
    answer(&Scores { from_ms, to_ms, profile: profile.name, grain, scores, truncated })
}

impl ScoreRow {
    fn of(cohort: Cohort, profile: &Profile) -> Self {
        let counts = cohort.merged.counts();
        let score = Qoe::of(&cohort.merged, profile);
        Self {
            windows: cohort.windows,
            first_window_ts: cohort.first_ts,
            last_window_ts: cohort.last_ts,
            count_total: counts.total,
            count_troubled: counts.troubled,
            rests_on: score.map_or_else(Vec::new, |score| score.rests_on()),
            score,
            client_id: cohort.client_id,
            target: cohort.target,
        }
    }
}

/// The profile that is asked for, or that of pages.
fn profile(query: &mut Query) -> Result<Profile, Problem> {
    let Some(name) = query.text("profile")? else { return Ok(Profile::WEB) };
    Profile::from_name(&name).ok_or_else(|| {
        let known = Profile::ALL.map(|profile| profile.name).join(", ");
        invalid("profile", &format!("there is no such profile; there is {known}"))
    })
}

/// What becomes a row: each client and target where nothing is said.
fn group_by(query: &mut Query) -> Result<GroupBy, Problem> {
    let Some(name) = query.text("group_by")? else { return Ok(GroupBy::Cell) };
    GroupBy::from_name(&name).ok_or_else(|| {
        let known = GroupBy::NAMED.map(|(name, _)| name).join(", ");
        invalid("group_by", &format!("is not what a row can be of; there is {known}"))
    })
}
