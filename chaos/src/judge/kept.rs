//! Whether every event that is owed was counted, and no other.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Evidence, Store, Verdict};
use crate::event::{Name, World};
use crate::ledger::Standing;

/// The events a database says were counted.
pub(super) struct Seen {
    /// How often each.
    times: HashMap<Name, usize>,
    /// Rows that name no event of the run, or put one where it does not belong.
    strange: Vec<String>,
}

impl Seen {
    pub(super) fn of(world: &World, store: &Store) -> Self {
        let mut times = HashMap::with_capacity(store.seen.len());
        let mut strange = Vec::new();
        for row in &store.seen {
            let named = World::client(&row.client_id).zip(world.key(row.id));
            match named.map(|(client, key)| Name { key, client }) {
                None => strange.push(format!("{} of {} was never sent", row.id, row.client_id)),
                Some(name) => {
                    let start_ms = world.event(name).minute().start_ms();
                    if start_ms != row.start_ms {
                        let at = row.start_ms;
                        strange.push(format!("{name:?} is marked at {at}, not {start_ms}"));
                    }
                    *times.entry(name).or_default() += 1;
                }
            }
        }
        Self { times, strange }
    }

    pub(super) fn has(&self, name: Name) -> bool {
        self.times.contains_key(&name)
    }
}

/// I1. `there` is what the bus holds.
pub(super) fn nothing_lost(evidence: &Evidence, seen: &Seen, there: &HashSet<Name>) -> Verdict {
    let ledger = &evidence.ledger;
    let (sent, owed) = ledger.counts();
    let counted = seen.times.len();
    let known = seen.times.keys().filter(|name| ledger.standing(**name) == Some(Standing::Owed));
    let recovered = counted - known.count().min(counted);
    let judged = format!(
        "{owed} owed of {sent} sent; {counted} counted, {recovered} of them never answered 202"
    );
    let claim = "what was answered 202 is counted, and nothing that was not sent";
    let mut verdict = Verdict::of("I1", claim).judged(judged);
    let mut lost: Vec<Name> = ledger.obligations().filter(|name| !seen.has(*name)).collect();
    lost.sort_unstable();
    for name in lost {
        let place = if there.contains(&name) { "is in the stream" } else { "is not in the stream" };
        verdict.find(|| format!("lost: {name:?}, which {place}"));
    }
    for (name, times) in &seen.times {
        if *times > 1 {
            verdict.find(|| format!("{name:?} is marked {times} times"));
        }
        if ledger.standing(*name).is_none() {
            verdict.find(|| format!("{name:?} was never sent"));
        }
    }
    seen.strange.iter().for_each(|what| verdict.find(|| what.clone()));
    verdict
}

/// Where in what a writer sent the lost events are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lost {
    /// Before the first that was counted.
    prefix: usize,
    /// Between two that were.
    middle: usize,
    /// After the last that was.
    postfix: usize,
}

/// I15. What was lost at the end may be late; what was lost in the middle is lost.
pub(super) fn middle(evidence: &Evidence, seen: &Seen) -> Verdict {
    // In the order in which they were made.
    let mut writers: BTreeMap<u16, Vec<(Name, bool)>> = BTreeMap::new();
    for name in evidence.ledger.obligations() {
        writers.entry(name.key.writer).or_default().push((name, seen.has(name)));
    }
    let mut all = Lost::default();
    let judged = writers.len();
    for names in writers.values_mut() {
        names.sort_unstable_by_key(|(name, _)| (name.key.counter, name.client));
        let lost = lost(names.iter().map(|(_, seen)| *seen));
        all.prefix += lost.prefix;
        all.middle += lost.middle;
        all.postfix += lost.postfix;
    }
    let Lost { prefix, middle, postfix } = all;
    let judged = format!(
        "{judged} writers; lost: {prefix} at the beginning, {middle} amidst, {postfix} at the end"
    );
    let mut verdict = Verdict::of("I15", "nothing is missing amidst what is there").judged(judged);
    for _ in 0..prefix + middle + postfix {
        verdict.find(|| "see I1".to_owned());
    }
    verdict
}

fn lost(seen: impl Iterator<Item = bool>) -> Lost {
    let mut lost = Lost::default();
    let (mut any, mut run) = (false, 0);
    for seen in seen {
        if !seen {
            run += 1;
        } else {
            *(if any { &mut lost.middle } else { &mut lost.prefix }) += run;
            (any, run) = (true, 0);
        }
    }
    lost.postfix = run;
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_was_lost_is_told() {
        let of = |text: &str| lost(text.chars().map(|c| c == 'x'));
        assert_eq!(of("..xx.x.xx..."), Lost { prefix: 2, middle: 2, postfix: 3 });
        assert_eq!(of("xxx"), Lost::default());
        assert_eq!(of("..."), Lost { prefix: 0, middle: 0, postfix: 3 });
    }
}
