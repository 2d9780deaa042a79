//! What only looks.

use model::window::Window;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::alerts::{AlertQuery, AlertRow, ReceiverFares, Told};
use super::cohorts::{self, Cohort, CohortQuery, GroupBy, Kept};
use super::drifts::{DriftQuery, DriftRow};
use super::gaps::{GapQuery, GapRow};
use super::incidents::{FleetWindow, IncidentQuery, IncidentRow, Revisions};
use super::reopened::Reopened;
use super::rollups::{Rollup, RollupTask};
use super::summary::{SummaryQuery, SummaryRow};
use super::tokens::TokenRecord;
use super::windows::{Span, WindowQuery, WindowRow};
use super::{Location, StoreError, postgres, sqlite};

/// A connection that only looks, beside a running server or without one. Each answer is of one
/// moment. Blocks.
pub struct Reader(Backend);

enum Backend {
    Sqlite(sqlite::Reader),
    Postgres(postgres::Reader),
}

/// What a table takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    /// Its name; of an embedded store all together.
    pub table: String,
    /// With its indexes.
    pub bytes: i64,
    /// How many parts it has; 0 where it is one piece.
    pub partitions: i64,
}

/// A client and one of its targets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub struct Cell {
    /// Who measured.
    pub client_id: String,
    /// What was measured.
    pub target: String,
}

impl Reader {
    /// Opens the store, which must be there and of this program's schema version.
    pub fn open(location: impl Into<Location>) -> Result<Self, StoreError> {
        Self::at(&location.into())
    }

    pub(super) fn at(location: &Location) -> Result<Self, StoreError> {
        Ok(Self(match location {
            Location::Directory(dir) => Backend::Sqlite(sqlite::Reader::open(dir)?),
            Location::Postgres(database) => Backend::Postgres(postgres::Reader::open(database)?),
        }))
    }

    /// Whether it can be asked again.
    pub(super) fn is_usable(&self) -> bool {
        match &self.0 {
            Backend::Sqlite(_) => true,
            Backend::Postgres(reader) => !reader.is_closed(),
        }
    }

    /// Windows by client, target and time. Whether there were more than the limit is the second
    /// part of the answer.
    pub fn windows(
        &self,
        query: &WindowQuery,
        now_ms: i64,
    ) -> Result<(Vec<WindowRow>, bool), StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.windows(query, now_ms),
            Backend::Postgres(reader) => reader.windows(query, now_ms),
        }
    }

    /// One row for each cell with windows in `span`, by client and target.
    pub fn summary(&self, span: Span, now_ms: i64) -> Result<Vec<SummaryRow>, StoreError> {
        self.summary_of(&SummaryQuery::all(span), now_ms).map(|(rows, _)| rows)
    }

    /// One row for each cell that is asked for and has windows, by client and target. Whether
    /// there were more than the limit is the second part of the answer.
    pub fn summary_of(
        &self,
        query: &SummaryQuery,
        now_ms: i64,
    ) -> Result<(Vec<SummaryRow>, bool), StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.summary_of(query, now_ms),
            Backend::Postgres(reader) => reader.summary_of(query, now_ms),
        }
    }

    /// Hands each window on that is asked for, by client, target and time. It holds few of them at
    /// a time.
    ///
    /// # Errors
    /// [`StoreError::TooMany`] where there are more than the query's bound, after having handed on
    /// as many; and the first error of `each`.
    pub fn each_window(
        &self,
        query: &CohortQuery,
        each: &mut dyn FnMut(Kept<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.each_window(query, each),
            Backend::Postgres(reader) => reader.each_window(query, each),
        }
    }

    /// Windows merged by client, target, both or neither; the first rows by name. Whether there
    /// were more than the limit is the second part of the answer.
    pub fn cohorts(
        &self,
        query: &CohortQuery,
        group_by: GroupBy,
        limit: usize,
    ) -> Result<(Vec<Cohort>, bool), StoreError> {
        let mut merging = cohorts::Merging::new(group_by, limit);
        self.each_window(query, &mut |kept| {
            merging.add(&kept);
            Ok(())
        })?;
        Ok(merging.finish())
    }

    /// What probes lost, the newest first. Whether there was more than the limit is the second part
    /// of the answer.
    pub fn gaps(&self, query: &GapQuery) -> Result<(Vec<GapRow>, bool), StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.gaps(query),
            Backend::Postgres(reader) => reader.gaps(query),
        }
    }

    /// Minutes whose windows changed when the detector no longer looked, the oldest first.
    pub fn reopened(&self) -> Result<Vec<Reopened>, StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.reopened(),
            Backend::Postgres(reader) => reader.reopened(),
        }
    }

    /// Alerts, the newest first, or those that wait, the oldest first. Whether there were more than
    /// the limit is the second part of the answer.
    pub fn alerts(&self, query: &AlertQuery) -> Result<(Vec<AlertRow>, bool), StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.alerts(query),
            Backend::Postgres(reader) => reader.alerts(query),
        }
    }

    /// What each receiver was told last of these incidents, and of all of which anything was told
    /// since a moment.
    pub fn told(&self, incidents: &[&str], from_ms: i64) -> Result<Vec<Told>, StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.told(incidents, from_ms),
            Backend::Postgres(reader) => reader.told(incidents, from_ms),
        }
    }

    /// How each receiver fares to whom anything was ever to be told; what was given up counts from
    /// a moment on.
    pub fn receivers(&self, from_ms: i64) -> Result<Vec<ReceiverFares>, StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.receivers(from_ms),
            Backend::Postgres(reader) => reader.receivers(from_ms),
        }
    }

    /// Hours and days of one kind, as [`Self::windows`] gives minutes; they carry no label.
    pub fn rollups(
        &self,
        rollup: Rollup,
        query: &WindowQuery,
        now_ms: i64,
    ) -> Result<(Vec<WindowRow>, bool), StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.rollups(rollup, query, now_ms),
            Backend::Postgres(reader) => reader.rollups(rollup, query, now_ms),
        }
    }

    /// Hours and days that are due to be merged, those that wait longest first.
    pub fn rollup_tasks(&self, now_ms: i64, limit: usize) -> Result<Vec<RollupTask>, StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.rollup_tasks(now_ms, limit),
            Backend::Postgres(reader) => reader.rollup_tasks(now_ms, limit),
        }
    }

    /// The windows of an hour or the hours of a day, merged; `None` where there are none.
    pub fn merged(&self, task: &RollupTask) -> Result<Option<Window>, StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.merged(task),
            Backend::Postgres(reader) => reader.merged(task),
        }
    }

    /// Incidents, the newest first. Whether there were more than the limit is the second part of the
    /// answer.
    pub fn incidents(&self, query: &IncidentQuery) -> Result<(Vec<IncidentRow>, bool), StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.incidents(query),
            Backend::Postgres(reader) => reader.incidents(query),
        }
    }

    /// Drifts, the newest first. Whether there were more than the limit is the second part of the
    /// answer.
    pub fn drifts(&self, query: &DriftQuery) -> Result<(Vec<DriftRow>, bool), StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.drifts(query),
            Backend::Postgres(reader) => reader.drifts(query),
        }
    }

    /// The newest state of the detector from before a moment, with the start of its minute.
    pub fn detector_state(&self, before_ms: i64) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.detector_state(before_ms),
            Backend::Postgres(reader) => reader.detector_state(before_ms),
        }
    }

    /// Clients that were seen since a moment, and those of them that have not been since another.
    pub fn fleet_size(&self, from_ms: i64, silent_ms: i64) -> Result<(i64, i64), StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.fleet_size(from_ms, silent_ms),
            Backend::Postgres(reader) => reader.fleet_size(from_ms, silent_ms),
        }
    }

    /// What each table takes, with its indexes.
    pub fn sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.sizes(),
            Backend::Postgres(reader) => reader.sizes(),
        }
    }

    /// Of some clients those of which nothing was ever counted.
    pub fn unseen(&self, clients: &[String]) -> Result<Vec<String>, StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.unseen(clients),
            Backend::Postgres(reader) => reader.unseen(clients),
        }
    }

    /// Hands each window of all cells on, by time, client and target. It holds few of them at a time.
    ///
    /// # Errors
    /// Where one can't be read; and the first error of `each`.
    pub fn each_fleet_window(
        &self,
        span: Span,
        each: &mut dyn FnMut(FleetWindow) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.each_fleet_window(span, each),
            Backend::Postgres(reader) => reader.each_fleet_window(span, each),
        }
    }

    /// How often the windows of each minute have changed, by their start.
    pub fn revisions(&self, span: Span) -> Result<Vec<(i64, Revisions)>, StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.revisions(span),
            Backend::Postgres(reader) => reader.revisions(span),
        }
    }

    /// The start of the oldest window from a moment on.
    pub fn first_window(&self, from_ms: i64) -> Result<Option<i64>, StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.first_window(from_ms),
            Backend::Postgres(reader) => reader.first_window(from_ms),
        }
    }

    pub(super) fn token(&self, id: &str) -> Result<Option<TokenRecord>, StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.token(id),
            Backend::Postgres(reader) => reader.token(id),
        }
    }

    pub(super) fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        match &self.0 {
            Backend::Sqlite(reader) => reader.tokens(),
            Backend::Postgres(reader) => reader.tokens(),
        }
    }
}
