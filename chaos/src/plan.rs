//! Which faults when: a function of the seed.

use std::fmt;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use testbed::proxy;

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// An ingest, by its number.
    Ingest(u8),
    /// An aggregator, by its number.
    Aggregator(u8),
    /// A diagnoser, by its number.
    Diagnoser(u8),
    /// The read API.
    Api,
    /// The bus.
    Nats,
    /// The database.
    Postgres,
}

/// What a role speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// The bus.
    Nats,
    /// The database.
    Postgres,
}

/// One thing that goes wrong, until the end of its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Killed with SIGKILL.
    Kill(Part),
    /// A role is asked to end with SIGTERM.
    Term(Part),
    /// Stopped with SIGSTOP.
    Stop(Part),
    /// A role dies by itself where its code comes by a point for the nth time.
    Crash(Part, &'static str, u32),
    /// The line from a role to a server is bad.
    Line(Part, To, proxy::Fault),
    /// The disk of the bus is full.
    Full,
    /// The database answers, but not as it should.
    Database(Trouble),
    /// Everything is sent again and again.
    Flood,
}

/// What can be wrong with a database that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It takes no writes, as one that was replaced by its copy.
    ReadOnly,
    /// Somebody holds a lock on the windows, as a migration does.
    Locked,
    /// Every connection was ended, once.
    Disconnected,
}

/// Faults that begin together and end together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How long all is left alone before.
    pub quiet: Duration,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// For how long.
    pub hold: Duration,
}

/// How many of each role there are.
pub const INGESTS: u8 = 2;
/// How many of each role there are.
pub const AGGREGATORS: u8 = 2;
/// How many of each role there are.
pub const DIAGNOSERS: u8 = 2;

/// Where an ingest can be told to die.
const INGEST_POINTS: [&str; 2] = ["before-publish", "after-publish"];
/// Where an aggregator can be told to die.
const AGGREGATOR_POINTS: [&str; 5] =
    ["mid-batch", "before-commit", "after-commit", "before-answer", "before-ack"];

/// From this length on there is time for what takes long.
const LONG: Duration = Duration::from_secs(300);

/// A plan for so long a time; `disk` says whether the bus has a disk of its own to fill.
///
/// Kinds of faults are drawn like cards, so that each comes before any comes again.
pub fn plan(seed: u64, length: Duration, disk: bool) -> Vec<Step> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut steps = Vec::new();
    let mut left = length;
    let mut deck = Vec::new();
    let mut long = if length >= LONG { long(&mut rng, length) } else { Vec::new() };
    let often = u32::try_from(long.len()).unwrap_or(0) + 1;
    let mut until_long = length / often / 2;
    while !left.is_zero() {
        let quiet = match rng.random_range(0..4) {
            0 => millis(&mut rng, 4_000..9_000),
            _ => millis(&mut rng, 200..2_000),
        };
        let (faults, hold) = match long.pop_if(|_| until_long.is_zero()) {
            Some(fault) => {
                until_long = length / often;
                fault
            }
            None => {
                let count = [1, 1, 1, 2, 2, 3][rng.random_range(0..6)];
                let hold = millis(&mut rng, 1_000..6_000);
                (draw(&mut deck, &mut rng, count, disk), hold)
            }
        };
        let step = Step { quiet, faults, hold };
        left = left.saturating_sub(step.quiet + step.hold);
        until_long = until_long.saturating_sub(step.quiet + step.hold);
        steps.push(step);
    }
    steps
}

/// What takes long: an aggregator is given up by the bus and comes back; a server is away.
fn long(rng: &mut ChaCha8Rng, length: Duration) -> Vec<(Vec<Fault>, Duration)> {
    let aggregator = Part::Aggregator(rng.random_range(0..AGGREGATORS));
    let outage = (length / 10).clamp(Duration::from_secs(60), Duration::from_secs(300));
    let mut long = vec![
        (vec![Fault::Stop(aggregator)], Duration::from_secs(45)),
        (vec![Fault::Kill(Part::Postgres)], outage),
        (vec![Fault::Kill(Part::Nats)], Duration::from_secs(30)),
    ];
    long.shuffle(rng);
    long
}

/// A short plan with something of everything, in a drawn order: about half a minute.
pub fn short(seed: u64) -> Vec<Step> {
    use Part::{Aggregator, Diagnoser, Ingest, Nats, Postgres};
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut faults = [
        vec![Fault::Kill(Aggregator(0))],
        vec![Fault::Crash(Aggregator(1), "before-commit", 1)],
        vec![Fault::Crash(Aggregator(0), "before-ack", 2), Fault::Term(Ingest(1))],
        vec![Fault::Crash(Ingest(0), "after-publish", 1)],
        vec![Fault::Kill(Nats)],
        vec![Fault::Kill(Postgres), Fault::Kill(Diagnoser(0))],
        vec![Fault::Stop(Nats)],
        vec![Fault::Line(Aggregator(1), To::Nats, proxy::Fault::SwallowAnswers)],
        vec![Fault::Line(Ingest(1), To::Nats, proxy::Fault::CutAfter(900))],
        vec![Fault::Line(Aggregator(0), To::Postgres, proxy::Fault::CutAfter(3_000)), Fault::Flood],
        vec![Fault::Term(Aggregator(1))],
    ];
    faults.shuffle(&mut rng);
    let [quiet, hold] = [700, 1_700].map(Duration::from_millis);
    faults.into_iter().map(|faults| Step { quiet, faults, hold }).collect()
}

/// A short plan that breaks what a wrong aggregator would not survive.
pub fn directed(seed: u64) -> Vec<Step> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let step = |faults, hold| Step {
        quiet: Duration::from_millis(1_500),
        faults,
        hold: Duration::from_millis(hold),
    };
    let both =
        |fault: fn(Part) -> Fault| (0..AGGREGATORS).map(Part::Aggregator).map(fault).collect();
    let mut steps = Vec::new();
    for round in 0..3 {
        for point in ["mid-batch", "before-commit"] {
            let nth = rng.random_range(1..4);
            let aggregator = Part::Aggregator(round % AGGREGATORS);
            steps.push(step(vec![Fault::Crash(aggregator, point, nth)], 1_500));
        }
        steps.push(step(both(Fault::Kill), 500));
    }
    steps
}

/// A few kinds of faults, of which no two are of one part.
fn draw(deck: &mut Vec<Fault>, rng: &mut ChaCha8Rng, count: usize, disk: bool) -> Vec<Fault> {
    let mut drawn: Vec<Fault> = Vec::new();
    let mut put_back = Vec::new();
    while drawn.len() < count && put_back.len() < 2 * count {
        if deck.is_empty() {
            deck.extend(fresh_deck(rng, disk));
            deck.shuffle(rng);
        }
        let Some(fault) = deck.pop() else { break };
        if drawn.iter().any(|other| other.part() == fault.part()) {
            put_back.push(fault);
        } else {
            drawn.push(fault);
        }
    }
    deck.extend(put_back);
    drawn
}

/// One of each kind, of a part that is drawn.
fn fresh_deck(rng: &mut ChaCha8Rng, disk: bool) -> Vec<Fault> {
    use Fault::{Crash, Database, Flood, Full, Kill, Line, Stop, Term};
    use Part::{Aggregator, Api, Diagnoser, Ingest, Nats, Postgres};
    let mut deck = Vec::new();
    let mut ingest = || Ingest(rng.random_range(0..INGESTS));
    deck.extend([Kill(ingest()), Term(ingest()), Stop(ingest())]);
    let lines = [ingest(), ingest(), ingest(), ingest(), ingest()];
    let crashes = INGEST_POINTS.map(|point| (ingest(), point));
    let mut aggregator = || Aggregator(rng.random_range(0..AGGREGATORS));
    deck.extend([Kill(aggregator()), Kill(aggregator()), Term(aggregator()), Stop(aggregator())]);
    let to_bus = [aggregator(), aggregator(), aggregator(), aggregator()];
    let to_store = [aggregator(), aggregator(), aggregator(), aggregator()];
    let more = AGGREGATOR_POINTS.map(|point| (aggregator(), point));
    let diagnoser = || Diagnoser(0);
    deck.extend([Kill(diagnoser()), Term(Diagnoser(1)), Stop(diagnoser())]);
    deck.extend([Kill(Api), Term(Api)]);
    deck.extend([Kill(Nats), Kill(Nats), Stop(Nats), Kill(Postgres), Kill(Postgres)]);
    deck.extend([Stop(Postgres), Flood, Flood]);
    deck.extend([Trouble::ReadOnly, Trouble::Locked, Trouble::Disconnected].map(Database));
    if disk {
        deck.push(Full);
    }
    for (part, point) in crashes.into_iter().chain(more) {
        deck.push(Crash(part, point, rng.random_range(1..6)));
    }
    let faults = |rng: &mut ChaCha8Rng| {
        [
            proxy::Fault::Delay(millis(rng, 50..400)),
            proxy::Fault::SwallowAnswers,
            proxy::Fault::CutAfter(rng.random_range(1..4_000)),
            proxy::Fault::Refuse,
        ]
    };
    let [to_postgres, to_nats @ ..] = lines;
    deck.extend(to_nats.into_iter().zip(faults(rng)).map(|(part, of)| Line(part, To::Nats, of)));
    deck.extend(to_bus.into_iter().zip(faults(rng)).map(|(part, of)| Line(part, To::Nats, of)));
    let store = to_store.into_iter().zip(faults(rng));
    deck.extend(store.map(|(part, of)| Line(part, To::Postgres, of)));
    let [one, .., last] = faults(rng);
    deck.extend([Line(to_postgres, To::Postgres, last), Line(Diagnoser(1), To::Postgres, one)]);
    deck
}

fn millis(rng: &mut ChaCha8Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.random_range(range))
}

impl Fault {
    /// What is broken by it; `None` for what sends.
    pub fn part(&self) -> Option<Part> {
        match *self {
            Self::Kill(part)
            | Self::Term(part)
            | Self::Stop(part)
            | Self::Crash(part, ..)
            | Self::Line(part, ..) => Some(part),
            Self::Full => Some(Part::Nats),
            Self::Database(_) => Some(Part::Postgres),
            Self::Flood => None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ingest(n) => write!(f, "ingest-{}", n + 1),
            Self::Aggregator(n) => write!(f, "aggregator-{}", n + 1),
            Self::Diagnoser(n) => write!(f, "diagnoser-{}", n + 1),
            Self::Api => f.write_str("api"),
            Self::Nats => f.write_str("nats-server"),
            Self::Postgres => f.write_str("postgres"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(part) => write!(f, "kill -9 {part}"),
            Self::Term(part) => write!(f, "SIGTERM {part}"),
            Self::Stop(part) => write!(f, "SIGSTOP {part}"),
            Self::Crash(part, point, nth) => write!(f, "{part} dies at {point}:{nth}"),
            Self::Line(part, to, fault) => {
                let to = match to {
                    To::Nats => Part::Nats,
                    To::Postgres => Part::Postgres,
                };
                write!(f, "{part} to {to}: ")?;
                match fault {
                    proxy::Fault::None => f.write_str("well"),
                    proxy::Fault::Delay(time) => write!(f, "{time:?} late"),
                    proxy::Fault::SwallowAnswers => f.write_str("answers swallowed"),
                    proxy::Fault::CutAfter(bytes) => write!(f, "cut after {bytes} bytes"),
                    proxy::Fault::Refuse => f.write_str("refused"),
                }
            }
            Self::Full => f.write_str("disk of nats-server full"),
            Self::Database(Trouble::ReadOnly) => f.write_str("postgres takes no writes"),
            Self::Database(Trouble::Locked) => f.write_str("windows locked in postgres"),
            Self::Database(Trouble::Disconnected) => f.write_str("postgres ends all connections"),
            Self::Flood => f.write_str("flood of duplicates"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    #[test]
    fn a_plan_follows_from_its_seed_and_fills_its_time() {
        let one = plan(1, TEN_MINUTES, true);
        assert_eq!(one, plan(1, TEN_MINUTES, true));
        assert_ne!(one, plan(2, TEN_MINUTES, true));
        let total: Duration = one.iter().map(|step| step.quiet + step.hold).sum();
        assert!((TEN_MINUTES..TEN_MINUTES + Duration::from_secs(90)).contains(&total), "{total:?}");
        let quiet: Duration = one.iter().map(|step| step.quiet).sum();
        assert!(quiet * 6 > total && quiet * 2 < total, "{quiet:?} of {total:?}");
    }

    #[test]
    fn ten_minutes_have_every_kind_of_fault() {
        for seed in 0..20 {
            let steps = plan(seed, TEN_MINUTES, true);
            let faults: Vec<Fault> = steps.iter().flat_map(|step| step.faults.clone()).collect();
            let kinds: HashSet<_> = faults.iter().map(std::mem::discriminant).collect();
            assert_eq!(kinds.len(), 8, "seed {seed}");
            for point in AGGREGATOR_POINTS.iter().chain(&INGEST_POINTS) {
                let at = |fault: &Fault| matches!(fault, Fault::Crash(_, name, _) if name == point);
                assert!(faults.iter().any(at), "seed {seed}: {point}");
            }
            assert!(steps.iter().any(|step| step.hold >= Duration::from_secs(60)), "seed {seed}");
            assert!(
                !plan(seed, TEN_MINUTES, false).iter().any(|s| s.faults.contains(&Fault::Full))
            );
        }
    }

    #[test]
    fn faults_of_one_step_are_of_different_parts() {
        for step in plan(5, TEN_MINUTES, true) {
            let parts: HashSet<_> = step.faults.iter().map(Fault::part).collect();
            assert!(!step.faults.is_empty() && parts.len() == step.faults.len(), "{step:?}");
        }
    }
}
