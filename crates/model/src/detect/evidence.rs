//! What a cell's minute says for and against a change, by signal, as logarithms of likelihood ratios:
//! above 0 it speaks for one.

use serde::{Deserialize, Serialize};

use super::observe::{FAILINGS, Failing, Observation, SIGNALS, Signal, bucket, value};
use super::usual::{Expected, Usual};

/// What speaks for a change: each signal's level, each signal's tail, each stage's failures.
pub(super) const KINDS: usize = 2 * SIGNALS + FAILINGS;

/// The index of the evidence on a signal's level.
pub(super) const fn level(signal: usize) -> usize {
    signal
}

/// The index of the evidence on a signal's tail.
pub(super) const fn tail(signal: usize) -> usize {
    SIGNALS + signal
}

/// The index of the evidence on a stage's failures.
pub(super) const fn fails(failing: usize) -> usize {
    2 * SIGNALS + failing
}

/// Whether the evidence is on look-ups.
pub(super) const fn is_look_up(kind: usize) -> bool {
    kind == level(Signal::Dns as usize)
        || kind == tail(Signal::Dns as usize)
        || kind == fails(Failing::Dns as usize)
}

/// A set of kinds of evidence.
pub(super) type Kinds = u32;

pub(super) const fn only(kind: usize) -> Kinds {
    1 << kind
}

/// A deviation counts for no more than this.
const MOST_DEVIATION: f64 = 5.0;
/// The shift that is looked for, in deviations: the likelihood ratio of a shift of 2 against none
/// is 2 v - 2, and a sum of it rises where v is above 1.
const SHIFT: f64 = 2.0;

/// Shares of samples beyond the usual tail, and of failures: at least this usually, at least this
/// when something is wrong, and this many times the usual.
const TAIL_USUAL: f64 = 0.004;
const TAIL_WRONG: f64 = 0.08;
const FAILS_USUAL: f64 = 0.01;
const FAILS_WRONG: f64 = 0.25;
const TIMES: f64 = 5.0;

/// How far beyond the usual the tail begins at least, microseconds: look-up, connect, handshake,
/// first byte. A lost SYN is sent again after a second: connects that are less late have waited in a
/// queue, or for the radio.
pub(super) const TAIL_FLOOR: [f64; 4] = [100e3, 700e3, 120e3, 200e3];

/// What one minute of a cell says.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Evidence {
    /// By kind; absent where nothing was measured, or the usual is not known.
    pub(super) llr: [Option<f32>; KINDS],
    /// How far each signal's level is from the usual, in deviations; above 0 is worse.
    pub(super) v: [Option<f32>; SIGNALS],
    /// Samples, by signal; those beyond the usual tail; failures, by stage.
    pub(super) hits: [u16; KINDS],
}

impl Default for Evidence {
    fn default() -> Self {
        Self { llr: [None; KINDS], v: [None; SIGNALS], hits: [0; KINDS] }
    }
}

/// Of failures, what is usual of a cell.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct FailsUsual {
    pub(super) failed: [u32; FAILINGS],
    pub(super) tried: [u32; FAILINGS],
}

/// Holds a minute against the usual.
pub(super) fn weigh(
    at: i64,
    seen: &Observation,
    usual: &[Usual; SIGNALS],
    fails_usual: &FailsUsual,
) -> Evidence {
    let mut found = Evidence::default();
    for (signal, usual) in usual.iter().enumerate() {
        let samples = seen.samples(signal);
        if samples.is_empty() || !usual.is_known(signal) {
            continue;
        }
        let expected = usual.at(signal, at);
        let rank = expected.mean_rank(samples);
        let up = usual.deviation(rank, samples.len());
        let v = if signal == Signal::Throughput as usize { -up } else { up };
        let v = v.clamp(-MOST_DEVIATION, MOST_DEVIATION);
        found.v[signal] = Some(v as f32);
        found.hits[level(signal)] = small(samples.len());
        found.llr[level(signal)] = Some((SHIFT * v - SHIFT * SHIFT / 2.0) as f32);
        if let Some(floor) = TAIL_FLOOR.get(signal) {
            let from = tail_from(&expected, *floor);
            let beyond = samples.len() - samples.partition_point(|&b| b <= from);
            let share = upper(expected.above(from), expected.samples()).max(TAIL_USUAL);
            let wrong = (TIMES * share).clamp(TAIL_WRONG, 0.9);
            found.hits[tail(signal)] = small(beyond);
            found.llr[tail(signal)] = Some(bernoulli(beyond, samples.len(), share, wrong) as f32);
        }
    }
    for failing in 0..FAILINGS {
        let (tried, failed) = (seen.tried(failing), seen.failed(failing));
        if tried == 0 {
            continue;
        }
        let usual = upper(
            fails_usual.failed[failing] as usize,
            fails_usual.tried[failing].max(200) as usize,
        );
        // A cell that has hardly been measured is not blamed for its first failure.
        let share = usual.clamp(FAILS_USUAL, 0.5);
        let wrong = (TIMES * share).clamp(FAILS_WRONG, 0.9);
        let llr = bernoulli(failed as usize, tried as usize, share, wrong);
        found.hits[fails(failing)] = small(failed as usize);
        found.llr[fails(failing)] = Some(llr as f32);
    }
    found
}

/// Where the tail of a signal begins.
pub(super) fn tail_from(usual: &Expected<'_>, floor: f64) -> u16 {
    let (middle, high) = (usual.quantile(0.5), usual.quantile(0.95));
    let from = middle + (3.0 * (high - middle)).max(floor);
    bucket(from as u64)
}

/// The upper end of a 95 % interval for a share, from hits of a number of tries.
fn upper(hits: usize, tries: usize) -> f64 {
    let k = hits as f64 + 1.0;
    (k + 1.65 * libm::sqrt(k)) / (tries as f64 + 1.0)
}

fn bernoulli(hits: usize, tries: usize, usual: f64, wrong: f64) -> f64 {
    let (hits, misses) = (hits as f64, (tries - hits) as f64);
    hits * libm::log(wrong / usual) + misses * libm::log((1.0 - wrong) / (1.0 - usual))
}

fn small(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

/// A ratio and a difference to the usual median.
pub(super) fn effect(bucket: u16, usual: f64) -> (f64, f64) {
    let now = value(bucket);
    (now / usual, now - usual)
}
