//! How late an event can come at the latest, and whether its id is still known then.

use std::fmt;
use std::time::Duration;

use crate::bus::inspect::Report;
use crate::bus::{Bus, BusError, consume};

/// How long ids are kept unless told otherwise: a day beyond what the other defaults add up to.
pub const KEEP_IDS: Duration = Duration::from_secs(22 * 24 * 3600);

/// The longest way of an event: as old as ingest lets it in, then as long in the stream, then as
/// long among the dead letters. If its id were forgotten before, it could be counted twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// How old ingest lets an event in, which bounds how long a probe may hold it.
    pub spool: Duration,
    /// How long the stream holds it; `None` for ever.
    pub stream: Option<Duration>,
    /// How long it stays among the dead letters; `None` for ever.
    pub dead_letters: Option<Duration>,
    /// How long ids are kept.
    pub ids: Duration,
}

/// An event could come back after its id was forgotten.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "an event could be counted twice: it may be {} old when it comes in, {} in the stream and {} \
     among the dead letters, {} in all, but ids of counted events are kept for {}; keep ids longer \
     (--keep-ids), or shorten the streams (qoe migrate up --stream-max-age, --dead-letters-max-age)",
    days(.0.spool), within(.0.stream), within(.0.dead_letters), within(.0.latest()), days(.0.ids)
)]
pub struct TooShort(Horizon);

impl Horizon {
    /// As the streams are set up.
    ///
    /// # Errors
    /// Where the server does not answer, or a stream is missing.
    pub async fn of(bus: &Bus, max_age_ms: i64, ids: Duration) -> Result<Self, BusError> {
        let (stream, dead_letters) = bus.max_ages().await?;
        Ok(Self {
            spool: Duration::from_millis(max_age_ms.unsigned_abs()),
            stream,
            dead_letters,
            ids,
        })
    }

    /// As it was found, for ids that are kept so long; `None` where a stream is missing.
    pub fn found(report: &Report, ids: Duration) -> Option<Self> {
        let [events, dead_letters] = &report.streams;
        let max_age_ms = consume::Settings::default().limits.max_age_ms;
        Some(Self {
            spool: Duration::from_millis(max_age_ms.unsigned_abs()),
            stream: events.found.as_ref()?.max_age,
            dead_letters: dead_letters.found.as_ref()?.max_age,
            ids,
        })
    }

    /// The age at which an event can come at the latest; `None` for any.
    pub fn latest(&self) -> Option<Duration> {
        Some(self.spool + self.stream? + self.dead_letters?)
    }

    /// Whether ids outlive every way of their event.
    ///
    /// # Errors
    /// The numbers, where they do not.
    pub fn check(&self) -> Result<(), TooShort> {
        match self.latest() {
            Some(latest) if latest < self.ids => Ok(()),
            _ => Err(TooShort(self.clone())),
        }
    }
}

impl fmt::Display for Horizon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spool, stream, dead_letters, ids } = self;
        write!(
            f,
            "{} when it comes in + {} in the stream + {} as a dead letter = {}; ids kept {}",
            days(spool),
            within(*stream),
            within(*dead_letters),
            within(self.latest()),
            days(ids)
        )
    }
}

fn within(span: Option<Duration>) -> String {
    span.map_or_else(|| "without end".to_owned(), days)
}

/// An age in the largest unit that it is whole in: `7 d`, `36 h`, `90 s`.
pub fn days(span: impl std::borrow::Borrow<Duration>) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let seconds = span.borrow().as_secs();
    let (of, unit) =
        UNITS.into_iter().find(|(of, _)| seconds % of == 0 && seconds >= *of).unwrap_or((1, "s"));
    format!("{} {unit}", seconds / of)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn ids_outlive_every_way_of_their_event_or_the_numbers_are_told() {
        let good = Horizon {
            spool: 7 * DAY,
            stream: Some(7 * DAY),
            dead_letters: Some(7 * DAY),
            ids: KEEP_IDS,
        };
        assert_eq!(good.check(), Ok(()));
        let short = Horizon { ids: 21 * DAY, ..good.clone() };
        let told = short.check().unwrap_err().to_string();
        for number in ["7 d old", "21 d in all", "kept for 21 d"] {
            assert!(told.contains(number), "{told}");
        }
        let endless = Horizon { stream: None, ..good };
        assert!(endless.check().unwrap_err().to_string().contains("without end in all"));
    }
}
