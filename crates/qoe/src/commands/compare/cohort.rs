//! A cohort as it is written: `client=lab-1,target=https://shop.example/,from=2h,to=now`.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::Minute;
use model::compare::MOST_MINUTES;
use model::units::MINUTE_MS;
use serde::Serialize;
use server::store::Span;

use crate::commands::report::since::{self, Since};

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    client_id: Option<String>,
    target: Option<String>,
    from: Option<When>,
    to: Option<When>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum When {
    Now,
    Since(Since),
}

/// The same, with its moments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cohort {
    /// `null` for every client.
    pub(super) client_id: Option<String>,
    /// `null` for every target.
    pub(super) target: Option<String>,
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

/// How far back a cohort goes that does not say so.
const DEFAULT_BACK: &str = "2h";
const KEYS: [&str; 4] = ["client", "target", "from", "to"];

/// The parts of a cohort. A comma ends a part only where a key follows: URLs may hold commas.
pub(crate) fn parse(text: &str) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    let mut rest = Some(text);
    while let Some(text) = rest {
        let (part, after) = match ends(text) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        rest = after;
        let known = part.split_once('=').filter(|(key, _)| KEYS.contains(key));
        let (key, value) = known.ok_or_else(|| {
            format!("`{part}` is none of client=NAME, target=URL, from=TIME and to=TIME")
        })?;
        if value.is_empty() {
            return Err(format!("{key} is empty; leave it out"));
        }
        let twice = match key {
            "client" => wanted.client_id.replace(value.to_owned()).is_some(),
            "target" => wanted.target.replace(value.to_owned()).is_some(),
            "from" => wanted.from.replace(moment(key, value)?).is_some(),
            _ => wanted.to.replace(moment(key, value)?).is_some(),
        };
        if twice {
            return Err(format!("{key} is given twice"));
        }
    }
    Ok(wanted)
}

/// Where the first part ends.
fn ends(text: &str) -> Option<usize> {
    text.match_indices(',').map(|(at, _)| at).find(|at| {
        let after = &text[at + 1..];
        KEYS.iter().any(|key| after.strip_prefix(key).is_some_and(|rest| rest.starts_with('=')))
    })
}

fn moment(key: &str, text: &str) -> Result<When, String> {
    if text == "now" {
        return Ok(When::Now);
    }
    // Some write a span before now with its sign.
    let parsed = since::parse(text.strip_prefix('-').unwrap_or(text));
    parsed.map(When::Since).map_err(|why| format!("{key}={text}: {why}, or now"))
}

impl Wanted {
    /// The minutes that are meant, or what is wrong with them.
    pub(super) fn at(&self, now: Timestamp, zone: &TimeZone) -> Result<Cohort, String> {
        let ms = |when: &When| match when {
            When::Now => now.as_millisecond(),
            When::Since(since) => since.moment_ms(now, zone),
        };
        let from_ms = match &self.from {
            Some(when) => ms(when),
            None => since::parse(DEFAULT_BACK)?.moment_ms(now, zone),
        };
        // What begins now is not over; the minute in progress counts with those before it.
        let to_ms = self.to.as_ref().map_or(now.as_millisecond(), ms);
        if from_ms >= to_ms {
            return Err("from is not before to".to_owned());
        }
        let from_ms = Minute::of_ms(from_ms).start_ms();
        if (to_ms - from_ms).div_euclid(MINUTE_MS) > MOST_MINUTES as i64 {
            return Err("it spans more than a week; take a later from or an earlier to".to_owned());
        }
        let (client_id, target) = (self.client_id.clone(), self.target.clone());
        Ok(Cohort { client_id, target, from_ms, to_ms })
    }
}

impl Cohort {
    pub(super) fn span(&self) -> Span {
        Span { from_ms: self.from_ms, to_ms: self.to_ms }
    }

    /// Whether a measurement may be in both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let meet = |a: &Option<String>, b: &Option<String>| {
            a.as_ref().zip(b.as_ref()).is_none_or(|(a, b)| a == b)
        };
        meet(&self.client_id, &other.client_id)
            && meet(&self.target, &other.target)
            && self.from_ms < other.to_ms
            && other.from_ms < self.to_ms
    }
}

/// `lab-1 at https://shop.example/`.
impl fmt::Display for Cohort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.client_id.as_deref().unwrap_or("every client");
        write!(f, "{client} at {}", self.target.as_deref().unwrap_or("every target"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(text: &str) -> Result<Cohort, String> {
        let now: Timestamp = "2026-11-24T14:02:30Z".parse().unwrap();
        parse(text)?.at(now, &TimeZone::UTC)
    }

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn parts_come_in_any_order_and_may_be_left_out() {
        let full = at("from=13:00,client=lab-1,to=-30m,target=https://a.example/?x=1,2,3").unwrap();
        assert_eq!(full.client_id.as_deref(), Some("lab-1"));
        assert_eq!(
            full.target.as_deref(),
            Some("https://a.example/?x=1,2,3"),
            "commas are its own"
        );
        assert_eq!(
            (full.from_ms, full.to_ms),
            (ms("2026-11-24T13:00:00Z"), ms("2026-11-24T13:32:30Z"))
        );
        let short = at("client=a=b").unwrap();
        assert_eq!((short.client_id.as_deref(), &short.target), (Some("a=b"), &None));
        assert_eq!(
            (short.from_ms, short.to_ms),
            (ms("2026-11-24T12:02:00Z"), ms("2026-11-24T14:02:30Z"))
        );
        assert_eq!(
            at("from=2026-11-24T00:00:00Z,to=now").unwrap().from_ms,
            ms("2026-11-24T00:00:00Z")
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, word) in [
            ("", "client=NAME"),
            ("lab-1", "`lab-1`"),
            ("client=a,site=b,to=now", "twice"),
            ("client=", "client is empty"),
            ("client=a,client=b", "client is given twice"),
            ("from=yesterday", "from=yesterday"),
            ("from=1h,to=2h", "from is not before to"),
            ("from=8d", "a week"),
        ] {
            let told = at(text);
            // A comma that no key follows belongs to the value before it.
            if text.contains("site") {
                assert_eq!(told.unwrap().client_id.as_deref(), Some("a,site=b"));
            } else {
                let why = told.unwrap_err();
                assert!(why.contains(word), "{text}: {why}");
            }
        }
        assert!(at("from=7d").is_ok());
    }

    #[test]
    fn cohorts_overlap_where_all_parts_meet() {
        let of = |client: Option<&str>, from_ms, to_ms| Cohort {
            client_id: client.map(str::to_owned),
            target: None,
            from_ms,
            to_ms,
        };
        assert!(of(None, 0, HOUR).overlaps(&of(Some("a"), 0, HOUR)));
        assert!(!of(Some("b"), 0, HOUR).overlaps(&of(Some("a"), 0, HOUR)));
        assert!(!of(None, 0, HOUR).overlaps(&of(None, HOUR, 2 * HOUR)));
    }
}
