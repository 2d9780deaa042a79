//! Values as people write them, in flags and in the file alike, and the bounds they have.

use std::time::Duration;

use crate::family::Families;

/// Whatever is waited for is over within a month: a clock can't be asked for more than it has.
const LONGEST: Duration = Duration::from_hours(30 * 24);
/// A target is not measured more often than this.
pub(super) const LEAST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_TIMEOUT: Duration = Duration::from_hours(1);
/// A test that loads the line takes most of a minute.
const LEAST_LOAD: Duration = Duration::from_mins(1);
/// A spool is made of 32 files, each of which holds more than the largest event.
const LEAST_BYTES: u64 = 1 << 20;
const LEAST_AGE: Duration = Duration::from_mins(1);
/// More echoes with each measurement are a load.
const MOST_ECHOES: u16 = 100;

/// Time from one measurement to the next.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    within(text, "an interval", LEAST_INTERVAL, LONGEST)
}

/// Limit for one measurement.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    within(text, "a timeout", Duration::from_millis(1), LONGEST_TIMEOUT)
}

/// Time from one transfer to the next; none is with every measurement.
pub(super) fn throughput_every(text: &str) -> Result<Duration, String> {
    within(text, "the time between transfers", Duration::ZERO, LONGEST)
}

/// Mean time from one test that loads the line to the next.
pub(super) fn load_every(text: &str) -> Result<Duration, String> {
    within(text, "the time between tests that load the line", LEAST_LOAD, LONGEST)
}

/// How old events may grow.
pub(super) fn spool_age(text: &str) -> Result<Duration, String> {
    within(text, "the age of what waits", LEAST_AGE, Duration::MAX)
}

fn within(text: &str, what: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let span = humantime::parse_duration(text.trim())
        .map_err(|error| format!("{text:?} is no time ({error}); write 90s, 10m, 2h or 7d"))?;
    let told = humantime::format_duration;
    if span < least {
        return Err(format!("{what} is {} or more", told(least)));
    }
    if span > most {
        return Err(format!("{what} is {} at most", told(most)));
    }
    Ok(span)
}

/// A number of bytes that may wait, with or without a unit of 1,024.
pub(super) fn spool_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => return Err("the units are KiB, MiB and GiB".to_owned()),
    };
    let number: u64 = digits.trim().parse().map_err(|_| "not a number of bytes".to_owned())?;
    match number.checked_mul(1 << unit) {
        Some(bytes) if bytes >= LEAST_BYTES => Ok(bytes),
        Some(_) => Err("a spool needs 1 MiB or more".to_owned()),
        None => Err("too large".to_owned()),
    }
}

/// Bytes that loading the line may move in a day.
pub(super) fn daily_bytes(text: &str) -> Result<u64, String> {
    let bytes: bytesize::ByteSize = text.parse()?;
    Ok(bytes.as_u64())
}

/// How many echoes; none is a number, too.
pub(super) fn echoes(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|number| *number <= MOST_ECHOES);
    number.ok_or_else(|| format!("`{text}` is not a number of echoes from 0 to {MOST_ECHOES}"))
}

/// A share of all, 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| format!("`{text}` is not a share from 0 to 1"))
}

/// Address families.
pub(super) fn families(text: &str) -> Result<Families, String> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_bounds_and_what_is_wrong_is_told() {
        assert_eq!(interval(" 1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(interval("999ms").unwrap_err(), "an interval is 1s or more");
        assert!(interval("10").unwrap_err().contains("write 90s"));
        // Added to a clock's time this would be beyond what a clock can show.
        for long in ["31d", "100000000000years"] {
            assert!(interval(long).unwrap_err().contains("at most"), "{long}");
            assert!(load_every(long).is_err() && throughput_every(long).is_err());
        }
        assert!(timeout("0s").is_err() && timeout("61m").is_err());
        assert_eq!(throughput_every("0s"), Ok(Duration::ZERO));
        assert!(load_every("59s").is_err());
    }

    #[test]
    fn numbers_have_bounds() {
        assert_eq!((echoes("0"), echoes("100")), (Ok(0), Ok(100)));
        assert!(["101", "-1", "", "ten"].iter().all(|text| echoes(text).is_err()));
        assert_eq!(daily_bytes("1MiB"), Ok(1 << 20));
        assert!(daily_bytes("much").is_err());
    }

    #[test]
    fn the_bounds_of_a_spool_are_read_and_nonsense_is_refused() {
        for (text, bytes) in
            [("1048576", 1 << 20), ("64MiB", 64 << 20), ("2 g", 2 << 30), ("2048k", 2 << 20)]
        {
            assert_eq!(spool_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "1023KiB", "-1", "1.5MiB", "64 MB", "MiB", "99999999999999999G"] {
            assert!(spool_bytes(text).is_err(), "{text}");
        }
        assert_eq!(spool_age("2d"), Ok(Duration::from_hours(48)));
        for text in ["", "0s", "59s", "7"] {
            assert!(spool_age(text).is_err(), "{text}");
        }
    }
}
