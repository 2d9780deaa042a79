//! A distribution of whole numbers that merges: exact while it is small, in log-linear
//! buckets above.
//!
//! Up to [`EXACT`] samples are kept as they are. One more, and each sample is kept as the
//! count of its bucket: below 128 every number has its own, above there are 64 to the octave,
//! and a bucket stands for its middle, which is at most 1/128 (0.79 %) off. Which form a
//! sketch has depends on its number of samples alone and every operation is in integers, so
//! the same samples give the same sketch and the same bytes in any order, any batching and
//! any tree of merges. [`Sketch::subtract`] alone can leave a small sketch in buckets.

mod bucket;
mod buckets;
mod bytes;
mod exact;
#[cfg(test)]
mod tests;

use thiserror::Error;

use buckets::Buckets;

pub(crate) use bytes::{read_varint, write_varint};

/// The most samples a sketch keeps as they are.
pub const EXACT: usize = 64;

/// The first byte of an encoded sketch.
const VERSION: u8 = 1;

/// A quantile in ten-thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantile(u16);

impl Quantile {
    /// The median.
    pub const P50: Self = Self(5_000);
    /// The 95th percentile.
    pub const P95: Self = Self(9_500);
    /// The 99th percentile.
    pub const P99: Self = Self(9_900);
    /// The 99.9th percentile.
    pub const P999: Self = Self(9_990);

    /// From ten-thousandths: 9,900 is the 99th percentile, 0 the minimum, 10,000 the maximum.
    /// `None` above that.
    pub const fn new(per_ten_thousand: u16) -> Option<Self> {
        if per_ten_thousand <= 10_000 { Some(Self(per_ten_thousand)) } else { None }
    }

    /// The nearest rank among `count` samples, counted from 1: `ceil(count * q)`, at least 1.
    fn rank(self, count: u64) -> u64 {
        let rank = (u128::from(count) * u128::from(self.0)).div_ceil(10_000);
        u64::try_from(rank).expect("no more than count, as q is at most 1").max(1)
    }
}

/// A mergeable distribution of whole numbers: microseconds, or bits a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Ascending, at most [`EXACT`].
    Exact(Vec<u64>),
    /// Never empty.
    Buckets(Buckets),
}

/// What is to be taken out of a sketch is not in it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("subtract a sketch that is not contained in this one")]
pub struct SubtractError;

/// Bytes that are no sketch or window of ours.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// They end too early.
    #[error("decode: the bytes end too early")]
    Truncated,
    /// They were written by another version.
    #[error("decode: format version {0} is not known")]
    UnknownVersion(u8),
    /// No encoder wrote them.
    #[error("decode: {0}")]
    Invalid(&'static str),
}

impl Default for Sketch {
    fn default() -> Self {
        Self(Form::Exact(Vec::new()))
    }
}

impl Sketch {
    /// A sketch of no samples.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one sample.
    pub fn insert(&mut self, value: u64) {
        match &mut self.0 {
            Form::Exact(values) if values.len() < EXACT => exact::insert(values, value),
            Form::Exact(_) => self.bucketed().insert(value),
            Form::Buckets(buckets) => buckets.insert(value),
        }
    }

    /// Adds every sample of another sketch.
    pub fn merge(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (Form::Exact(mine), Form::Exact(theirs)) if mine.len() + theirs.len() <= EXACT => {
                exact::merge(mine, theirs);
            }
            (_, Form::Exact(theirs)) => {
                let mine = self.bucketed();
                theirs.iter().for_each(|&v| mine.insert(v));
            }
            (_, Form::Buckets(theirs)) => self.bucketed().merge(theirs),
        }
    }

    /// Takes out the samples of another sketch, undoing its merge. Where both are exact, so is
    /// the result. Else it goes bucket by bucket: counts and sum are right, but what is left
    /// stays in buckets however few the samples are.
    ///
    /// # Errors
    /// When the other is not contained in this one, which then stays as it was.
    pub fn subtract(&mut self, other: &Self) -> Result<(), SubtractError> {
        let left = match (&self.0, &other.0) {
            (Form::Exact(mine), Form::Exact(theirs)) => {
                Form::Exact(exact::difference(mine, theirs).ok_or(SubtractError)?)
            }
            (_, Form::Exact(theirs)) if theirs.is_empty() => return Ok(()),
            (mine, theirs) => {
                match mine.to_buckets().difference(&theirs.to_buckets()).ok_or(SubtractError)? {
                    left if left.count() == 0 => Form::Exact(Vec::new()),
                    left => Form::Buckets(left),
                }
            }
        };
        self.0 = left;
        Ok(())
    }

    /// The number of samples.
    pub fn count(&self) -> u64 {
        match &self.0 {
            Form::Exact(values) => values.len() as u64,
            Form::Buckets(buckets) => buckets.count(),
        }
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The exact sum of all samples.
    pub fn sum(&self) -> u128 {
        match &self.0 {
            Form::Exact(values) => values.iter().map(|&v| u128::from(v)).sum(),
            Form::Buckets(buckets) => buckets.sum(),
        }
    }

    /// The smallest sample, as precise as [`Self::quantile`].
    pub fn min(&self) -> Option<u64> {
        self.quantile(Quantile(0))
    }

    /// The largest sample, as precise as [`Self::quantile`].
    pub fn max(&self) -> Option<u64> {
        self.quantile(Quantile(10_000))
    }

    /// The arithmetic mean.
    #[expect(clippy::cast_precision_loss, reason = "a mean is read by people")]
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.sum() as f64 / self.count() as f64)
    }

    /// A quantile by nearest rank: the smallest sample that at least that share of all
    /// samples does not exceed. Exact up to [`EXACT`] samples, within 0.79 % above.
    pub fn quantile(&self, q: Quantile) -> Option<u64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        match &self.0 {
            Form::Exact(values) => {
                usize::try_from(q.rank(count) - 1).ok().and_then(|at| values.get(at).copied())
            }
            Form::Buckets(buckets) => buckets.at_rank(q.rank(count)),
        }
    }

    /// How many samples do not exceed `value`. In buckets, all that share its bucket are
    /// among them.
    pub fn rank(&self, value: u64) -> u64 {
        match &self.0 {
            Form::Exact(values) => values.partition_point(|&v| v <= value) as u64,
            Form::Buckets(buckets) => buckets.rank(value),
        }
    }

    /// The samples, ascending, each with how often it is there; in buckets, their middles.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (u64, u64)> + '_> {
        match &self.0 {
            Form::Exact(values) => Box::new(values.iter().map(|&value| (value, 1))),
            Form::Buckets(buckets) => Box::new(buckets.iter()),
        }
    }

    /// The samples by bucket, ascending, each bucket with its count: in this form two sketches can be
    /// ranked against each other, whichever form they are in.
    pub(crate) fn by_bucket(&self) -> Vec<(u16, u64)> {
        self.0.to_buckets().into_counts()
    }

    /// Appends the versioned byte form: the same samples give the same bytes.
    ///
    /// Version 1, all numbers LEB128 varints: `1`, then either `2 * n` and n ascending values
    /// as differences, or `2 * n + 1`, the sum, and for each of n ascending buckets the gap to
    /// the one before and its count less one.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        match &self.0 {
            Form::Exact(values) => {
                write_varint(out, 2 * values.len() as u128);
                exact::encode_into(values, out);
            }
            Form::Buckets(buckets) => {
                write_varint(out, 2 * buckets.len() as u128 + 1);
                buckets.encode_into(out);
            }
        }
    }

    /// Reads one sketch and moves past it. Takes exactly what [`Self::encode_into`] writes,
    /// and holds no more memory than a few times the bytes it was given.
    ///
    /// # Errors
    /// When the bytes end early, are of another version, or were never written by it.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        match bytes::read_byte(bytes)? {
            VERSION => {}
            other => return Err(DecodeError::UnknownVersion(other)),
        }
        let header: u64 = read_varint(bytes)?;
        let len = usize::try_from(header / 2).unwrap_or(usize::MAX);
        Ok(Self(if header.is_multiple_of(2) {
            Form::Exact(exact::decode(len, bytes)?)
        } else {
            Form::Buckets(Buckets::decode(len, bytes)?)
        }))
    }

    /// Turns the sketch to buckets where it is not yet.
    fn bucketed(&mut self) -> &mut Buckets {
        if let Form::Exact(_) = self.0 {
            self.0 = Form::Buckets(self.0.to_buckets());
        }
        match &mut self.0 {
            Form::Buckets(buckets) => buckets,
            Form::Exact(_) => unreachable!("it was turned to buckets just above"),
        }
    }
}

impl Form {
    fn to_buckets(&self) -> Buckets {
        match self {
            Self::Exact(values) => Buckets::of(values),
            Self::Buckets(buckets) => buckets.clone(),
        }
    }
}
