//! Scores as they are answered: of each cohort the headline and what it was taken of.

use model::score::{Profile, Qoe};
use serde::Serialize;

use super::Problem;
use super::query::{Query, invalid};
use crate::store::{Cohort, GroupBy};

/// The score of one cohort.
#[derive(Serialize)]
pub(super) struct ScoreRow {
    /// Left out where clients were merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// Left out where targets were merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    windows: usize,
    first_window_ts: i64,
    last_window_ts: i64,
    count_total: u64,
    count_troubled: u64,
    /// `null` where nothing was measured that could say something.
    score: Option<Qoe>,
    /// Which inputs there were; the others are absent.
    rests_on: Vec<&'static str>,
}

impl ScoreRow {
    pub(super) fn of(cohort: Cohort, profile: &Profile) -> Self {
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
pub(super) fn profile(query: &mut Query) -> Result<Profile, Problem> {
    let Some(name) = query.text("profile")? else { return Ok(Profile::WEB) };
    Profile::from_name(&name).ok_or_else(|| {
        let known = Profile::ALL.map(|profile| profile.name).join(", ");
        invalid("profile", &format!("there is no such profile; there is {known}"))
    })
}

/// What becomes a row: each client and target where nothing is said.
pub(super) fn group_by(query: &mut Query) -> Result<GroupBy, Problem> {
    let Some(name) = query.text("group_by")? else { return Ok(GroupBy::Cell) };
    GroupBy::from_name(&name).ok_or_else(|| {
        invalid("group_by", "is not what a row can be of; there is cell, client_id, target, none")
    })
}
