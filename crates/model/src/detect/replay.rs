//! A recording from its first event to its last, as it would have been judged while it was made.
//!
//! Time is the events' own: when they arrived, or, where that is not told, when most clients' clocks
//! have passed. A minute is judged a little after its end. Events that come later reopen it: every few
//! minutes the detector goes back to how it stood before the oldest minute that changed, and judges
//! from there again. What then differs is a revision, and each window says when its verdict was first
//! given.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::drift::Drift;
use super::engine::{CellId, Engine, Place};
use super::incident::Incident;
use super::observe::{Failing, Observation};
use super::payload::Payload;
use super::scope::Scope;
use super::sighting::Sighting;
use crate::diagnosis::Label;
use crate::units::MINUTE_MS;

/// After a minute's end, for events on their way.
const GRACE_MS: i64 = 15_000;
/// Minutes that late events reopen.
const REOPENED: usize = 30;
/// How often the past is judged again where it changed.
const AGAIN_EVERY: i64 = 5;
/// Addresses of a target that are told apart.
const MOST_ADDRESSES: usize = 16;
/// Minutes without any event that are gone through one by one; a longer silence changes nothing more.
const SILENCE: i64 = 60;

/// A clock that is so far ahead of where it was leaps.
const LEAP_MS: i64 = 60 * MINUTE_MS;

/// Who is where: the site, provider and resolver of clients, and the addresses of targets. What it
/// does not say the events may.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// By client.
    pub clients: HashMap<Arc<str>, Place>,
    /// Addresses by target.
    pub addresses: HashMap<Arc<str>, Vec<Arc<str>>>,
    /// Names of resolvers by address.
    pub resolvers: HashMap<Arc<str>, Arc<str>>,
}

impl Topology {
    /// Where a cell is that says of itself that it is there: site and provider by the topology first. The
    /// resolver that was asked is truer than the one that should be, where it is known.
    pub fn place(&self, told: Place) -> Place {
        let known = self.clients.get(&told.client);
        let asked = told.resolver.as_ref().and_then(|told| self.resolvers.get(told));
        Place {
            site: known.and_then(|place| place.site.clone()).or(told.site),
            isp: known.and_then(|place| place.isp.clone()).or(told.isp),
            resolver: (asked.cloned())
                .or_else(|| known.and_then(|place| place.resolver.clone()))
                .or(told.resolver),
            ..told
        }
    }
}

/// What is said of a window, when no event can change it any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The cell.
    pub cell: CellId,
    /// Its minute, since the Unix epoch.
    pub minute: i64,
    /// Measurements that say something of the target, and those that failed.
    pub total: u32,
    /// Of those, how many failed.
    pub failed: u32,
    /// Measurements set aside, since the probe was in trouble.
    pub troubled: u32,
    /// What is wrong.
    pub label: Option<Label>,
    /// The incident it belongs to.
    pub incident: Option<u64>,
    /// When this was first said, milliseconds since the Unix epoch.
    pub given_ms: i64,
    /// How often something else was said before.
    pub revisions: u32,
}

/// What became of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that were counted.
    pub events: u64,
    /// Those that had come before.
    pub duplicates: u64,
    /// Those that came after their minute was counted and judged again.
    pub late: u64,
    /// Those that came too late for that.
    pub too_late: u64,
}

/// A recording.
#[derive(Debug, Default)]
pub struct Replay {
    topology: Topology,
    ids: HashMap<(Arc<str>, Arc<str>), usize>,
    keys: Vec<(Arc<str>, Arc<str>)>,
    addresses: HashMap<Arc<str>, Vec<Arc<str>>>,
    /// The latest time of each client, where arrival is not told.
    clocks: HashMap<Arc<str>, i64>,
    /// Events with which their clients' clocks leapt, until others say so too.
    held: HashMap<Arc<str>, Sighting>,
    /// As it stands, and as it stood before the oldest minute that can still change.
    live: Engine,
    settled: Engine,
    /// The minutes after that, ascending and without a gap.
    open: VecDeque<Minute>,
    first: i64,
    /// The next minute that is to be judged.
    next: i64,
    now_ms: i64,
    dirty: bool,
    ended: BTreeMap<u64, Incident>,
    /// Of each incident its numbers, as the last minute that showed it had them.
    numbers: HashMap<u64, Payload>,
    /// Of each incident the scopes that were told, each with when that was.
    given: HashMap<u64, Vec<(i64, Scope)>>,
    drifts: Vec<Drift>,
    /// What became of the events so far.
    pub tally: Tally,
}

#[derive(Debug, Default)]
struct Minute {
    cells: BTreeMap<usize, Seen>,
    ids: HashSet<(usize, u128)>,
    said: HashMap<usize, Word>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    observation: Observation,
    place: Place,
    troubled: u32,
    total: u32,
    failed: u32,
    addresses: Vec<(Arc<str>, Observation)>,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    label: Option<Label>,
    incident: Option<u64>,
    given_ms: i64,
    revisions: u32,
}

impl Replay {
    /// Begins one.
    pub fn new(topology: Topology) -> Self {
        Self { addresses: topology.addresses.clone(), topology, ..Self::default() }
    }

    /// Takes the next event, and gives the windows that can't change any more.
    pub fn take(&mut self, event: Sighting) -> Vec<Judged> {
        let held = self.held.remove(&event.client);
        if !self.leaps(&event) {
            // The clock came back: what it said between was wrong.
            self.tally.too_late += u64::from(held.is_some());
            return self.take_now(event);
        }
        match held {
            Some(first) if event.ts_ms.abs_diff(first.ts_ms) <= LEAP_MS.unsigned_abs() => {
                let mut judged = self.take_now(first);
                judged.extend(self.take_now(event));
                judged
            }
            other => {
                self.tally.too_late += u64::from(other.is_some());
                self.held.insert(Arc::clone(&event.client), event);
                Vec::new()
            }
        }
    }

    /// Whether its client's clock leaps far ahead with it: one event is not believed in that.
    fn leaps(&self, event: &Sighting) -> bool {
        let known = self.clocks.get(&event.client);
        event.recv_ms.is_none() && known.is_some_and(|&ms| event.ts_ms > ms.saturating_add(LEAP_MS))
    }

    fn take_now(&mut self, event: Sighting) -> Vec<Judged> {
        let minute = event.ts_ms.div_euclid(MINUTE_MS);
        if self.keys.is_empty() {
            (self.first, self.next) = (minute, minute);
        }
        let at = self.clock(&event);
        let judged = self.go_to(at);
        self.count(minute, event);
        judged
    }

    /// Judges what is left. Gives the last windows; incidents are told by [`Self::incidents`].
    pub fn finish(&mut self) -> Vec<Judged> {
        let mut judged = Vec::new();
        let mut held: Vec<Sighting> = std::mem::take(&mut self.held).into_values().collect();
        held.sort_by_key(|event| (event.ts_ms, event.id));
        for event in held {
            judged.extend(self.take_now(event));
        }
        let last = self.first + self.open.len() as i64;
        judged.extend(self.go_to(last * MINUTE_MS + GRACE_MS));
        self.again();
        while !self.open.is_empty() {
            judged.extend(self.settle());
        }
        judged
    }

    /// The cell's client and target.
    pub fn key(&self, cell: CellId) -> (&str, &str) {
        let (client, target) = &self.keys[cell.0];
        (client, target)
    }

    /// All incidents in the order of their opening, as the settled minutes have them, each with when it
    /// was first told, milliseconds since the Unix epoch.
    pub fn incidents(&self) -> impl Iterator<Item = (&Incident, i64)> {
        let mut all: Vec<&Incident> = self.ended.values().chain(self.settled.incidents()).collect();
        all.sort_by_key(|incident| (incident.opened_at, incident.id));
        all.into_iter().map(|incident| {
            let end_ms = (incident.opened_at + 1) * MINUTE_MS + GRACE_MS;
            let first = self.told_scopes(incident.id).first();
            (incident, first.map_or(end_ms, |(given_ms, _)| *given_ms))
        })
    }

    /// The numbers that an incident rests on.
    pub fn numbers(&self, incident: &Incident) -> Payload {
        self.numbers.get(&incident.id).cloned().unwrap_or_else(|| Payload::of(incident))
    }

    /// The last minute that was settled.
    pub fn last_minute(&self) -> i64 {
        self.first - 1
    }

    /// What was seen to grow slowly, in the order of time.
    pub fn drifts(&self) -> &[Drift] {
        &self.drifts
    }

    /// The scopes that were told of an incident, each with when that was first, milliseconds since the
    /// Unix epoch.
    pub fn told_scopes(&self, incident: u64) -> &[(i64, Scope)] {
        self.given.get(&incident).map_or(&[], Vec::as_slice)
    }

    /// What time it is when the event comes.
    fn clock(&mut self, event: &Sighting) -> i64 {
        if let Some(recv_ms) = event.recv_ms {
            return recv_ms.max(self.now_ms);
        }
        let own = self.clocks.entry(Arc::clone(&event.client)).or_insert(event.ts_ms);
        *own = event.ts_ms.max(*own);
        // Only what lies in a minute to be judged can move the clock.
        if event.ts_ms < (self.next + 1) * MINUTE_MS + GRACE_MS {
            return self.now_ms;
        }
        // One clock that is wrong does not carry those that are awake with it.
        let awake = self.now_ms - SILENCE * MINUTE_MS;
        let mut clocks: Vec<i64> = self.clocks.values().copied().filter(|&ms| ms > awake).collect();
        clocks.sort_unstable();
        clocks[(clocks.len() - 1) / 2].max(self.now_ms)
    }

    fn count(&mut self, minute: i64, event: Sighting) {
        let too_far = self.now_ms.div_euclid(MINUTE_MS) + 2 * REOPENED as i64;
        if minute < self.first || (self.now_ms > 0 && minute > too_far) {
            self.tally.too_late += 1;
            return;
        }
        let Ok(at) = usize::try_from(minute - self.first) else { return };
        if at >= self.open.len() {
            self.open.resize_with(at + 1, Minute::default);
        }
        let key = (Arc::clone(&event.client), Arc::clone(&event.target));
        let keys = &mut self.keys;
        let cell = *self.ids.entry(key).or_insert_with_key(|key| {
            keys.push(key.clone());
            keys.len() - 1
        });
        let open = &mut self.open[at];
        if !open.ids.insert((cell, event.id)) {
            self.tally.duplicates += 1;
            return;
        }
        self.tally.events += 1;
        let late = minute < self.next;
        if late {
            self.tally.late += 1;
            self.dirty = true;
        }
        let told = &event.beside;
        let place = self.topology.place(Place {
            client: Arc::clone(&event.client),
            target: Arc::clone(&event.target),
            site: told.site.clone(),
            isp: told.isp.clone(),
            resolver: told.resolver.clone(),
            address: None,
        });
        if let Some(address) = &event.beside.address {
            let known = self.addresses.entry(Arc::clone(&event.target)).or_default();
            if !known.contains(address) && known.len() < MOST_ADDRESSES {
                known.push(Arc::clone(address));
            }
        }
        let seen = open.cells.entry(cell).or_default();
        seen.place = place;
        if event.troubled {
            seen.troubled += 1;
            if event.beside.silent {
                seen.observation.count(Some(Failing::Dns));
            }
            return;
        }
        seen.total += 1;
        seen.failed += u32::from(event.failed.is_some());
        let add = |seen: &mut Observation| {
            seen.count(event.failed);
            for &(signal, value) in &event.samples {
                seen.add(signal, value);
            }
        };
        add(&mut seen.observation);
        if let Some(held_up) = event.held_up {
            seen.observation.held_up(held_up);
        }
        if let Some(address) = event.beside.address {
            let known = seen.addresses.iter().position(|(known, _)| *known == address);
            let at = known.unwrap_or_else(|| {
                seen.addresses.push((address, Observation::default()));
                seen.addresses.len() - 1
            });
            add(&mut seen.addresses[at].1);
        }
    }

    /// Judges the minutes that have ended by then.
    fn go_to(&mut self, now_ms: i64) -> Vec<Judged> {
        let mut judged = Vec::new();
        while (self.next + 1) * MINUTE_MS + GRACE_MS <= now_ms {
            let at = usize::try_from(self.next - self.first).unwrap_or(0);
            if at >= self.open.len() {
                // Nothing more is known of; a long silence is passed over at once.
                let ahead = now_ms.div_euclid(MINUTE_MS) - self.next;
                if ahead > SILENCE {
                    self.again();
                    while !self.open.is_empty() {
                        judged.extend(self.settle());
                    }
                    self.first = self.next + ahead - SILENCE;
                    self.next = self.first;
                }
                self.open.push_back(Minute::default());
                continue;
            }
            self.now_ms = (self.next + 1) * MINUTE_MS + GRACE_MS;
            let said = judge(&mut self.live, &self.open[at], &self.addresses, self.next);
            self.note(at, said);
            self.next += 1;
            if self.dirty && self.next % AGAIN_EVERY == 0 {
                self.again();
            }
            if self.open.len() > REOPENED && self.next - self.first > REOPENED as i64 {
                judged.extend(self.settle());
            }
        }
        self.now_ms = self.now_ms.max(now_ms);
        judged
    }

    /// Judges the open minutes again, as they are by now.
    fn again(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        self.live = self.settled.clone();
        for minute in self.first..self.next {
            let at = usize::try_from(minute - self.first).unwrap_or(0);
            let said = judge(&mut self.live, &self.open[at], &self.addresses, minute);
            self.note(at, said);
        }
    }

    fn note(&mut self, at: usize, said: Vec<super::engine::Said>) {
        let now_ms = self.now_ms;
        for said in said {
            let words = &mut self.open[at].said;
            // Of a recording faults are told.
            let label = said.label.filter(|label| label.is_fault());
            let new = Word { label, incident: said.incident, given_ms: now_ms, revisions: 0 };
            let word = words.entry(said.cell.0).or_insert(new);
            if word.label != label {
                *word = Word { revisions: word.revisions + 1, ..new };
            }
            word.incident = said.incident;
        }
        for incident in self.live.incidents() {
            let told = self.given.entry(incident.id).or_default();
            if told.last().is_none_or(|(_, scope)| *scope != incident.scope) {
                told.push((now_ms, incident.scope.clone()));
            }
        }
        self.live.take_ended();
        self.live.take_drifts();
    }

    /// Takes the oldest open minute as it is.
    fn settle(&mut self) -> Vec<Judged> {
        let Some(minute) = self.open.pop_front() else { return Vec::new() };
        let at = self.first;
        self.first += 1;
        self.next = self.next.max(self.first);
        judge(&mut self.settled, &minute, &self.addresses, at);
        self.drifts.extend(self.settled.take_drifts());
        for incident in self.settled.incidents() {
            let numbers = match self.numbers.get(&incident.id) {
                Some(last) if incident.last_bad < at => self.settled.payload_after(incident, last),
                _ => self.settled.payload(incident),
            };
            self.numbers.insert(incident.id, numbers);
        }
        for incident in self.settled.take_ended() {
            self.ended.insert(incident.id, incident);
        }
        let end_ms = (at + 1) * MINUTE_MS + GRACE_MS;
        let unsaid = Word { label: None, incident: None, given_ms: end_ms, revisions: 0 };
        let word = |cell: usize, seen: &Seen| {
            let mut word = minute.said.get(&cell).copied().unwrap_or(unsaid);
            if seen.total == 0 && seen.troubled > 0 {
                word.label.get_or_insert(Label::ProbeBound);
            }
            word
        };
        minute
            .cells
            .iter()
            .map(|(&cell, seen)| {
                let word = word(cell, seen);
                Judged {
                    cell: CellId(cell),
                    minute: at,
                    total: seen.total,
                    failed: seen.failed,
                    troubled: seen.troubled,
                    label: word.label,
                    incident: word.incident,
                    given_ms: word.given_ms,
                    revisions: word.revisions,
                }
            })
            .collect()
    }
}

fn judge(
    engine: &mut Engine,
    minute: &Minute,
    addresses: &HashMap<Arc<str>, Vec<Arc<str>>>,
    now: i64,
) -> Vec<super::engine::Said> {
    let mut seen = Vec::with_capacity(minute.cells.len());
    for (&cell, was) in &minute.cells {
        let mut place = was.place.clone();
        let mut observation = was.observation.clone();
        // One address is the target itself.
        if addresses.get(&place.target).is_some_and(|known| known.len() > 1) {
            let reached = was.addresses.iter().map(|(address, _)| address);
            place.address = engine.settled_address(CellId(cell), reached, now);
            observation.set_addresses(was.addresses.clone());
        }
        engine.place(CellId(cell), &place);
        observation.thin();
        seen.push((CellId(cell), Arc::new(observation)));
    }
    engine.advance(now, seen)
}
