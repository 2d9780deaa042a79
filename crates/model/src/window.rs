//! One minute of one client and target: counts, sums by stage, and a distribution of each
//! metric. Everything in it adds up, so windows merge in any order to the same window.

mod facts;
#[cfg(test)]
mod tests;

pub use facts::{Facts, Place};

use crate::event::Event;
use crate::sketch::{DecodeError, Sketch, read_varint, write_varint};
use crate::stage::{ErrorStage, Metric};

/// The first byte of an encoded window.
const VERSION: u8 = 1;
/// The first byte where some events were set aside. Any other window is still written as of
/// version 1, which older programs read.
const VERSION_ASIDE: u8 = 2;

/// The most events a decoded window may claim, so that merging can't fill a counter.
const MAX_COUNT: u64 = 1 << 48;

/// How many events there were and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All events that say something of their target.
    pub total: u64,
    /// Those without an error.
    pub success: u64,
    /// Those that failed, by the stage that failed, in the order of [`ErrorStage::ALL`].
    pub errors: [u64; 7],
    /// Those set aside, since their probe was in trouble itself. They are in no other count.
    pub troubled: u64,
}

impl Counts {
    /// The events that failed at any stage.
    pub fn error(&self) -> u64 {
        self.errors.iter().fold(0, |sum, &n| sum.saturating_add(n))
    }

    /// The events that failed at one stage.
    pub fn of(&self, stage: ErrorStage) -> u64 {
        self.errors[stage as usize]
    }

    /// Adds another window's counts.
    pub fn merge(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        self.success = self.success.saturating_add(other.success);
        for (mine, theirs) in self.errors.iter_mut().zip(other.errors) {
            *mine = mine.saturating_add(theirs);
        }
        self.troubled = self.troubled.saturating_add(other.troubled);
    }
}

/// Microseconds by stage, over the events that count in the total: means add up where
/// percentiles don't. A stage an event did not have adds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageSums {
    /// The events summed: those the total's distribution holds.
    pub n: u64,
    /// Their totals.
    pub total: u128,
    /// Their look-ups.
    pub dns: u128,
    /// Their connects.
    pub tcp: u128,
    /// Their handshakes.
    pub tls: u128,
    /// Their waits for the first byte.
    pub ttfb: u128,
}

impl StageSums {
    /// What of the total is in no stage; negative where the sender's total is less than its
    /// stages.
    pub fn rest(&self) -> i128 {
        let stages = [self.dns, self.tcp, self.tls, self.ttfb];
        stages.into_iter().fold(signed(self.total), |rest, us| rest.saturating_sub(signed(us)))
    }

    /// Adds another window's sums.
    pub fn merge(&mut self, other: &Self) {
        self.n = self.n.saturating_add(other.n);
        for (mine, theirs) in self.parts_mut().into_iter().zip(other.parts()) {
            *mine = mine.saturating_add(theirs);
        }
    }

    fn add(&mut self, event: &Event) {
        let Some(total) = event.sample(Metric::Total) else { return };
        self.n = self.n.saturating_add(1);
        let t = &event.timings;
        let values = [Some(total), t.dns.map(|v| v.0), t.tcp.map(|v| v.0), t.tls.map(|v| v.0)]
            .into_iter()
            .chain([t.ttfb.map(|v| v.0)]);
        for (mine, value) in self.parts_mut().into_iter().zip(values) {
            *mine = mine.saturating_add(u128::from(value.unwrap_or(0)));
        }
    }

    fn parts(&self) -> [u128; 5] {
        [self.total, self.dns, self.tcp, self.tls, self.ttfb]
    }

    fn parts_mut(&mut self) -> [&mut u128; 5] {
        [&mut self.total, &mut self.dns, &mut self.tcp, &mut self.tls, &mut self.ttfb]
    }
}

/// What is kept of the events of one minute (or, merged, of any set of events).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    counts: Counts,
    sums: StageSums,
    /// In the order of [`Metric::ALL`].
    sketches: [Sketch; 6],
    facts: Facts,
}

impl Window {
    /// Counts one event. The caller sees to it that an event is folded once.
    pub fn fold(&mut self, event: &Event) {
        if event.troubled {
            self.counts.troubled = self.counts.troubled.saturating_add(1);
            self.facts.fold_troubled(event);
            return;
        }
        self.counts.total = self.counts.total.saturating_add(1);
        let outcome = match event.failure {
            None => &mut self.counts.success,
            Some(stage) => &mut self.counts.errors[stage as usize],
        };
        *outcome = outcome.saturating_add(1);
        self.sums.add(event);
        self.facts.fold(event);
        for (metric, sketch) in Metric::ALL.into_iter().zip(&mut self.sketches) {
            if let Some(value) = event.sample(metric) {
                sketch.insert(value);
            }
        }
    }

    /// Adds another window: the result is that of folding both windows' events.
    pub fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.sums.merge(&other.sums);
        for (mine, theirs) in self.sketches.iter_mut().zip(&other.sketches) {
            mine.merge(theirs);
        }
        self.facts.merge(&other.facts);
    }

    /// The events by outcome.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The sums by stage.
    pub fn sums(&self) -> &StageSums {
        &self.sums
    }

    /// The distribution of one metric.
    pub fn sketch(&self, metric: Metric) -> &Sketch {
        &self.sketches[metric as usize]
    }

    /// What is kept beside counts and times. It has a byte form of its own.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// With these facts, as they were kept.
    #[must_use]
    pub fn with_facts(mut self, facts: Facts) -> Self {
        self.facts = facts;
        self
    }

    /// The versioned byte form: the same events give the same bytes.
    ///
    /// Version 1, all numbers LEB128 varints: `1`, successes, the seven error counts, the sums
    /// of dns, tcp, tls and ttfb, six sketches. The rest follows from these. Where events were set
    /// aside, version 2: `2`, how many, and the rest as in version 1.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        match self.counts.troubled {
            0 => out.push(VERSION),
            aside => {
                out.push(VERSION_ASIDE);
                write_varint(&mut out, u128::from(aside));
            }
        }
        write_varint(&mut out, u128::from(self.counts.success));
        for n in self.counts.errors {
            write_varint(&mut out, u128::from(n));
        }
        let [_, stages @ ..] = self.sums.parts();
        for sum in stages {
            write_varint(&mut out, sum);
        }
        for sketch in &self.sketches {
            sketch.encode_into(&mut out);
        }
        out
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes end early, go on, are of another version, or were never written by it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut window = Self::default();
        let counts = &mut window.counts;
        let rest = match bytes.split_first() {
            None => return Err(DecodeError::Truncated),
            Some((&VERSION, rest)) => &mut &*rest,
            Some((&VERSION_ASIDE, rest)) => {
                let rest = &mut &*rest;
                counts.troubled = count(rest)?;
                if counts.troubled == 0 {
                    return Err(DecodeError::Invalid("none set aside in version 2"));
                }
                &mut &**rest
            }
            Some((&other, _)) => return Err(DecodeError::UnknownVersion(other)),
        };
        counts.success = count(rest)?;
        for n in &mut counts.errors {
            *n = count(rest)?;
        }
        counts.total = counts.success + counts.error();
        let [_, stages @ ..] = window.sums.parts_mut();
        for sum in stages {
            *sum = read_varint(rest)?;
        }
        for sketch in &mut window.sketches {
            *sketch = Sketch::decode(rest)?;
        }
        let total = window.sketch(Metric::Total);
        (window.sums.n, window.sums.total) = (total.count(), total.sum());
        if rest.is_empty() { Ok(window) } else { Err(DecodeError::Invalid("bytes after the end")) }
    }
}

fn count(bytes: &mut &[u8]) -> Result<u64, DecodeError> {
    let n = read_varint(bytes)?;
    if n > MAX_COUNT { Err(DecodeError::Invalid("too many events")) } else { Ok(n) }
}

fn signed(us: u128) -> i128 {
    i128::try_from(us).unwrap_or(i128::MAX)
}
