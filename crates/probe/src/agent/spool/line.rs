//! A line of a segment: eight hexadecimal digits of CRC-32, a space, the event as JSON. JSON of one
//! event holds no line end, so whatever becomes of a line, the next one is found.

use crate::agent::queue::Line;

const DIGITS: usize = 8;

/// The line as it is written, with its end.
pub(super) fn sealed(line: &Line) -> String {
    format!("{:08x} {}\n", crc32fast::hash(line.0.as_bytes()), line.0)
}

/// The event of a line, if all of it is there as it was written.
pub(super) fn open(bytes: &[u8]) -> Option<Line> {
    let text = std::str::from_utf8(bytes.strip_suffix(b"\n")?).ok()?;
    let (digits, json) = (text.get(..DIGITS)?, text.get(DIGITS..)?.strip_prefix(' ')?);
    let sum = u32::from_str_radix(digits, 16).ok()?;
    (sum == crc32fast::hash(json.as_bytes())).then(|| Line(json.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_of_a_line_is_found() {
        let line = Line(r#"{"ts_ms":1,"target":"https://ü.example/"}"#.into());
        let sealed = sealed(&line).into_bytes();
        assert_eq!(open(&sealed), Some(line));
        for cut in 0..sealed.len() {
            assert_eq!(open(&sealed[..cut]), None);
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[cut] ^= 1 << bit;
                // A digit may be written in two ways.
                let same = cut < DIGITS && flipped[cut].eq_ignore_ascii_case(&sealed[cut]);
                assert!(same || open(&flipped).is_none(), "byte {cut}, bit {bit}");
            }
        }
        for strange in [&b""[..], b"\n", b" \n", b"+0000000 {}\n", &[0; 64], &[0xff; 64]] {
            assert_eq!(open(strange), None);
        }
    }
}
