//! Whether the probe was in trouble itself while it measured. A function of what was seen.
//!
//! A measurement that went well proves that name server and uplink worked; these are in question
//! only where it failed. A machine that stood still spoils the times of either.

use std::time::Duration;

/// What was wrong with the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No route, an interface that is down, a gateway that does not answer.
    Uplink,
    /// The name server says nothing, whatever it is asked.
    Resolver,
    /// The program did not get to run.
    Stall,
    /// The clock was set.
    Clock,
    /// The machine slept.
    Suspended,
}

/// The program was kept from running for longer than a measurement can bear. Measured once, with a debug
/// build and its target on one machine whose two cores 16 other programs wanted: where it was 250 to
/// 500 ms late, a measurement took 1.4 s (median) and not 8 ms as at rest, some 60 % of it this
/// program's own. At 100 to 250 ms it took 0.9 s, which is not set aside: a lower threshold would take
/// more from a machine that is merely busy.
const STALL: Duration = Duration::from_millis(250);
/// A stall below this share of what was measured is no more than it varies by anyway: a quarter of a
/// second makes no answer slow that took three, and no timeout of ten.
const STALL_SHARE: u32 = 10;
/// The clock moved otherwise than time: more than any slewing does within a measurement.
const STEP: Duration = Duration::from_secs(1);
/// Time that passed unnoticed.
const SLEEP: Duration = Duration::from_millis(500);

/// What was seen beside one measurement. `None` is what could not be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Whether it failed.
    pub(super) failed: bool,
    /// Whether it was to leave this machine.
    pub(super) beyond: bool,
    /// Whether it failed for want of any word of a name server.
    pub(super) unanswered: bool,
    /// Whether there is a way out, as far as this machine can tell.
    pub(super) uplink: Option<bool>,
    /// Whether this machine reaches itself.
    pub(super) loopback: Option<bool>,
    /// Whether the name server says anything.
    pub(super) resolver: Option<bool>,
    /// The longest that the program was late.
    pub(super) stall: Duration,
    /// The shortest of the times that were measured.
    pub(super) shortest: Duration,
    /// What the clocks counted meanwhile.
    pub(super) elapsed: Elapsed,
}

/// What each clock counted over one measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Elapsed {
    /// The clock that stands while the machine sleeps.
    pub(super) awake: Duration,
    /// The clock that does not, where the system has one.
    pub(super) real: Option<Duration>,
    /// The wall clock, which can go back, in milliseconds.
    pub(super) wall_ms: i64,
}

/// What was wrong, in the order of [`Trouble`].
pub(super) fn troubles(seen: &Seen) -> Vec<Trouble> {
    let Seen { failed, beyond, unanswered, uplink, loopback, resolver, .. } = *seen;
    let Seen { stall, shortest, elapsed, .. } = *seen;
    let real = elapsed.real.unwrap_or(elapsed.awake);
    let real_ms = i64::try_from(real.as_millis()).unwrap_or(i64::MAX);
    let stepped = elapsed.wall_ms.saturating_sub(real_ms).unsigned_abs();
    let found = [
        (failed && (loopback == Some(false) || (beyond && uplink == Some(false))), Trouble::Uplink),
        (failed && unanswered && resolver == Some(false), Trouble::Resolver),
        (stall >= STALL.max(shortest / STALL_SHARE), Trouble::Stall),
        (u128::from(stepped) >= STEP.as_millis(), Trouble::Clock),
        (real.saturating_sub(elapsed.awake) >= SLEEP, Trouble::Suspended),
    ];
    found.into_iter().filter(|(is, _)| *is).map(|(_, trouble)| trouble).collect()
}

impl Trouble {
    /// As it travels.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Uplink => "uplink",
            Self::Resolver => "resolver",
            Self::Stall => "stall",
            Self::Clock => "clock",
            Self::Suspended => "suspended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Seen {
        let elapsed = Elapsed {
            awake: Duration::from_secs(10),
            real: Some(Duration::from_millis(10_010)),
            wall_ms: 10_300,
        };
        let good = Some(true);
        Seen {
            failed: true,
            beyond: true,
            unanswered: true,
            uplink: good,
            loopback: good,
            resolver: good,
            stall: Duration::from_millis(90),
            shortest: Duration::from_millis(120),
            elapsed,
        }
    }

    #[test]
    fn a_failure_of_a_probe_that_is_well_is_no_trouble() {
        assert_eq!(troubles(&failed()), []);
        let unknown = Seen { uplink: None, loopback: None, resolver: None, ..failed() };
        assert_eq!(troubles(&unknown), [], "what is not known is not held against it");
        assert_eq!(troubles(&Seen::default()), []);
    }

    #[test]
    fn uplink_and_resolver_count_where_they_were_needed_and_it_failed() {
        let down = Seen { uplink: Some(false), resolver: Some(false), ..failed() };
        assert_eq!(troubles(&down), [Trouble::Uplink, Trouble::Resolver]);
        assert_eq!(troubles(&Seen { failed: false, ..down }), []);
        assert_eq!(troubles(&Seen { beyond: false, unanswered: false, ..down }), []);
        let alone = Seen { beyond: false, loopback: Some(false), ..failed() };
        assert_eq!(troubles(&alone), [Trouble::Uplink]);
    }

    #[test]
    fn a_machine_that_stood_still_spoils_what_went_well() {
        let well = Seen { failed: false, ..failed() };
        assert_eq!(troubles(&Seen { stall: STALL, ..well }), [Trouble::Stall]);
        let long = Seen { shortest: Duration::from_secs(10), ..well };
        assert_eq!(troubles(&Seen { stall: 3 * STALL, ..long }), [], "of 10 s it is no tenth");
        assert_eq!(troubles(&Seen { stall: 4 * STALL, ..long }), [Trouble::Stall]);
        let elapsed = |awake, real, wall_ms| Seen {
            elapsed: Elapsed {
                awake: Duration::from_secs(awake),
                real: Some(Duration::from_secs(real)),
                wall_ms,
            },
            ..well
        };
        assert_eq!(troubles(&elapsed(1, 1, -86_399_000)), [Trouble::Clock], "a day back");
        assert_eq!(troubles(&elapsed(1, 1, 86_401_000)), [Trouble::Clock], "a day on");
        assert_eq!(troubles(&elapsed(1, 28_801, 28_801_000)), [Trouble::Suspended]);
        assert_eq!(troubles(&elapsed(1, 28_801, 1_000)), [Trouble::Clock, Trouble::Suspended]);
    }
}
