//! The judgement: what was kept of what was promised, as a function of what was found. The
//! invariants are numbered as in the project's list of them; I10 is about a probe's spool, which
//! takes no part here.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::event::{Name, World};
use crate::ledger::Ledger;

mod counted;
mod kept;
mod merged;
mod stream;
#[cfg(test)]
mod tests;

/// All that was found when everything had come to rest.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What events follow from.
    pub world: World,
    /// What was sent and answered.
    pub ledger: Ledger,
    /// What the database holds.
    pub store: Store,
    /// What an empty database holds after the whole stream was replayed into it, in another order
    /// and other transactions.
    pub replayed: Option<Store>,
    /// What the database held after the whole stream was replayed into itself.
    pub again: Option<Store>,
    /// What the bus holds.
    pub stream: Stream,
    /// What was laid aside.
    pub letters: Vec<Letter>,
    /// What was put on the bus to be laid aside.
    pub broken: Vec<Broken>,
    /// What was seen during the run.
    pub watched: Watched,
    /// Events that were sent when all was over.
    pub fresh: Vec<Fresh>,
}

/// The rows of a database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Store {
    /// The ids of counted events.
    pub seen: Vec<Seen>,
    /// The one-minute windows.
    pub windows: Vec<WindowRow>,
    /// Those of an hour.
    pub hours: Vec<WindowRow>,
    /// Those of a day.
    pub days: Vec<WindowRow>,
    /// Hours (`1h`) and days (`1d`) that are to be merged, or merged again.
    pub due: HashSet<((String, String, i64), String)>,
    /// What probes told that they lost.
    pub gaps: Vec<GapRow>,
}

/// A row of `probe_gaps`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GapRow {
    /// Whose.
    pub client_id: String,
    /// The event that told it.
    pub id: Uuid,
    /// The time of that event, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// How many were lost.
    pub count: i64,
    /// The times of the oldest and the newest, where they are known.
    pub times_ms: (Option<i64>, Option<i64>),
}

/// A row of `events_seen`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Whose event.
    pub client_id: String,
    /// The start of its minute, milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Its id.
    pub id: Uuid,
}

/// A row of `agg_1m`, `agg_1h` or `agg_1d`.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowRow {
    /// Client, target, and start in milliseconds since the Unix epoch.
    pub key: (String, String, i64),
    /// How many transactions added to it.
    pub revision: i64,
    /// `count_total`, `count_success`, `count_error`, the errors by stage, and `count_troubled`.
    pub counts: [i64; 11],
    /// By metric, three each.
    pub percentiles: [Option<f64>; 18],
    /// The encoded window.
    pub sketches: Vec<u8>,
}

/// The stream of events and its consumer.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// The first sequence still there.
    pub first: u64,
    /// The last sequence given.
    pub last: u64,
    /// Everything up to it is acknowledged.
    pub floor: u64,
    /// What was never delivered, and what was not acknowledged.
    pub waiting: u64,
    /// How many deliveries there were beyond the first of each message.
    pub redelivered: u64,
    /// What is in it.
    pub messages: Vec<Message>,
}

/// A message of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its place.
    pub sequence: u64,
    /// Its events, where it can be read; `None` for one that is none of ours.
    pub events: Option<Vec<Option<Name>>>,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Of which message.
    pub sequence: u64,
    /// Which event of it; `None` for all of it.
    pub index: Option<usize>,
    /// Why.
    pub reason: String,
    /// The bytes.
    pub payload: Bytes,
}

/// Bytes that can't be counted, put straight on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What must be laid aside: each run of bytes by itself.
    pub payload: Bytes,
    /// Whether the bus said that it keeps them.
    pub sure: bool,
}

/// What was seen during the run.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// How often the windows were read, and how many there were in all.
    pub reads: (u64, u64),
    /// Windows that were read with less than before.
    pub fell: Vec<String>,
    /// How often the stream was looked at.
    pub looks: u64,
    /// Messages that left the stream before they were acknowledged.
    pub purged: Vec<String>,
    /// The most memory and files of a role.
    pub most: HashMap<String, Usage>,
    /// Roles that ended though nobody told them to, or did not when they were told.
    pub conduct: Vec<String>,
    /// How many of the roles were told to end by SIGTERM, and the longest that one took.
    pub stops: (u64, Duration),
    /// What did not come to rest.
    pub unrest: Vec<String>,
}

/// What a process takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident bytes.
    pub resident: u64,
    /// Open files.
    pub files: u64,
}

/// An event that was sent when all was over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// Through which ingest.
    pub via: String,
    /// From its 202 to its window; `None` for never.
    pub took: Option<Duration>,
}

/// What is said of an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its number.
    pub number: &'static str,
    /// What must be so.
    pub claim: &'static str,
    /// What was looked at, and how much of it.
    pub judged: String,
    /// What is wrong, the first few of it.
    pub findings: Vec<String>,
    /// How much is wrong.
    pub wrong: usize,
    /// Whether it could be judged.
    pub decided: bool,
}

/// Findings that are told in words; more are counted.
const TOLD: usize = 5;

/// A fresh event must be in its window within that.
const FRESH_WITHIN: Duration = Duration::from_secs(10);

/// What a role may take: far more than it needs, and less than a leak comes to.
const MOST: Usage = Usage { resident: 1 << 30, files: 1_024 };

impl Verdict {
    fn of(number: &'static str, claim: &'static str) -> Self {
        let (judged, findings) = (String::new(), Vec::new());
        Self { number, claim, judged, findings, wrong: 0, decided: true }
    }

    fn undecided(number: &'static str, claim: &'static str, why: &str) -> Self {
        Self { judged: why.to_owned(), decided: false, ..Self::of(number, claim) }
    }

    fn judged(mut self, what: impl fmt::Display) -> Self {
        self.judged = what.to_string();
        self
    }

    fn find(&mut self, what: impl FnOnce() -> String) {
        self.wrong += 1;
        if self.findings.len() < TOLD {
            self.findings.push(what());
        }
    }

    /// Whether what was looked at is as it must be.
    pub fn is_kept(&self) -> bool {
        self.wrong == 0
    }
}

/// Judges every invariant.
pub fn judge(evidence: &Evidence) -> Vec<Verdict> {
    let Evidence { store, replayed, again, watched, .. } = evidence;
    let letters = stream::Letters::of(&evidence.letters);
    let there: HashSet<Name> = evidence.stream.names().collect();
    let seen = kept::Seen::of(&evidence.world, store);
    vec![
        kept::nothing_lost(evidence, &seen, &there),
        counted::windows(&evidence.world, store),
        merged::merged(store),
        counted::sums(store),
        counted::gaps(&evidence.world, store),
        counted::outcomes(store),
        counted::percentiles(store),
        match again {
            Some(again) => counted::unchanged(store, again),
            None => Verdict::undecided("I6", counted::UNCHANGED, "the stream was not replayed"),
        },
        match replayed {
            Some(_) if evidence.stream.first > 1 => Verdict::undecided(
                "I7",
                counted::SAME,
                "the stream has made room, so it is not whole",
            ),
            Some(other) => counted::same(store, other),
            None => Verdict::undecided("I7", counted::SAME, "the stream was not replayed"),
        },
        stream::all_accounted(evidence, &seen, &letters),
        fell(watched),
        Verdict::undecided("I10", "a probe's spool keeps its bounds", "no probe takes part"),
        fresh(&evidence.fresh, watched),
        bounded(watched),
        Verdict::undecided("I13", "counters agree with the database", "no role serves counters"),
        stream::letters(evidence),
        kept::middle(evidence, &seen),
        conduct(watched, &evidence.ledger),
    ]
}

fn fell(watched: &Watched) -> Verdict {
    let (reads, windows) = watched.reads;
    let judged = format!("{reads} reads by the API, {windows} windows");
    let mut verdict = Verdict::of("I9", "no count falls while it is watched").judged(judged);
    watched.fell.iter().for_each(|what| verdict.find(|| what.clone()));
    verdict
}

fn fresh(fresh: &[Fresh], watched: &Watched) -> Verdict {
    let slowest = fresh.iter().filter_map(|one| one.took).max().unwrap_or_default();
    let judged = format!("{} events, the slowest after {slowest:.1?}", fresh.len());
    let claim = "when faults end all comes to rest, and a fresh event to its window within 10 s";
    let mut verdict = Verdict::of("I11", claim).judged(judged);
    watched.unrest.iter().for_each(|what| verdict.find(|| what.clone()));
    for one in fresh {
        match one.took {
            Some(took) if took <= FRESH_WITHIN => {}
            Some(took) => verdict.find(|| format!("through {}: after {took:?}", one.via)),
            None => verdict.find(|| format!("through {}: never", one.via)),
        }
    }
    verdict
}

fn bounded(watched: &Watched) -> Verdict {
    let most = |of: fn(&Usage) -> u64| watched.most.values().map(of).max().unwrap_or(0);
    let (resident, files) = (most(|usage| usage.resident), most(|usage| usage.files));
    let judged =
        format!("{} roles, at most {} MiB and {files} files", watched.most.len(), resident >> 20);
    let mut verdict = Verdict::of("I12", "memory and open files are bounded").judged(judged);
    for (role, usage) in &watched.most {
        if usage.resident > MOST.resident || usage.files > MOST.files {
            let Usage { resident, files } = usage;
            verdict.find(|| format!("{role}: {} MiB, {files} files", resident >> 20));
        }
    }
    verdict
}

fn conduct(watched: &Watched, ledger: &Ledger) -> Verdict {
    let (stops, longest) = watched.stops;
    let judged = format!("{stops} times SIGTERM, the slowest took {longest:.1?}");
    let claim = "roles end when told and only then; answers are deserved";
    let mut verdict = Verdict::of("–", claim).judged(judged);
    watched.conduct.iter().chain(&ledger.wrong).for_each(|what| verdict.find(|| what.clone()));
    verdict
}
