//! When a message is sent again, and when it is not.

use std::time::Duration;

use crate::store::Fate;

/// How a message is tried again: told in docs/alerts.md.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(15);
/// A receiver may ask for more than that, up to this.
const LONGEST_ASKED: Duration = Duration::from_hours(1);
/// What is older than this is news to nobody.
pub const GIVEN_UP_AFTER_MS: i64 = 24 * 60 * 60 * 1_000;

/// Characters of a reason.
const MOST_WHY: usize = 500;

/// What came of one attempt to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// It may work later.
    Later {
        /// What went wrong.
        why: String,
        /// For how long the receiver wants to be left alone.
        after: Option<Duration>,
    },
    /// It will not work, however often it is tried.
    Never {
        /// What is wrong, and the way out.
        why: String,
    },
}

/// What an answer means. `told` is a piece of its body, `now_s` the time by which a date in
/// `retry_after` is read.
pub fn of_answer(status: u16, retry_after: Option<&str>, told: &str, now_s: i64) -> Outcome {
    let after = retry_after.and_then(|text| asked(text, now_s));
    let said = if told.is_empty() { String::new() } else { format!(": {told}") };
    match status {
        200..=299 => Outcome::Delivered,
        300..=399 => Outcome::Later {
            why: format!(
                "it answered {status}, a redirect, and redirects are not followed; name the last \
                 address as `url`"
            ),
            after,
        },
        408 | 425 | 429 | 500.. | ..=199 => {
            Outcome::Later { why: format!("it answered {status}{said}"), after }
        }
        401 | 403 => Outcome::Never {
            why: format!("it answered {status}{said}; look at the secret, the token or the URL"),
        },
        404 | 410 => Outcome::Never {
            why: format!("it answered {status}{said}; nobody takes alerts at this `url`"),
        },
        _ => Outcome::Never { why: format!("it answered {status}{said}") },
    }
}

/// For how long a receiver wants to be left alone: seconds, or until a date.
fn asked(text: &str, now_s: i64) -> Option<Duration> {
    let text = text.trim();
    let seconds = text.parse::<u64>().ok().or_else(|| {
        let date = jiff::fmt::rfc2822::parse(text).ok()?;
        u64::try_from(date.timestamp().as_second() - now_s).ok()
    })?;
    Some(Duration::from_secs(seconds).min(LONGEST_ASKED))
}

/// What is kept of an attempt. `attempts` counts it too; `chance` makes that those who failed
/// together are not tried together again.
pub fn fate(outcome: Outcome, created_ms: i64, attempts: u32, now_ms: i64, chance: u32) -> Fate {
    let (why, after) = match outcome {
        Outcome::Delivered => return Fate::Delivered,
        Outcome::Never { why } => return Fate::GivenUp { why: line(&why) },
        Outcome::Later { why, after } => (line(&why), after),
    };
    let wait = wait(attempts, chance).max(after.unwrap_or_default());
    let due_ms = now_ms.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
    if due_ms.saturating_sub(created_ms) > GIVEN_UP_AFTER_MS {
        return Fate::GivenUp { why: format!("for 24 hours: {why}") };
    }
    Fate::Again { due_ms, why }
}

/// As a table and a log can have it: what a receiver says of itself may be in there.
fn line(why: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    why.chars().take(MOST_WHY).map(printable).collect()
}

/// Twice as long each time, up to a bound; between half of that and all of it, by chance.
pub fn wait(attempts: u32, chance: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << attempts.saturating_sub(1).min(20));
    let half = doubled.min(LONGEST_WAIT) / 2;
    half + half.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = GIVEN_UP_AFTER_MS;

    fn later(why: &str) -> Outcome {
        Outcome::Later { why: why.to_owned(), after: None }
    }

    #[test]
    fn waits_double_from_a_second_to_a_quarter_of_an_hour() {
        let most: Vec<u64> = (1..=13).map(|n| wait(n, u32::MAX).as_secs()).collect();
        assert_eq!(most, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        assert_eq!(wait(u32::MAX, u32::MAX), LONGEST_WAIT);
        assert_eq!((wait(1, 0), wait(11, 0)), (FIRST_WAIT / 2, LONGEST_WAIT / 2));
    }

    #[test]
    fn answers_are_of_three_kinds() {
        let of = |status| of_answer(status, None, "", 0);
        for status in [200, 202, 204] {
            assert_eq!(of(status), Outcome::Delivered, "{status}");
        }
        for status in [301, 302, 307, 408, 425, 429, 500, 502, 503, 504, 599] {
            assert!(matches!(of(status), Outcome::Later { .. }), "{status}");
        }
        for status in [400, 401, 403, 404, 405, 410, 413, 422] {
            assert!(matches!(of(status), Outcome::Never { .. }), "{status}");
        }
    }

    #[test]
    fn a_receiver_is_left_alone_as_long_as_it_asks_within_an_hour() {
        let after = |text| match of_answer(503, Some(text), "", 784_111_777) {
            Outcome::Later { after, .. } => after.map(|after| after.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("99999999"), Some(3_600));
        assert_eq!(after("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(after("Fri, 06 Nov 2099 08:50:37 GMT"), Some(3_600));
        for nonsense in ["-1", "soon", "", "Sun, 06 Nov 1994 08:48:37 GMT"] {
            assert_eq!(after(nonsense), None, "{nonsense}");
        }
        let busy = of_answer(429, Some("120"), "", 0);
        assert_eq!(
            fate(busy, 0, 1, 1_000, 0),
            Fate::Again { due_ms: 121_000, why: "it answered 429".to_owned() }
        );
    }

    #[test]
    fn it_is_tried_for_a_day_and_no_longer() {
        let fates = |now_ms| fate(later("no"), 0, 30, now_ms, u32::MAX);
        assert!(matches!(fates(DAY - 900_000), Fate::Again { due_ms: DAY, .. }));
        let Fate::GivenUp { why } = fates(DAY - 899_999) else { panic!() };
        assert_eq!(why, "for 24 hours: no");
    }

    /// A receiver that answers 500 all day is asked about a hundred times, not a hundred thousand.
    #[test]
    fn a_day_of_failures_is_some_hundred_attempts() {
        let (mut now_ms, mut attempts) = (0, 0);
        while let Fate::Again { due_ms, .. } = fate(later("no"), 0, attempts + 1, now_ms, 0) {
            (now_ms, attempts) = (due_ms, attempts + 1);
        }
        assert!((100..=220).contains(&attempts), "{attempts}");
    }
}
