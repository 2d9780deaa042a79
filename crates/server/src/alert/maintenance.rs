//! Maintenance windows: what is measured and shown in them, and not told.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::store::IncidentRow;

/// A time in which something is worked on.
#[derive(Clone, Debug, PartialEq)]
pub struct Maintenance {
    /// How people call it.
    pub name: String,
    /// When.
    pub when: When,
    /// On what; on everything where nothing is said.
    pub scope: Scope,
}

/// When it is.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Once: from a moment up to another, milliseconds since the Unix epoch.
    Once {
        /// The first millisecond.
        from_ms: i64,
        /// The first after it.
        until_ms: i64,
    },
    /// Each week anew.
    Weekly {
        /// On these days.
        days: Vec<Weekday>,
        /// From this time of the day on.
        from: Time,
        /// So long, a week at most; as a clock counts that nobody sets.
        lasts_ms: i64,
        /// By the clocks of this place.
        zone: TimeZone,
    },
}

/// On what it is; what is said must all fit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// Incidents of this site.
    pub site: Option<String>,
    /// Incidents that this client alone has.
    pub client: Option<String>,
    /// Incidents on this target alone.
    pub target: Option<String>,
}

impl Maintenance {
    /// Whether an incident is not told at this moment because of it.
    pub fn covers(&self, incident: &IncidentRow, now_ms: i64) -> bool {
        self.scope.covers(incident) && self.is_on(now_ms)
    }

    /// Whether it is on at this moment.
    pub fn is_on(&self, now_ms: i64) -> bool {
        match &self.when {
            When::Once { from_ms, until_ms } => (*from_ms..*until_ms).contains(&now_ms),
            When::Weekly { days, from, lasts_ms, zone } => {
                begun_before(days, *from, zone, now_ms).any(|began| now_ms - began < *lasts_ms)
            }
        }
    }
}

/// When a weekly one began in the week up to now, milliseconds since the Unix epoch.
fn begun_before(
    days: &[Weekday],
    from: Time,
    zone: &TimeZone,
    now_ms: i64,
) -> impl Iterator<Item = i64> {
    let now = Timestamp::from_millisecond(now_ms).unwrap_or_default();
    let today = now.to_zoned_datetime(zone.clone()).date();
    // A time that a clock skips is the next there is; one that it shows twice is the first.
    (0..=8).filter_map(move |back| {
        let date = today.checked_sub(Span::new().days(back)).ok()?;
        let wanted = days.contains(&date.weekday());
        let began = date.to_datetime(from).to_zoned_datetime(zone.clone()).ok()?.timestamp();
        (wanted && began <= now).then(|| began.as_millisecond())
    })
}

impl Scope {
    fn covers(&self, incident: &IncidentRow) -> bool {
        let named =
            |kind: &str, name: &str| incident.scope_type == kind && incident.scope_id == name;
        let all = |fits: &dyn Fn(&crate::store::Cell) -> bool| {
            !incident.body.cells.is_empty() && incident.body.cells.iter().all(fits)
        };
        let site = self.site.as_ref().is_none_or(|site| named("site", site));
        let client = self
            .client
            .as_ref()
            .is_none_or(|client| named("client", client) || all(&|cell| cell.client_id == *client));
        let target = self
            .target
            .as_ref()
            .is_none_or(|target| named("target", target) || all(&|cell| cell.target == *target));
        site && client && target
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::testing::{at, incident};

    fn weekly(days: &[Weekday], from: &str, hours: i64, zone: &str) -> Maintenance {
        let when = When::Weekly {
            days: days.to_vec(),
            from: from.parse().unwrap(),
            lasts_ms: hours * 3_600_000,
            zone: TimeZone::get(zone).unwrap(),
        };
        Maintenance { name: "m".to_owned(), when, scope: Scope::default() }
    }

    fn is_on(maintenance: &Maintenance, moment: &str) -> bool {
        maintenance.is_on(at(moment))
    }

    #[test]
    fn once_is_from_its_first_to_before_its_end() {
        let when = When::Once { from_ms: 10, until_ms: 20 };
        let once = Maintenance { name: "m".to_owned(), when, scope: Scope::default() };
        let on: Vec<i64> = (5..25).filter(|now| once.is_on(*now)).collect();
        assert_eq!(on, (10..20).collect::<Vec<_>>());
    }

    #[test]
    fn weekly_goes_by_the_clocks_of_its_place_and_over_midnight() {
        let night = weekly(&[Weekday::Saturday], "23:00", 4, "Europe/Berlin");
        // A Saturday in winter, and one in summer.
        for (moment, on) in [
            ("2026-01-10T21:59:59Z", false),
            ("2026-01-10T22:00:00Z", true),
            ("2026-01-11T01:59:59Z", true),
            ("2026-01-11T02:00:00Z", false),
            ("2026-07-11T20:59:59Z", false),
            ("2026-07-11T21:00:00Z", true),
            ("2026-07-12T00:59:59Z", true),
            ("2026-07-12T01:00:00Z", false),
            ("2026-01-12T23:00:00Z", false),
        ] {
            assert_eq!(is_on(&night, moment), on, "{moment}");
        }
    }

    #[test]
    fn a_time_that_the_clock_skips_is_the_next_there_is() {
        // On 2026-03-29 clocks in Berlin go from 02:00 to 03:00.
        let early = weekly(&[Weekday::Sunday], "02:30", 1, "Europe/Berlin");
        for (moment, on) in [
            ("2026-03-29T01:29:00Z", false),
            ("2026-03-29T01:30:00Z", true),
            ("2026-03-29T02:29:00Z", true),
            ("2026-03-29T02:30:00Z", false),
        ] {
            assert_eq!(is_on(&early, moment), on, "{moment}");
        }
    }

    #[test]
    fn a_week_is_always() {
        let always = weekly(&[Weekday::Monday], "00:00", 7 * 24, "UTC");
        for day in 1..=28 {
            assert!(is_on(&always, &format!("2026-02-{day:02}T12:00:00Z")), "{day}");
        }
    }

    #[test]
    fn it_is_on_what_it_names_and_nothing_beyond() {
        let of = |site: Option<&str>, client: Option<&str>, target: Option<&str>| Scope {
            site: site.map(str::to_owned),
            client: client.map(str::to_owned),
            target: target.map(str::to_owned),
        };
        let mut one = incident("i");
        (one.scope_type, one.scope_id) = ("target".to_owned(), "https://shop.example/".to_owned());
        let shop = Some("https://shop.example/");
        assert!(of(None, None, None).covers(&one));
        assert!(of(None, None, shop).covers(&one));
        assert!(!of(None, None, Some("https://other.example/")).covers(&one));
        assert!(!of(Some("berlin"), None, None).covers(&one));
        // Two clients have it, so work on one of them does not explain it.
        assert!(!of(None, Some("c1"), None).covers(&one));
        one.body.cells.truncate(1);
        assert!(of(None, Some("c1"), shop).covers(&one));
        (one.scope_type, one.scope_id) = ("site".to_owned(), "berlin".to_owned());
        assert!(of(Some("berlin"), None, None).covers(&one));
    }
}
