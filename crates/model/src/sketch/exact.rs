//! The small form: the samples themselves, ascending.

use super::{DecodeError, EXACT, read_varint, write_varint};

pub(super) fn insert(values: &mut Vec<u64>, value: u64) {
    let at = values.partition_point(|&v| v <= value);
    values.insert(at, value);
}

pub(super) fn merge(mine: &mut Vec<u64>, theirs: &[u64]) {
    // Two sorted runs: the standard sort finds and joins them.
    mine.extend_from_slice(theirs);
    mine.sort();
}

/// `mine` without one copy of each of `theirs`; `None` where one of them is missing.
pub(super) fn difference(mine: &[u64], theirs: &[u64]) -> Option<Vec<u64>> {
    let mut gone = theirs.iter().peekable();
    let left = mine.iter().filter(|v| gone.next_if_eq(v).is_none()).copied().collect();
    gone.peek().is_none().then_some(left)
}

pub(super) fn encode_into(values: &[u64], out: &mut Vec<u8>) {
    let mut before = 0;
    for &value in values {
        write_varint(out, u128::from(value - before));
        before = value;
    }
}

pub(super) fn decode(len: usize, bytes: &mut &[u8]) -> Result<Vec<u64>, DecodeError> {
    if len > EXACT {
        return Err(DecodeError::Invalid("too many samples for the exact form"));
    }
    let mut values = Vec::with_capacity(len);
    let mut before = 0_u64;
    for _ in 0..len {
        before = before
            .checked_add(read_varint(bytes)?)
            .ok_or(DecodeError::Invalid("a sample is too large"))?;
        values.push(before);
    }
    Ok(values)
}
