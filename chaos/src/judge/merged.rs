//! Whether hours and days are what their parts merge to, also where a late event came after them.

use std::collections::BTreeMap;

use model::window::Window;

use super::{Store, Verdict, WindowRow};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

type Key = (String, String, i64);

/// Hours against minutes, and days against hours; those that are still to be merged again are
/// passed over.
pub(super) fn merged(store: &Store) -> Verdict {
    let claim = "hours and days are the merge of their parts, bit for bit";
    let mut verdict = Verdict::of("I2+", claim);
    let due_hour = |key: &Key| store.due.contains(&(key.clone(), "1h".to_owned()));
    let due_day = |key: &Key| store.due.contains(&(key.clone(), "1d".to_owned()));
    let hours = compare(&mut verdict, "hour", &store.windows, &store.hours, HOUR_MS, due_hour);
    // An hour that changes makes its day due, but only then.
    let unsettled = |key: &Key| {
        let of_day =
            |hour: &Key| (&hour.0, &hour.1, start_of(hour.2, DAY_MS)) == (&key.0, &key.1, key.2);
        due_day(key) || store.due.iter().any(|(hour, span)| span == "1h" && of_day(hour))
    };
    let days = compare(&mut verdict, "day", &store.hours, &store.days, DAY_MS, unsettled);
    verdict.judged(format!("{hours} hours and {days} days"))
}

/// How many were compared.
fn compare(
    verdict: &mut Verdict,
    what: &str,
    parts: &[WindowRow],
    wholes: &[WindowRow],
    length_ms: i64,
    is_due: impl Fn(&Key) -> bool,
) -> usize {
    let mut expected: BTreeMap<Key, Window> = BTreeMap::new();
    for part in parts {
        let (client, target, start) = &part.key;
        let key = (client.clone(), target.clone(), start_of(*start, length_ms));
        // One that can't be read is found elsewhere.
        if let Ok(window) = Window::decode(&part.sketches) {
            expected.entry(key).or_default().merge(&window);
        }
    }
    let mut compared = 0;
    for whole in wholes {
        let window = expected.remove(&whole.key);
        if is_due(&whole.key) {
            continue;
        }
        compared += 1;
        match window {
            Some(window) if window.encode() == whole.sketches => {}
            Some(window) => verdict.find(|| {
                let (has, wants) = (whole.counts[0], window.counts().total);
                format!("{what} {:?} counts {has}, its parts {wants}", whole.key)
            }),
            None => verdict.find(|| format!("{what} {:?} has no parts", whole.key)),
        }
    }
    for key in expected.keys().filter(|key| !is_due(key)) {
        verdict.find(|| format!("{what} {key:?} is missing"));
    }
    compared
}

fn start_of(ms: i64, length_ms: i64) -> i64 {
    ms.div_euclid(length_ms) * length_ms
}
