//! Whether windows hold what the events that were counted add up to, bit for bit.

use std::collections::{BTreeMap, BTreeSet};

use model::sketch::Quantile;
use model::window::Window;
use model::{ErrorStage, Metric};

use super::{GapRow, Seen, Store, Verdict, WindowRow};
use crate::event::{Name, World};

pub(super) const UNCHANGED: &str = "replaying the stream into the same database changes nothing";
pub(super) const SAME: &str = "other order, other transactions: the same bytes";

type Key = (String, String, i64);

/// What the windows must be, given what was counted. Rows that name no event of the run are I1's.
fn expected(world: &World, seen: &[Seen]) -> BTreeMap<Key, Window> {
    let mut windows: BTreeMap<Key, Window> = BTreeMap::new();
    for row in seen {
        let named = World::client(&row.client_id).zip(world.key(row.id));
        let Some((client, key)) = named else { continue };
        let event = world.event(Name { key, client });
        let key = (row.client_id.clone(), event.target.to_string(), event.minute().start_ms());
        windows.entry(key).or_default().fold(&event);
    }
    windows
}

/// I2: each window against what it must be.
pub(super) fn windows(world: &World, store: &Store) -> Verdict {
    let mut expected = expected(world, &store.seen);
    let judged = format!("{} windows of {} events", store.windows.len(), store.seen.len());
    let claim = "each window is the fold of its events, bit for bit";
    let mut verdict = Verdict::of("I2", claim).judged(judged);
    for row in &store.windows {
        let Some(window) = expected.remove(&row.key) else {
            verdict.find(|| format!("{:?} holds events that are not marked", row.key));
            continue;
        };
        if row.sketches != window.encode() {
            let (has, wants) = (row.counts[0], window.counts().total);
            verdict.find(|| format!("{:?} counts {has}, its events are {wants}", row.key));
        } else if row.counts != counts(&window) {
            verdict.find(|| format!("{:?} has columns unlike its sketches", row.key));
        }
    }
    for (key, window) in expected {
        verdict.find(|| format!("{key:?} is missing, with {} events", window.counts().total));
    }
    verdict
}

fn counts(window: &Window) -> [i64; 11] {
    let of = window.counts();
    let mut counts = [0; 11];
    let all = [of.total, of.success, of.error()].into_iter().chain(of.errors).chain([of.troubled]);
    counts.iter_mut().zip(all).for_each(|(to, n)| *to = i64::try_from(n).unwrap_or(i64::MAX));
    counts
}

/// I3: all windows together against all ids.
pub(super) fn sums(store: &Store) -> Verdict {
    let sum = |at: usize| store.windows.iter().map(|row| row.counts[at]).sum::<i64>();
    let (total, troubled, seen) = (sum(0), sum(TROUBLED), store.seen.len());
    let claim = "all counts together, and what was set aside, are as many as the ids";
    let judged = format!("{total} counted, {troubled} set aside, {seen} ids");
    let mut verdict = Verdict::of("I3", claim).judged(judged);
    if usize::try_from(total + troubled) != Ok(seen) {
        verdict.find(|| format!("{} are counted, and {seen} are marked as seen", total + troubled));
    }
    verdict
}

/// Where `count_troubled` stands among the counts.
const TROUBLED: usize = 10;

/// I3+: what probes said that they lost, against what counted events tell.
pub(super) fn gaps(world: &World, store: &Store) -> Verdict {
    let mut expected: BTreeMap<_, GapRow> = BTreeMap::new();
    for row in &store.seen {
        let named = World::client(&row.client_id).zip(world.key(row.id));
        let Some((client, key)) = named else { continue };
        let event = world.event(Name { key, client });
        let Some(gap) = event.gap else { continue };
        let told = GapRow {
            client_id: row.client_id.clone(),
            id: row.id,
            at_ms: event.ts_ms,
            count: i64::try_from(gap.count).unwrap_or(i64::MAX),
            times_ms: (gap.first_ts_ms, gap.last_ts_ms),
        };
        expected.insert((row.client_id.clone(), row.id), told);
    }
    let lost: i64 = store.gaps.iter().map(|gap| gap.count).sum();
    let judged = format!("{} gaps of {lost} events", store.gaps.len());
    let claim = "each gap that a counted event tells is kept once, as it was told";
    let mut verdict = Verdict::of("I3+", claim).judged(judged);
    for gap in &store.gaps {
        match expected.remove(&(gap.client_id.clone(), gap.id)) {
            Some(told) if told == *gap => {}
            Some(told) => verdict.find(|| format!("{gap:?}, and it was told {told:?}")),
            None => verdict.find(|| format!("{gap:?} was told twice, or by no event")),
        }
    }
    expected.values().for_each(|told| verdict.find(|| format!("{told:?} is missing")));
    verdict
}

/// I4: successes and failures against the total.
pub(super) fn outcomes(store: &Store) -> Verdict {
    let claim = "a total is its successes and its errors by stage";
    let mut verdict = Verdict::of("I4", claim).judged(format!("{} windows", store.windows.len()));
    for row in &store.windows {
        let [total, success, error, stages @ .., _] = row.counts;
        const _: () = assert!(ErrorStage::ALL.len() == 7, "the columns are these");
        if total != success + error || error != stages.iter().sum::<i64>() {
            verdict.find(|| format!("{:?}: {:?}", row.key, row.counts));
        }
    }
    verdict
}

/// I5: percentiles against the sketches they are read from.
pub(super) fn percentiles(store: &Store) -> Verdict {
    let claim = "percentiles rise, and are what the sketches say";
    let mut verdict = Verdict::of("I5", claim);
    let mut judged = 0_usize;
    for row in &store.windows {
        let window = match Window::decode(&row.sketches) {
            Ok(window) => window,
            Err(error) => {
                verdict.find(|| format!("{:?}: {error}", row.key));
                continue;
            }
        };
        for (metric, told) in Metric::ALL.into_iter().zip(row.percentiles.chunks_exact(3)) {
            let sketch = window.sketch(metric);
            let marks = [sketch.min(), None, None, None, sketch.max()];
            let quantiles = [Quantile::P50, Quantile::P95, Quantile::P99];
            let computed = quantiles.map(|quantile| sketch.quantile(quantile));
            let rising = || {
                let [min, .., max] = marks;
                let all = [min, computed[0], computed[1], computed[2], max];
                all.is_sorted()
            };
            judged += computed.iter().flatten().count();
            if told != computed.map(|value| value.map(thousandth)) || !rising() {
                verdict.find(|| format!("{:?}: {metric} {told:?}, not {computed:?}", row.key));
            }
        }
    }
    verdict.judged(format!("{judged} percentiles"))
}

#[expect(clippy::cast_precision_loss, reason = "as the platform turns them into columns")]
fn thousandth(value: u64) -> f64 {
    value as f64 / 1e3
}

/// I6: a database before and after the stream was replayed into it.
pub(super) fn unchanged(before: &Store, after: &Store) -> Verdict {
    let judged = format!("{} windows, {} ids", after.windows.len(), after.seen.len());
    let mut verdict = Verdict::of("I6", UNCHANGED).judged(judged);
    compare(&mut verdict, before, after, |row| (row.revision, row.sketches.as_slice()));
    verdict
}

/// I7: a database against one that got the same in another way.
pub(super) fn same(one: &Store, other: &Store) -> Verdict {
    let judged = format!("{} windows, {} ids", other.windows.len(), other.seen.len());
    let mut verdict = Verdict::of("I7", SAME).judged(judged);
    // How many transactions added to a window is not the same.
    compare(&mut verdict, one, other, |row| (0, row.sketches.as_slice()));
    verdict
}

fn compare<'a>(
    verdict: &mut Verdict,
    one: &'a Store,
    other: &'a Store,
    content: impl Fn(&'a WindowRow) -> (i64, &'a [u8]),
) {
    fn sorted(store: &Store) -> Vec<&Seen> {
        let mut seen: Vec<&Seen> = store.seen.iter().collect();
        seen.sort_unstable();
        seen
    }
    if sorted(one) != sorted(other) {
        let (one, other) = (one.seen.len(), other.seen.len());
        verdict.find(|| format!("the ids differ: {one} and {other} of them"));
    }
    let told = |store: &Store| store.gaps.iter().cloned().collect::<BTreeSet<GapRow>>();
    if told(one) != told(other) || one.gaps.len() != other.gaps.len() {
        let (one, other) = (one.gaps.len(), other.gaps.len());
        verdict.find(|| format!("the gaps differ: {one} and {other} of them"));
    }
    let rows = |store: &'a Store| -> BTreeMap<&'a Key, &'a WindowRow> {
        store.windows.iter().map(|row| (&row.key, row)).collect()
    };
    let (ones, mut others) = (rows(one), rows(other));
    for (key, row) in ones {
        let like =
            |other: &WindowRow| (row.counts, row.percentiles) == (other.counts, other.percentiles);
        match others.remove(key) {
            Some(other) if like(other) && content(row) == content(other) => {}
            Some(_) => verdict.find(|| format!("{key:?} differs")),
            None => verdict.find(|| format!("{key:?} is missing")),
        }
    }
    others.keys().for_each(|key| verdict.find(|| format!("{key:?} is new")));
}
