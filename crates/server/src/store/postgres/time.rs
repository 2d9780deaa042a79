//! Moments as the database has them: the program counts milliseconds since the Unix epoch.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// Milliseconds since the Unix epoch, as a `timestamptz`. What lies outside of its range is
/// `infinity`, so that a span without an end has none there either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) i64);

/// 2000-01-01, from where PostgreSQL counts, in microseconds since the Unix epoch.
const EPOCH_US: i64 = 946_684_800_000_000;
/// The first microsecond it can keep, and the first it can't again, counted from there.
const RANGE_US: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

impl Time {
    fn to_us(self) -> i64 {
        // Wider than either, so that what is out of range is not brought back into it.
        let us = i128::from(self.0) * 1_000 - i128::from(EPOCH_US);
        match i64::try_from(us) {
            Ok(us) if RANGE_US.contains(&us) => us,
            _ if us < 0 => i64::MIN,
            _ => i64::MAX,
        }
    }

    fn from_us(us: i64) -> Self {
        match us {
            i64::MIN | i64::MAX => Self(us),
            us => Self(us.saturating_add(EPOCH_US).div_euclid(1_000)),
        }
    }
}

impl ToSql for Time {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.to_us());
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl FromSql<'_> for Time {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::from_us(i64::from_be_bytes(raw.try_into()?)))
    }

    accepts!(TIMESTAMPTZ);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_back_and_what_has_no_end_has_none_there() {
        for ms in [0, 1, -1, 946_684_800_000, 1_699_999_980_000, 253_402_300_799_999] {
            assert_eq!(Time::from_us(Time(ms).to_us()), Time(ms));
        }
        assert_eq!(Time(0).to_us(), -EPOCH_US);
        assert_eq!(Time(i64::MAX).to_us(), i64::MAX);
        assert_eq!(Time(i64::MIN).to_us(), i64::MIN);
        assert_eq!(Time::from_us(i64::MAX), Time(i64::MAX));
    }
}
