//! A cell: its usual, and its last minutes.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::evidence::{Evidence, FailsUsual, Kinds, level, only, tail, weigh};
use super::observe::{FAILINGS, Observation, SIGNALS};
use super::usual::Usual;

/// A minute enters the usual after so many others, if none of them was told to be bad: so the slow
/// beginning of a fault never does.
pub(super) const QUARANTINE: i64 = 5;

/// Minutes that are kept as they were.
pub(super) const RECENT: usize = 15;

/// Minutes of silence after which nothing of what was usual is believed any more.
const FORGOTTEN: i64 = 24 * 60;

/// Minutes whose failures are remembered.
const FAILS: usize = 240;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Minute {
    pub(super) at: i64,
    pub(super) seen: Arc<Observation>,
    pub(super) evidence: Evidence,
    /// Something was told of the cell then.
    pub(super) bad: bool,
    admitted: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Cell {
    pub(super) usual: [Usual; SIGNALS],
    fails: VecDeque<([u16; FAILINGS], u16)>,
    fails_usual: FailsUsual,
    pub(super) recent: VecDeque<Minute>,
    /// The units it belongs to.
    pub(super) units: Vec<usize>,
    /// When a drift of it was noted last.
    pub(super) drifted_at: Option<i64>,
    /// The address it reached last, and when it last was another one than before.
    address: Option<(Arc<str>, i64)>,
}

/// Minutes that a cell has to reach one address alone to count as the address's.
const SETTLED: i64 = 60;

impl Cell {
    /// Holds a minute against the usual and keeps it.
    pub(super) fn see(&mut self, at: i64, seen: Arc<Observation>) {
        if self.recent.back().is_some_and(|last| at - last.at > FORGOTTEN) {
            self.forget();
        }
        let evidence = weigh(at, &seen, &self.usual, &self.fails_usual);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Minute { at, seen, evidence, bad: false, admitted: false });
    }

    /// One of which the times of day alone are known, as they were before a minute.
    pub(super) fn before(&self, at: i64) -> Self {
        Self { usual: self.usual.each_ref().map(|usual| usual.before(at)), ..Self::default() }
    }

    /// Begins anew; how it wanders, and how it goes with the time of day, stays known.
    fn forget(&mut self) {
        self.usual.iter_mut().for_each(Usual::forget);
        self.fails.clear();
        self.fails_usual = FailsUsual::default();
        self.recent.clear();
    }

    /// The one address that it has reached for long, if there is one.
    pub(super) fn settle_address<'a>(
        &mut self,
        reached: impl Iterator<Item = &'a Arc<str>>,
        now: i64,
    ) -> Option<Arc<str>> {
        for address in reached {
            match &mut self.address {
                Some((known, changed)) if known != address => {
                    (*known, *changed) = (Arc::clone(address), now);
                }
                Some(_) => {}
                None => self.address = Some((Arc::clone(address), i64::MIN / 2)),
            }
        }
        let (address, changed) = self.address.as_ref()?;
        (now - changed >= SETTLED).then(|| Arc::clone(address))
    }

    /// The newest minute, if it is this one.
    pub(super) fn now(&self, at: i64) -> Option<&Minute> {
        self.recent.back().filter(|minute| minute.at == at)
    }

    /// The minutes from one on.
    pub(super) fn since(&self, from: i64) -> impl Iterator<Item = &Minute> {
        self.recent.iter().rev().take_while(move |minute| minute.at >= from)
    }

    /// Says that the minute is told to be bad.
    pub(super) fn mark(&mut self, at: i64) {
        if let Some(minute) = self.recent.back_mut().filter(|minute| minute.at == at) {
            minute.bad = true;
        }
    }

    /// Whether there is anything to hold a minute against.
    pub(super) fn is_known(&self) -> bool {
        self.usual.iter().enumerate().any(|(signal, usual)| usual.is_known(signal))
    }

    /// Takes into the usual what has been good for long enough. Where the usual is not known yet, at
    /// once.
    pub(super) fn learn(&mut self, now: i64) {
        let known = self.is_known();
        let last_bad = self.recent.iter().rev().find(|minute| minute.bad).map(|minute| minute.at);
        for i in 0..self.recent.len() {
            let minute = &mut self.recent[i];
            let old_enough = !known || minute.at + QUARANTINE <= now;
            if minute.admitted || !old_enough {
                continue;
            }
            minute.admitted = true;
            if last_bad.is_some_and(|bad| bad >= minute.at) {
                for (signal, usual) in self.usual.iter_mut().enumerate() {
                    usual.wander_on(signal, minute.at, minute.seen.samples(signal));
                }
                continue;
            }
            let fails: [u16; FAILINGS] = std::array::from_fn(|f| minute.seen.failed(f) as u16);
            let total = minute.seen.tried(0) as u16;
            for (signal, usual) in self.usual.iter_mut().enumerate() {
                usual.admit(signal, minute.at, minute.seen.samples(signal));
            }
            self.note_fails(fails, total);
        }
    }

    /// Takes the last minutes for the usual of the signals that have changed for good.
    pub(super) fn accept(&mut self, changed: Kinds) {
        for signal in 0..SIGNALS {
            if changed & (only(level(signal)) | only(tail(signal))) == 0 {
                continue;
            }
            self.usual[signal].forget();
            for minute in &self.recent {
                self.usual[signal].admit(signal, minute.at, minute.seen.samples(signal));
            }
        }
        for minute in &mut self.recent {
            (minute.admitted, minute.bad) = (true, false);
        }
    }

    fn note_fails(&mut self, fails: [u16; FAILINGS], total: u16) {
        let tried = |fails: &[u16; FAILINGS], total: u16, f: usize| {
            u32::from(total).saturating_sub(fails[..f].iter().map(|&n| u32::from(n)).sum())
        };
        let usual = &mut self.fails_usual;
        if self.fails.len() == FAILS
            && let Some((old, total)) = self.fails.pop_front()
        {
            for f in 0..FAILINGS {
                usual.failed[f] -= u32::from(old[f]);
                usual.tried[f] -= tried(&old, total, f);
            }
        }
        for f in 0..FAILINGS {
            usual.failed[f] += u32::from(fails[f]);
            usual.tried[f] += tried(&fails, total, f);
        }
        self.fails.push_back((fails, total));
    }
}
