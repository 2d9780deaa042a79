//! Varints: seven bits a byte, the lowest first, the top bit set on all but the last.

use super::DecodeError;

/// Appends a number.
#[expect(clippy::cast_possible_truncation, reason = "masked to seven bits")]
pub(crate) fn write_varint(out: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a number and moves past it. Only its shortest form is taken, so that a number has
/// one spelling.
pub(crate) fn read_varint<T: TryFrom<u128>>(bytes: &mut &[u8]) -> Result<T, DecodeError> {
    const TOO_LARGE: DecodeError = DecodeError::Invalid("a number is too large");
    let mut low = 0_u64;
    // Nearly all numbers end within nine bytes, which 63 bits hold: 128 are slower to shift.
    for shift in (0..63).step_by(7) {
        let byte = read_byte(bytes)?;
        low |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            if byte == 0 && shift > 0 {
                return Err(NOT_SHORTEST);
            }
            return T::try_from(low.into()).map_err(|_| TOO_LARGE);
        }
    }
    let mut value = u128::from(low);
    for shift in (63..128).step_by(7) {
        let byte = read_byte(bytes)?;
        let bits = u128::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return Err(TOO_LARGE);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return if byte == 0 {
                Err(NOT_SHORTEST)
            } else {
                T::try_from(value).map_err(|_| TOO_LARGE)
            };
        }
    }
    Err(TOO_LARGE)
}

const NOT_SHORTEST: DecodeError = DecodeError::Invalid("a number is not in its shortest form");

#[inline]
pub(super) fn read_byte(bytes: &mut &[u8]) -> Result<u8, DecodeError> {
    let (&first, rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
    *bytes = rest;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_at_every_length() {
        for bits in 0..=128 {
            let value = u128::MAX.checked_shr(128 - bits).unwrap_or(0);
            let mut out = Vec::new();
            write_varint(&mut out, value);
            let mut rest = out.as_slice();
            assert_eq!(read_varint(&mut rest), Ok(value));
            assert!(rest.is_empty());
            assert_eq!(
                read_varint::<u128>(&mut &out[..out.len() - 1]),
                Err(DecodeError::Truncated)
            );
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in [&[0x80, 0][..], &[0xff; 19], &[0xff; 40]] {
            assert!(matches!(read_varint::<u128>(&mut &*bad), Err(DecodeError::Invalid(_))));
        }
        assert!(matches!(read_varint::<u64>(&mut &[0xff; 10][..]), Err(DecodeError::Truncated)));
        let over = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert!(matches!(read_varint::<u64>(&mut &over[..]), Err(DecodeError::Invalid(_))));
    }
}
