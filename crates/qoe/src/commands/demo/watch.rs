//! Looks on while the diagnoser writes: what is new since the last look.

use std::collections::HashSet;

use model::units::MINUTE_MS;
use server::store::{DiagnosisQuery, Span, Store};

use crate::commands::report::incident::Told;
use crate::commands::report::told::told;

/// Reads diagnoses from a moment on.
pub(super) struct Watch<'a> {
    store: &'a Store,
    from_ms: i64,
    seen: HashSet<(String, String, String, i64)>,
}

/// More than a demo can have.
const LIMIT: usize = 100_000;

impl<'a> Watch<'a> {
    /// Of windows that start at `from_ms` or later.
    pub(super) fn new(store: &'a Store, from_ms: i64) -> Self {
        Self { store, from_ms, seen: HashSet::new() }
    }

    /// Every diagnosis there is by now.
    pub(super) async fn all(&self) -> anyhow::Result<Vec<Told>> {
        let span = Span { from_ms: self.from_ms, to_ms: i64::MAX / 2 };
        let query = DiagnosisQuery::new(span, LIMIT);
        let rows = self.store.read(move |reader| reader.diagnoses(&query)).await?.0;
        Ok(rows.iter().filter_map(told).collect())
    }

    /// Those that were not there at the last look.
    pub(super) async fn news(&mut self) -> anyhow::Result<Vec<Told>> {
        let mut all = self.all().await?;
        all.retain(|run| {
            let key = (run.client.clone(), run.target.clone(), run.label.to_string(), run.from_ms);
            self.seen.insert(key)
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
