//! `--since`: how far back, or from when.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// This long before now.
    Ago(std::time::Duration),
    /// From this moment on.
    At(Timestamp),
    /// From this time of day on, the last time it was that.
    Clock(civil::Time),
}

impl Since {
    /// The moment, in milliseconds since the Unix epoch.
    pub(crate) fn moment_ms(&self, now: Timestamp, zone: &TimeZone) -> i64 {
        match self {
            Self::Ago(span) => now
                .as_millisecond()
                .saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
                .max(0),
            Self::At(moment) => moment.as_millisecond(),
            Self::Clock(time) => {
                let local = now.to_zoned_datetime(zone.clone());
                let today = local.date();
                let days = [Some(today), today.yesterday().ok()];
                days.into_iter()
                    .flatten()
                    .filter_map(|day| day.to_datetime(*time).to_zoned_datetime(zone.clone()).ok())
                    .map(|moment| moment.timestamp())
                    .find(|moment| *moment <= now)
                    .unwrap_or(now)
                    .as_millisecond()
            }
        }
    }
}

/// `2h`, `14:02`, `2026-11-24T14:02:00Z`.
pub(crate) fn parse(text: &str) -> Result<Since, String> {
    if let Ok(span) = humantime::parse_duration(text) {
        return Ok(Since::Ago(span));
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(Since::At(moment));
    }
    match civil::Time::strptime("%H:%M", text) {
        Ok(time) => Ok(Since::Clock(time)),
        Err(_) => Err("write 2h, 14:02 or 2026-11-24T14:02:00Z".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        let now: Timestamp = "2026-11-24T14:02:30Z".parse().unwrap();
        parse(text).unwrap().moment_ms(now, &TimeZone::UTC)
    }

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn spans_clocks_and_moments() {
        assert_eq!(at("2h"), ms("2026-11-24T12:02:30Z"));
        assert_eq!(at("14:02"), ms("2026-11-24T14:02:00Z"));
        assert_eq!(at("14:03"), ms("2026-11-23T14:03:00Z"), "not in the future");
        assert_eq!(at("2026-11-01T00:00:00+01:00"), ms("2026-10-31T23:00:00Z"));
        assert!(parse("yesterday").unwrap_err().contains("14:02"));
    }
}
