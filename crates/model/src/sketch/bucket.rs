//! Which bucket a value falls in: the top seven bits of the value, and how far they were
//! shifted. In integers, so every machine agrees.

/// Values below this have a bucket of their own.
const LINEAR: u64 = 128;
/// Buckets to the octave above that.
const PER_OCTAVE: u64 = 64;
/// The bucket of [`u64::MAX`].
pub(super) const LAST: u16 = of(u64::MAX);

/// The bucket of a value; ascends with it.
#[expect(clippy::cast_possible_truncation, reason = "at most 3775, the bucket of u64::MAX")]
pub(super) const fn of(value: u64) -> u16 {
    if value < LINEAR {
        return value as u16;
    }
    let shift = (value.ilog2() - 6) as u64;
    (shift * PER_OCTAVE + (value >> shift)) as u16
}

/// The smallest value of a bucket.
pub(super) fn low(bucket: u16) -> u64 {
    let (top, shift) = parts(bucket);
    top << shift
}

/// The largest value of a bucket.
pub(super) fn high(bucket: u16) -> u64 {
    low(bucket) + width_less_one(bucket)
}

/// What a bucket stands for: its middle, at most 1/128 away from any value in it.
pub(super) fn middle(bucket: u16) -> u64 {
    low(bucket) + width_less_one(bucket) / 2
}

fn width_less_one(bucket: u16) -> u64 {
    (1 << parts(bucket).1) - 1
}

/// The top bits of the bucket's values, and how far they are shifted.
fn parts(bucket: u16) -> (u64, u32) {
    let bucket = u64::from(bucket);
    if bucket < LINEAR {
        return (bucket, 0);
    }
    let shift = bucket / PER_OCTAVE - 1;
    (bucket - shift * PER_OCTAVE, u32::try_from(shift).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_join_without_gap_or_overlap() {
        assert_eq!(low(0), 0);
        for bucket in 0..LAST {
            assert_eq!(high(bucket) + 1, low(bucket + 1), "after bucket {bucket}");
        }
        assert_eq!(high(LAST), u64::MAX);
    }

    #[test]
    fn edges_by_hand() {
        assert_eq!([of(127), of(128), of(129), of(130)], [127, 128, 128, 129]);
        assert_eq!([of(255), of(256), of(259), of(260)], [191, 192, 192, 193]);
        assert_eq!((low(192), middle(192), high(192)), (256, 257, 259));
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket_and_near_its_middle(shift in 0_u32..64, bits: u64) {
            let value = bits >> shift;
            let bucket = of(value);
            prop_assert!(low(bucket) <= value && value <= high(bucket));
            prop_assert!(u128::from(middle(bucket).abs_diff(value)) * 128 <= u128::from(value));
        }
    }
}
