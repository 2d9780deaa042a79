//! Looks on while the detector writes: what is new since the last look.

use std::collections::BTreeMap;

use model::diagnosis::Label;
use model::units::MINUTE_MS;
use server::store::{Cell, IncidentQuery, IncidentRow, Span, Store};

/// Reads incidents from a moment on.
pub(super) struct Watch<'a> {
    store: &'a Store,
    from_ms: i64,
    /// As they were at the last look: what they were called, and of which cells.
    seen: BTreeMap<String, (Label, Vec<Cell>)>,
}

/// More than a demo can have.
const LIMIT: usize = 10_000;

impl<'a> Watch<'a> {
    /// Of those that began at `from_ms` or later.
    pub(super) fn new(store: &'a Store, from_ms: i64) -> Self {
        Self { store, from_ms, seen: BTreeMap::new() }
    }

    /// Every incident there is by now.
    pub(super) async fn all(&self) -> anyhow::Result<Vec<IncidentRow>> {
        let span = Span { from_ms: self.from_ms, to_ms: i64::MAX / 2 };
        let query = IncidentQuery::new(span, LIMIT);
        let mut rows = self.store.read(move |reader| reader.incidents(&query)).await?.0;
        rows.retain(|row| row.onset_ts >= self.from_ms && !row.body.withdrawn);
        Ok(rows)
    }

    /// Those that were not there at the last look, or were called otherwise, or had fewer cells.
    pub(super) async fn news(&mut self) -> anyhow::Result<Vec<IncidentRow>> {
        let mut all = self.all().await?;
        all.retain(|row| {
            let now = (row.label, row.body.cells.clone());
            self.seen.insert(row.id.clone(), now.clone()) != Some(now)
        });
        Ok(all)
    }
}

/// The start of the minute after a moment.
pub(super) fn next_minute_ms(now_ms: i64) -> i64 {
    model::Minute::of_ms(now_ms).end_ms()
}

/// The start of the minute that holds a moment.
pub(super) fn minute_ms(now_ms: i64) -> i64 {
    now_ms - now_ms.rem_euclid(MINUTE_MS)
}
