//! A stretch of the past judged again, as the rules of this program have it.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::detect::{Engine, Topology, id_text};
use model::units::MINUTE_MS;

use super::rows::row;
use super::seen::Registry;
use crate::store::{Detected, IncidentQuery, Reader, Span, StoreError};

/// What is gone through before the stretch, so that what is usual is known at its beginning.
const BEFORE_MS: i64 = 24 * 60 * MINUTE_MS;
/// Minutes that are read at once.
const CHUNK_MS: i64 = 10 * MINUTE_MS;
/// Incidents of the stretch that are held against what is found.
const MOST_KEPT: usize = 100_000;

/// What judging again came to.
#[derive(Clone, Debug, Default)]
pub struct Rediagnosed {
    /// What is to be written: incidents that are new or other than they were, and those taken back.
    pub found: Detected,
    /// Windows that were gone through.
    pub windows: u64,
    /// Incidents that stand as they were.
    pub same: u64,
}

/// Judges the windows that start in `span` again; `told` hears how far it is, as a moment.
///
/// # Errors
/// Where windows can't be read.
pub fn rediagnose(
    reader: &Reader,
    span: Span,
    topology: Topology,
    now_ms: i64,
    told: impl Fn(i64),
) -> Result<Rediagnosed, StoreError> {
    let mut done = Rediagnosed::default();
    let (kept, _) = reader.incidents(&IncidentQuery::new(span, MOST_KEPT))?;
    let mut still = BTreeSet::new();
    let mut at_ms = reader.first_window(span.from_ms - BEFORE_MS)?.unwrap_or(span.to_ms);
    let topology = Arc::new(topology);
    let newest = reader.detector_state(i64::MAX)?.and_then(|(_, state)| {
        // One of another version is as good as none.
        Registry::restore(&state, Arc::clone(&topology)).ok()
    });
    let (mut registry, mut engine) = match newest {
        Some((registry, engine)) => (registry.anew(), engine.anew(at_ms.div_euclid(MINUTE_MS))),
        None => (Registry::of(topology), Engine::default()),
    };
    while at_ms < span.to_ms {
        let to_ms = (at_ms + CHUNK_MS).min(span.to_ms);
        let mut seen = registry.read(reader, Span { from_ms: at_ms, to_ms })?;
        if seen.is_empty() {
            // Silence is passed over.
            at_ms = reader.first_window(to_ms)?.unwrap_or(span.to_ms).max(to_ms);
            continue;
        }
        for minute in at_ms.div_euclid(MINUTE_MS)..to_ms.div_euclid(MINUTE_MS) {
            let mut seen = seen.remove(&minute).unwrap_or_default();
            done.windows += seen.cells() as u64;
            let said = registry.judge(&mut engine, &seen, minute);
            if minute * MINUTE_MS >= span.from_ms {
                done.found.labels.extend(registry.label(&mut seen, &said, minute));
            }
            for incident in engine.incidents() {
                if incident.last_bad * MINUTE_MS < span.from_ms {
                    continue;
                }
                let id = id_text(incident.id);
                let before = done.found.incidents.iter().find(|row| row.id == id);
                let old = kept.iter().find(|row| row.id == id);
                let told_ts = old.map_or(now_ms, |row| row.told_ts);
                let row = row(&engine, incident, before, &registry.cells, told_ts, minute);
                still.insert(id);
                done.found.put(row);
            }
            engine.take_ended();
            engine.take_drifts();
        }
        told(to_ms);
        at_ms = to_ms;
    }
    let reaches = |onset_ts: i64| (span.from_ms..span.to_ms).contains(&onset_ts);
    for mut row in kept.iter().filter(|row| !row.body.withdrawn && reaches(row.opened_ts)).cloned()
    {
        if !still.contains(&row.id) {
            row.body.withdrawn = true;
            row.end_ts.get_or_insert(row.last_bad_ts + MINUTE_MS);
            done.found.put(row);
        }
    }
    let before = done.found.incidents.len();
    done.found.incidents.retain(|row| !kept.contains(row));
    done.same = (before - done.found.incidents.len()) as u64;
    Ok(done)
}
