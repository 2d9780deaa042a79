//! Going back to minutes whose windows changed when they had been judged for good, as when a probe hands
//! in what it spooled for hours: from how the detector stood before them all is judged again up to the
//! present, as if they had always been as they are now. Nothing of it is told before it is there: what ended
//! hours ago would be open again on the way.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::units::MINUTE_MS;

use super::{BEGIN_MS, Fleet, told_since};
use crate::diagnoser::seen::Registry;
use crate::store::{Detected, Reader, StoreError};

/// Windows that are judged again of one's own accord: the present waits for them, a minute at most.
const MOST_WINDOWS: i64 = 500_000;

/// A way back to the present.
pub(super) struct Back {
    /// The oldest minute that changed.
    pub(super) from_ms: i64,
    /// Incidents that were found again, or are new.
    pub(super) still: BTreeSet<String>,
    /// What is to be told, and the minutes that changed.
    found: Detected,
}

impl Back {
    /// Whether a minute is among those to be told again; what lies before only leads there.
    pub(super) fn is_there(&self, minute: i64) -> bool {
        minute * MINUTE_MS >= self.from_ms
    }

    /// Keeps what a step found for the end; how it stands is written down at once.
    pub(super) fn hold(&mut self, step: Detected) -> Detected {
        step.incidents.into_iter().for_each(|row| self.found.put(row));
        self.found.labels.extend(step.labels);
        Detected { state: step.state, drifts: step.drifts, ..Detected::default() }
    }
}

impl Fleet {
    /// In the present: ends a way back, or begins one where minutes changed since.
    pub(super) fn look_back(
        &mut self,
        reader: &Reader,
        now_ms: i64,
    ) -> Result<Option<Detected>, StoreError> {
        if let Some(Back { from_ms, still, mut found }) = self.back.take() {
            self.withdraw(from_ms, &still, &mut found);
            // One of before that nobody goes on with.
            for (id, row) in &mut self.told {
                if row.end_ts.is_none() && !still.contains(id) {
                    row.end_ts = Some(row.last_bad_ts + MINUTE_MS);
                    found.put(row.clone());
                }
            }
            return Ok(Some(found));
        }
        let minutes = reader.reopened()?;
        let Some(oldest) = minutes.first() else { return Ok(None) };
        let changed_ms = minutes.iter().map(|of| of.changed_ms).max().unwrap_or(0);
        if self.is_patient(changed_ms, now_ms) {
            return Ok(None);
        }
        let from_ms = oldest.start_ms;
        let kept = reader.detector_state(from_ms)?;
        let restored = kept.and_then(|(minute_ms, state)| {
            let topology = Arc::clone(&self.topology);
            Some((minute_ms + MINUTE_MS, Registry::restore(&state, topology).ok()?))
        });
        let begin_ms = restored.as_ref().map_or(from_ms - BEGIN_MS, |(begin_ms, _)| *begin_ms);
        let ahead = (now_ms - begin_ms).div_euclid(MINUTE_MS);
        let cells = i64::try_from(self.registry.cells.len()).unwrap_or(i64::MAX);
        if from_ms < now_ms - BEGIN_MS || ahead.saturating_mul(cells) > MOST_WINDOWS {
            let hours = (now_ms - from_ms).div_euclid(60 * MINUTE_MS) + 1;
            tracing::warn!(
                minutes = minutes.len(),
                "events came late for minutes that are not judged again by themselves; \
                 run: qoe rediagnose --from {hours}h"
            );
            return Ok(Some(Detected { reopened: minutes, ..Detected::default() }));
        }
        let (begin_ms, (registry, engine)) = match restored {
            Some(restored) => restored,
            None => {
                let first_ms = reader.first_window(begin_ms)?.unwrap_or(from_ms);
                let engine = self.settled.anew(first_ms.div_euclid(MINUTE_MS));
                (first_ms, (self.registry.anew(), engine))
            }
        };
        tracing::info!(minutes = minutes.len(), ahead, "going back to minutes that changed");
        (self.registry, self.settled) = (registry, engine);
        self.live = self.settled.clone();
        self.open.clear();
        self.next = Some(begin_ms.div_euclid(MINUTE_MS));
        self.told = told_since(reader, begin_ms)?;
        let found = Detected { reopened: minutes, ..Detected::default() };
        self.again = false;
        self.back = Some(Back { from_ms, still: BTreeSet::new(), found });
        Ok(Some(Detected::default()))
    }
}
