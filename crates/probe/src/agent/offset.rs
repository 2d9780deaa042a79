//! How far the probe's clock is from the server's, by the `Date` of its answers. Pure.

/// What a second's resolution and a slow answer can't explain, milliseconds.
const TELLING_MS: i64 = 2_000;

/// By how much our clock is ahead, milliseconds, where that is telling: more than two seconds and
/// the whole way there and back. Both of our times are of the same exchange.
pub(super) fn offset_ms(sent_ms: i64, received_ms: i64, date: &str) -> Option<i64> {
    let way = received_ms.checked_sub(sent_ms).filter(|way| *way >= 0)?;
    // The middle of the second that the server named.
    let theirs = seconds(date)?.checked_mul(1_000)?.checked_add(500)?;
    let ahead = sent_ms.checked_add(way / 2)?.checked_sub(theirs)?;
    (ahead.unsigned_abs() > (TELLING_MS.checked_add(way)?).unsigned_abs()).then_some(ahead)
}

/// Seconds since the Unix epoch of a date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn seconds(date: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = date.split_once(", ")?;
    let parts: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, time, "GMT"] = parts[..] else { return None };
    let number = |text: &str, most: i64| text.parse().ok().filter(|n| (0..=most).contains(n));
    let month = MONTHS.iter().position(|name| *name == month)?;
    let (day, year) = (number(day, 31)?, number(year, 9_999)?);
    let clock: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = clock[..] else { return None };
    let (hour, minute, second) = (number(hour, 23)?, number(minute, 59)?, number(second, 60)?);
    Some(((days(year, month as i64, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days since the Unix epoch; the month counts from 0. Years begin in March, so that a leap day is
/// the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let since_march = (month + 10) % 12;
    let year = if month < 2 { year - 1 } else { year };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // Days before a month that counts from March.
    let before = (153 * since_march + 2) / 5;
    365 * year + leaps + before + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_what_is_none_is_not() {
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Fri, 01 Mar 2024 00:00:00 GMT", 1_709_251_200),
            ("Fri, 31 Dec 2100 00:00:00 GMT", 4_133_894_400),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in ["", "now", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn only_what_the_way_cannot_explain_is_told() {
        let date = "Thu, 01 Jan 1970 00:01:00 GMT";
        assert_eq!(offset_ms(60_400, 60_600, date), None);
        assert_eq!(offset_ms(62_000, 62_400, date), None);
        assert_eq!(offset_ms(63_400, 63_600, date), Some(3_000));
        assert_eq!(offset_ms(57_400, 57_600, date), Some(-3_000));
        assert_eq!(offset_ms(62_000, 65_000, date), None, "the way took as long");
        assert_eq!(offset_ms(65_000, 62_000, date), None, "the clock was set meanwhile");
        assert_eq!(offset_ms(i64::MIN, i64::MAX, date), None);
    }
}
