//! The detector at work: it takes the whole fleet's windows minute by minute, and says which
//! incidents there are.
//!
//! A minute is judged a little after its end. Windows may change for half an hour more: every few
//! minutes the detector goes back to how it stood before the oldest minute that changed, and judges
//! from there again. How it stood is written down now and then, so that it goes on after a restart as
//! if it had never stopped: the same windows give the same incidents. To minutes that change later it goes
//! back (`back`).

mod back;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use model::detect::{Engine, Topology, id_text};
use model::diagnosis::Label;
use model::units::MINUTE_MS;

use super::rows::row;
use super::seen::{Registry, Seen};
use crate::store::{
    Detected, DriftRow, IncidentQuery, IncidentRow, Reader, Revisions, Span, StoreError,
};
use back::Back;

/// After a minute's end, for events on their way.
const GRACE_MS: i64 = 15_000;
/// Minutes that windows may change in and be judged again.
const REOPENED: usize = 30;
/// How often it is looked whether they did.
const AGAIN_EVERY: i64 = 5;
/// Minutes that are read and judged in a step.
const CHUNK: i64 = 10;
/// How far back it begins where it has never been.
const BEGIN_MS: i64 = 24 * 60 * MINUTE_MS;
/// How often it is written down how it stands, in minutes.
const KEEP_EVERY: i64 = 30;
/// How long a past that is just being filled in is waited for.
const PATIENCE_MS: i64 = 120_000;
/// More incidents at once are not told apart from those of before a restart.
const MOST_OPEN: usize = 10_000;

/// The detector with what it has seen.
#[derive(Default)]
pub struct Fleet {
    topology: Arc<Topology>,
    registry: Registry,
    /// As it stood before the oldest minute that can still change, and as it stands.
    settled: Engine,
    live: Engine,
    /// The minutes after that, without a gap.
    open: VecDeque<Minute>,
    /// The next minute to be judged; absent before the first.
    next: Option<i64>,
    /// Incidents as they were last written, by number.
    told: BTreeMap<String, IncidentRow>,
    waiting_since: Option<i64>,
    /// It was told whom the topology names and nobody has seen.
    unseen_told: bool,
    /// Where it has gone back to, until it is in the present again.
    back: Option<Back>,
    /// It is to be looked whether windows changed.
    again: bool,
    /// Windows that were judged since somebody asked.
    judged: u64,
}

/// How a fleet stands.
pub(super) struct Figures {
    pub(super) cells: usize,
    /// Windows that were judged since this was last asked.
    pub(super) judged: u64,
    /// For how long the oldest minute that is not judged has been over.
    pub(super) behind_ms: i64,
    /// Incidents that go on, by label.
    pub(super) open: BTreeMap<Label, i64>,
}

struct Minute {
    seen: Seen,
    revisions: Revisions,
}

impl Fleet {
    /// Of a fleet of which this is known.
    pub fn of(topology: Arc<Topology>) -> Self {
        let registry = Registry::of(Arc::clone(&topology));
        Self { topology, registry, ..Self::default() }
    }

    /// Puts one that has seen nothing in its place.
    pub(super) fn take(&mut self) -> Self {
        // What was told once is not told again.
        let next = Self { unseen_told: self.unseen_told, ..Self::of(Arc::clone(&self.topology)) };
        std::mem::replace(self, next)
    }

    /// How it stands.
    pub(super) fn figures(&mut self, now_ms: i64) -> Figures {
        let over_ms = |minute: i64| now_ms - (minute + 1) * MINUTE_MS;
        let mut open = BTreeMap::new();
        for row in self.told.values().filter(|row| row.end_ts.is_none()) {
            *open.entry(row.label).or_default() += 1;
        }
        Figures {
            cells: self.registry.cells.len(),
            judged: std::mem::take(&mut self.judged),
            behind_ms: self.next.map_or(0, |minute| over_ms(minute).max(0)),
            open,
        }
    }

    /// Judges what has ended by then, at most some minutes of it; gives what is to be written, or
    /// `None` where nothing is due.
    ///
    /// # Errors
    /// Where the windows can't be read. What it had seen is of no use then: another one begins.
    pub fn step(&mut self, reader: &Reader, now_ms: i64) -> Result<Option<Detected>, StoreError> {
        let ended = (now_ms - GRACE_MS).div_euclid(MINUTE_MS) - 1;
        let Some(next) = self.begun(reader, now_ms)? else { return Ok(None) };
        if next > ended {
            if std::mem::take(&mut self.again) {
                let mut found = Detected::default();
                self.look_again(reader, now_ms, &mut found)?;
                return Ok(Some(found));
            }
            return self.look_back(reader, now_ms);
        }
        let last = ended.min(next + CHUNK - 1);
        let span = minutes(next, last + 1);
        let revisions: BTreeMap<i64, Revisions> = reader.revisions(span)?.into_iter().collect();
        if last < ended && self.waits(&revisions, now_ms) {
            return Ok(None);
        }
        // What changes from here on is noted anew.
        let mut noted = reader.reopened()?;
        noted.retain(|of| (span.from_ms..span.to_ms).contains(&of.start_ms));
        let mut seen = self.registry.read(reader, span)?;
        let mut found = Detected { reopened: noted, ..Detected::default() };
        for minute in next..=last {
            let revisions = revisions.get(&(minute * MINUTE_MS)).copied().unwrap_or_default();
            let mut seen = seen.remove(&minute).unwrap_or_default();
            let said = self.registry.judge(&mut self.live, &seen, minute);
            self.judged += seen.cells() as u64;
            if self.back.as_ref().is_none_or(|back| back.is_there(minute)) {
                found.labels.extend(self.registry.label(&mut seen, &said, minute));
                self.tell(minute, now_ms, &mut found);
            }
            drain(&mut self.live);
            self.open.push_back(Minute { seen, revisions });
            if self.open.len() > REOPENED {
                self.settle(minute, &mut found);
            }
        }
        self.next = Some(last + 1);
        if last == ended && !std::mem::replace(&mut self.unseen_told, true) {
            self.tell_unseen();
        }
        if let Some(back) = &mut self.back {
            return Ok(Some(back.hold(found)));
        }
        // When the present has been told; where it is behind by so much, at once.
        if (next..=last).any(|minute| minute % AGAIN_EVERY == 0)
            && std::mem::replace(&mut self.again, true)
        {
            self.look_again(reader, now_ms, &mut found)?;
        }
        Ok(Some(found))
    }

    /// A name that is nobody's may be misspelt.
    fn tell_unseen(&self) {
        const EXAMPLES: usize = 3;
        let unseen = self.registry.unseen();
        if unseen.is_empty() {
            return;
        }
        let examples: Vec<_> = unseen.iter().take(EXAMPLES).collect();
        tracing::warn!(
            clients = unseen.len(),
            ?examples,
            "the topology names clients of which nothing was ever measured"
        );
    }

    /// The next minute, from how it stood when it was last written down.
    fn begun(&mut self, reader: &Reader, now_ms: i64) -> Result<Option<i64>, StoreError> {
        if self.next.is_some() {
            return Ok(self.next);
        }
        let oldest_ms = now_ms - BEGIN_MS;
        if let Some((minute_ms, state)) = reader.detector_state(i64::MAX)? {
            match Registry::restore(&state, Arc::clone(&self.topology)) {
                Ok((registry, engine)) => {
                    (self.registry, self.settled) = (registry, engine);
                    self.live = self.settled.clone();
                    // What lies further back than a day is not caught up with.
                    let next =
                        (minute_ms.div_euclid(MINUTE_MS) + 1).max(oldest_ms.div_euclid(MINUTE_MS));
                    self.next = Some(next);
                    self.told = told_since(reader, next * MINUTE_MS)?;
                    return Ok(self.next);
                }
                Err(error) => {
                    tracing::warn!(%error, "the detector begins anew: it can't read how it stood");
                }
            }
        }
        self.next = reader.first_window(oldest_ms)?.map(|ms| ms.div_euclid(MINUTE_MS));
        Ok(self.next)
    }

    /// Whether these minutes are just being filled in, as when a history is sent.
    fn waits(&mut self, revisions: &BTreeMap<i64, Revisions>, now_ms: i64) -> bool {
        let changed_ms = revisions.values().map(|of| of.changed_ms).max().unwrap_or(0);
        self.is_patient(changed_ms, now_ms)
    }

    /// Whether what changed then may change once more soon, and has not been waited for too long.
    fn is_patient(&mut self, changed_ms: i64, now_ms: i64) -> bool {
        let since = *self.waiting_since.get_or_insert(now_ms);
        let waits = now_ms - changed_ms < GRACE_MS && now_ms - since < PATIENCE_MS;
        if !waits {
            self.waiting_since = None;
        }
        waits
    }

    /// Takes the oldest open minute as it is.
    fn settle(&mut self, newest: i64, found: &mut Detected) {
        let Some(Minute { seen, .. }) = self.open.pop_front() else { return };
        let minute = newest - self.open.len() as i64;
        self.registry.judge(&mut self.settled, &seen, minute);
        self.settled.take_ended();
        self.note_drifts(found);
        if minute % KEEP_EVERY == 0 {
            found.state = Some((minute * MINUTE_MS, self.registry.keep(&self.settled)));
            let from_ms = self.back.as_ref().map_or(minute * MINUTE_MS, |back| back.from_ms);
            self.told.retain(|_, row| row.end_ts.is_none_or(|end| end >= from_ms));
        }
    }

    /// Reads the open minutes that changed since, and judges from there again.
    fn look_again(
        &mut self,
        reader: &Reader,
        now_ms: i64,
        found: &mut Detected,
    ) -> Result<(), StoreError> {
        let Some(next) = self.next else { return Ok(()) };
        let first = next - self.open.len() as i64;
        let now: BTreeMap<i64, Revisions> =
            reader.revisions(minutes(first, next))?.into_iter().collect();
        let mut changed = false;
        for (minute, open) in (first..).zip(&mut self.open) {
            let revisions = now.get(&(minute * MINUTE_MS)).copied().unwrap_or_default();
            if revisions != open.revisions {
                let mut seen = self.registry.read(reader, minutes(minute, minute + 1))?;
                *open = Minute { seen: seen.remove(&minute).unwrap_or_default(), revisions };
                changed = true;
            }
        }
        if !changed {
            return Ok(());
        }
        // Of a large fleet there is no room for three.
        self.live = Engine::default();
        self.live = self.settled.clone();
        let mut still = BTreeSet::new();
        for (minute, open) in (first..).zip(&mut self.open) {
            let said = self.registry.judge(&mut self.live, &open.seen, minute);
            self.judged += open.seen.cells() as u64;
            found.labels.extend(self.registry.label(&mut open.seen, &said, minute));
            still.extend(self.live.incidents().iter().map(|incident| id_text(incident.id)));
            tell(&self.registry, &self.live, &mut self.told, minute, now_ms, found);
            drain(&mut self.live);
        }
        self.withdraw(first * MINUTE_MS, &still, found);
        Ok(())
    }

    /// Takes back what was opened since then and is not found any more.
    fn withdraw(&mut self, from_ms: i64, still: &BTreeSet<String>, found: &mut Detected) {
        for (id, row) in &mut self.told {
            if row.opened_ts >= from_ms && !still.contains(id) && !row.body.withdrawn {
                row.body.withdrawn = true;
                row.end_ts.get_or_insert(row.last_bad_ts + MINUTE_MS);
                found.put(row.clone());
            }
        }
    }

    /// A drift is worth a note, never an incident. What took most of a day may wait until its windows
    /// can't change any more.
    fn note_drifts(&mut self, found: &mut Detected) {
        for drift in self.settled.take_drifts() {
            let Some(cell) = self.registry.cells.get(drift.cell.0) else { continue };
            found.drifts.push(DriftRow {
                client_id: cell.client_id.clone(),
                target: cell.target.clone(),
                signal: drift.signal.as_str().to_owned(),
                percent_per_hour: (drift.percent_per_hour * 1e3).round() / 1e3,
                since_ts: drift.since * MINUTE_MS,
                noted_ts: drift.noted_at * MINUTE_MS,
            });
        }
    }

    fn tell(&mut self, minute: i64, now_ms: i64, found: &mut Detected) {
        if let Some(back) = &mut self.back {
            back.still.extend(self.live.incidents().iter().map(|incident| id_text(incident.id)));
        }
        tell(&self.registry, &self.live, &mut self.told, minute, now_ms, found);
    }
}

/// Notes incidents that are not as they were last written. Their numbers are those of the last minute
/// that showed them.
fn tell(
    registry: &Registry,
    live: &Engine,
    told: &mut BTreeMap<String, IncidentRow>,
    minute: i64,
    now_ms: i64,
    found: &mut Detected,
) {
    for incident in live.incidents() {
        let id = id_text(incident.id);
        let before = told.get(&id);
        let told_ts = before.map_or(now_ms, |row| row.told_ts);
        let row = row(live, incident, before, &registry.cells, told_ts, minute);
        if before != Some(&row) {
            found.put(row.clone());
            told.insert(id, row);
        }
    }
}

/// Drops what was told; drifts are those of the settled minutes.
fn drain(live: &mut Engine) {
    live.take_ended();
    live.take_drifts();
}

/// Incidents as they were last written, by number, that reach to then or later.
fn told_since(reader: &Reader, from_ms: i64) -> Result<BTreeMap<String, IncidentRow>, StoreError> {
    let span = Span { from_ms, to_ms: i64::MAX };
    let (rows, _) = reader.incidents(&IncidentQuery::new(span, MOST_OPEN))?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
}

fn minutes(from: i64, to: i64) -> Span {
    Span { from_ms: from * MINUTE_MS, to_ms: to * MINUTE_MS }
}
