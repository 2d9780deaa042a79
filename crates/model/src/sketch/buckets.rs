//! The large form: a count for each bucket that holds a sample, and the exact sum.

use super::{DecodeError, bucket, read_varint, write_varint};

/// The most samples a decoded sketch may claim. Far above anything measured, and low enough
/// that tens of thousands of such sketches merge before a counter is full.
const MAX_COUNT: u64 = 1 << 48;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Buckets {
    /// Ascending by bucket; no count is 0.
    counts: Vec<(u16, u64)>,
    count: u64,
    sum: u128,
}

impl Buckets {
    /// Of ascending values.
    pub(super) fn of(values: &[u64]) -> Self {
        let mut buckets = Self::default();
        for &value in values {
            buckets.count += 1;
            buckets.sum += u128::from(value);
            match buckets.counts.last_mut() {
                Some((last, n)) if *last == bucket::of(value) => *n += 1,
                _ => buckets.counts.push((bucket::of(value), 1)),
            }
        }
        buckets
    }

    /// The middle and the count of each bucket, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.counts.iter().map(|&(bucket, count)| (bucket::middle(bucket), count))
    }

    /// Ascending by bucket.
    pub(super) fn into_counts(self) -> Vec<(u16, u64)> {
        self.counts
    }

    pub(super) fn insert(&mut self, value: u64) {
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(u128::from(value));
        let bucket = bucket::of(value);
        match self.counts.binary_search_by_key(&bucket, |&(b, _)| b) {
            Ok(at) => self.counts[at].1 = self.counts[at].1.saturating_add(1),
            Err(at) => self.counts.insert(at, (bucket, 1)),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        let mut merged = Vec::with_capacity(self.counts.len().max(other.counts.len()));
        let mut mine = self.counts.iter().copied().peekable();
        for &(bucket, n) in &other.counts {
            while let Some(earlier) = mine.next_if(|&(b, _)| b < bucket) {
                merged.push(earlier);
            }
            let same = mine.next_if(|&(b, _)| b == bucket).map_or(0, |(_, n)| n);
            merged.push((bucket, n.saturating_add(same)));
        }
        merged.extend(mine);
        self.counts = merged;
    }

    /// These samples without the other's; `None` where it holds what this one does not.
    pub(super) fn difference(&self, other: &Self) -> Option<Self> {
        let mut theirs = other.counts.iter().copied().peekable();
        let mut counts = Vec::with_capacity(self.counts.len());
        for &(bucket, n) in &self.counts {
            let gone = theirs.next_if(|&(b, _)| b == bucket).map_or(0, |(_, n)| n);
            match n.checked_sub(gone)? {
                0 => {}
                left => counts.push((bucket, left)),
            }
        }
        let left = Self {
            counts,
            count: self.count.checked_sub(other.count)?,
            sum: self.sum.checked_sub(other.sum)?,
        };
        (theirs.peek().is_none() && left.sum_is_possible()).then_some(left)
    }

    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn sum(&self) -> u128 {
        self.sum
    }

    /// The sample of a rank counted from 1; the largest where there are fewer.
    pub(super) fn at_rank(&self, rank: u64) -> Option<u64> {
        let mut seen = 0_u64;
        let holds_it = |&&(_, n): &&(u16, u64)| {
            seen = seen.saturating_add(n);
            seen >= rank
        };
        let found = self.counts.iter().find(holds_it).or(self.counts.last());
        found.map(|&(b, _)| bucket::middle(b))
    }

    pub(super) fn rank(&self, value: u64) -> u64 {
        let last = bucket::of(value);
        let up_to = self.counts.iter().take_while(|&&(b, _)| b <= last);
        up_to.fold(0, |rank: u64, &(_, n)| rank.saturating_add(n))
    }

    pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
        write_varint(out, self.sum);
        let mut next = 0;
        for &(bucket, n) in &self.counts {
            write_varint(out, u128::from(bucket - next));
            write_varint(out, u128::from(n - 1));
            next = bucket + 1;
        }
    }

    pub(super) fn decode(len: usize, bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        if len == 0 || len > usize::from(bucket::LAST) + 1 {
            return Err(DecodeError::Invalid("an impossible number of buckets"));
        }
        let sum = read_varint(bytes)?;
        // Two bytes a bucket at least: a short text can't ask for much.
        let mut counts = Vec::with_capacity(len.min(bytes.len() / 2));
        let (mut next, mut count) = (0_u16, 0_u64);
        for _ in 0..len {
            let bucket = next
                .checked_add(read_varint(bytes)?)
                .filter(|&b| b <= bucket::LAST)
                .ok_or(DecodeError::Invalid("a bucket is out of range"))?;
            let n = read_varint::<u64>(bytes)?.saturating_add(1);
            count = count.saturating_add(n);
            counts.push((bucket, n));
            next = bucket + 1;
        }
        if count > MAX_COUNT {
            return Err(DecodeError::Invalid("too many samples"));
        }
        let decoded = Self { counts, count, sum };
        if decoded.sum_is_possible() {
            Ok(decoded)
        } else {
            Err(DecodeError::Invalid("the sum does not fit the buckets"))
        }
    }

    /// Whether samples in these buckets can have this sum.
    fn sum_is_possible(&self) -> bool {
        let total = |edge: fn(u16) -> u64| -> u128 {
            self.counts.iter().fold(0, |sum: u128, &(b, n)| {
                sum.saturating_add(u128::from(edge(b)) * u128::from(n))
            })
        };
        (total(bucket::low)..=total(bucket::high)).contains(&self.sum)
    }
}
