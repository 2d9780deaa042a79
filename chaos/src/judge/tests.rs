//! A platform that kept everything, and the same one broken in every way: each must be found.

use model::Metric;
use model::sketch::Quantile;
use model::window::Window;

use super::*;
use crate::event::Key;

const WORLD: World = World { seed: 3, began_ms: 1_764_000_000_000 };

/// Events, all answered 202, two to a message; then a message that can't be read and one with an
/// event that can't.
fn whole() -> Evidence {
    let keys = (0..400).map(|n| Key { writer: n as u16 % 4, minute: 0, counter: n / 4 });
    let names: Vec<Name> =
        keys.flat_map(|key| [Some(WORLD.home(key)), WORLD.twin(key)]).flatten().collect();
    let mut ledger = Ledger::default();
    ledger.sending(&names);
    ledger.owed(&names);
    let mut messages: Vec<Message> = names
        .chunks(2)
        .zip(1..)
        .map(|(names, sequence)| Message {
            sequence,
            events: Some(names.iter().map(|name| Some(*name)).collect()),
        })
        .collect();
    let last = messages.len() as u64 + 2;
    messages.push(Message { sequence: last - 1, events: None });
    messages.push(Message { sequence: last, events: Some(vec![Some(names[0]), None]) });
    let letter = |sequence, index, payload: &'static str| Letter {
        sequence,
        index,
        reason: "broken".to_owned(),
        payload: payload.into(),
    };
    let broken = |payload: &'static str| Broken { payload: payload.into(), sure: true };
    let store = store(&names);
    Evidence {
        world: WORLD,
        ledger,
        replayed: Some(store.clone()),
        again: Some(store.clone()),
        store,
        stream: Stream { first: 1, last, floor: last, waiting: 0, redelivered: 0, messages },
        letters: vec![letter(last - 1, None, "hello"), letter(last, Some(1), "{")],
        broken: vec![broken("hello"), broken("{")],
        watched: Watched::default(),
        fresh: vec![Fresh { via: "ingest-1".to_owned(), took: Some(Duration::from_secs(1)) }],
    }
}

fn store(names: &[Name]) -> Store {
    let mut windows = Windows::new();
    let (mut seen, mut gaps) = (Vec::new(), Vec::new());
    for name in names {
        let event = WORLD.event(*name);
        let (client_id, start_ms) = (event.client.to_string(), event.minute().start_ms());
        seen.push(Seen { client_id: client_id.clone(), start_ms, id: event.id });
        gaps.extend(event.gap.map(|gap| GapRow {
            client_id: client_id.clone(),
            id: event.id,
            at_ms: event.ts_ms,
            count: gap.count.cast_signed(),
            times_ms: (gap.first_ts_ms, gap.last_ts_ms),
        }));
        windows.entry((client_id, event.target.to_string(), start_ms)).or_default().fold(&event);
    }
    let hours = merged(&windows, 3_600_000);
    let days = merged(&hours, 24 * 3_600_000);
    let rows = |windows: HashMap<_, _>| windows.into_iter().map(|(key, w)| row(key, &w)).collect();
    let (windows, hours, days) = (rows(windows), rows(hours), rows(days));
    Store { seen, windows, hours, days, due: HashSet::new(), gaps }
}

type Windows = HashMap<(String, String, i64), Window>;

fn merged(parts: &Windows, length_ms: i64) -> Windows {
    let mut wholes = Windows::new();
    for ((client, target, start), window) in parts {
        let start = start.div_euclid(length_ms) * length_ms;
        wholes.entry((client.clone(), target.clone(), start)).or_default().merge(window);
    }
    wholes
}

fn row(key: (String, String, i64), window: &Window) -> WindowRow {
    let of = window.counts();
    let all = [of.total, of.success, of.error()].into_iter().chain(of.errors).chain([of.troubled]);
    let mut counts = [0; 11];
    counts.iter_mut().zip(all).for_each(|(to, n)| *to = n.cast_signed());
    let mut percentiles = [None; 18];
    let quantiles = [Quantile::P50, Quantile::P95, Quantile::P99];
    let all = Metric::ALL.into_iter().flat_map(|metric| {
        quantiles.map(|quantile| window.sketch(metric).quantile(quantile).map(|v| v as f64 / 1e3))
    });
    percentiles.iter_mut().zip(all).for_each(|(to, value)| *to = value);
    WindowRow { key, revision: 1, counts, percentiles, sketches: window.encode() }
}

/// The numbers of what is found broken.
fn broken(evidence: &Evidence) -> Vec<&'static str> {
    let verdicts = judge(evidence);
    verdicts.iter().filter(|verdict| !verdict.is_kept()).map(|verdict| verdict.number).collect()
}

fn after(damage: impl FnOnce(&mut Evidence)) -> Vec<&'static str> {
    let mut evidence = whole();
    damage(&mut evidence);
    broken(&evidence)
}

/// The row of the window with the most events.
fn fullest(store: &mut Store) -> &mut WindowRow {
    store.windows.iter_mut().max_by_key(|row| row.counts[0]).unwrap()
}

#[test]
fn what_is_whole_is_found_so() {
    let verdicts = judge(&whole());
    assert!(verdicts.iter().all(Verdict::is_kept), "{verdicts:#?}");
    let undecided = verdicts.iter().filter(|verdict| !verdict.decided);
    assert_eq!(undecided.map(|verdict| verdict.number).collect::<Vec<_>>(), ["I10", "I13"]);
}

#[test]
fn a_lost_event_is_found() {
    // Acknowledged before the commit, and the commit never came: neither mark nor count.
    let numbers = after(|evidence| {
        let names: Vec<Name> = evidence.stream.names().collect();
        evidence.store = store(&names[..names.len() / 2]);
        evidence.replayed = None;
        evidence.again = None;
    });
    assert_eq!(numbers, ["I1", "I8", "I15"]);
}

#[test]
fn what_the_bus_lost_is_found() {
    let numbers = after(|evidence| {
        evidence.stream.messages.remove(10);
    });
    assert_eq!(numbers, ["I8"]);
    assert_eq!(after(|evidence| evidence.stream.floor = 0), Vec::<&str>::new());
    assert_eq!(after(|evidence| evidence.stream.first = 500), ["I8"]);
    // What was acknowledged may go, to make room.
    let purged = |evidence: &mut Evidence| {
        evidence.stream.messages.drain(..9);
        evidence.stream.first = 10;
        evidence.replayed = Some(Store::default());
    };
    assert_eq!(after(purged), Vec::<&str>::new());
}

#[test]
fn an_event_marked_and_not_counted_is_found() {
    let numbers = after(|evidence| {
        evidence.store.windows.pop();
        evidence.again = Some(evidence.store.clone());
    });
    assert_eq!(numbers, ["I2", "I2+", "I3", "I7"]);
}

#[test]
fn an_event_counted_twice_is_found() {
    let numbers = after(|evidence| {
        let name = evidence.stream.names().next().unwrap();
        let event = WORLD.event(name);
        let of_it = |row: &&mut WindowRow| {
            (row.key.0.as_str(), row.key.1.as_str(), row.key.2)
                == (event.client.as_str(), event.target.as_str(), event.minute().start_ms())
        };
        let found = evidence.store.windows.iter_mut().find(of_it).unwrap();
        let mut window = Window::decode(&found.sketches).unwrap();
        window.fold(&event);
        *found = row(found.key.clone(), &window);
        evidence.again = Some(evidence.store.clone());
    });
    assert_eq!(numbers, ["I2", "I2+", "I3", "I7"]);
}

#[test]
fn a_window_overwritten_by_its_last_events_is_found() {
    let numbers = after(|evidence| {
        let found = fullest(&mut evidence.store);
        assert!(found.counts[0] > 1);
        let names = evidence.ledger.obligations().collect::<Vec<_>>();
        let of_it = names.iter().map(|name| WORLD.event(*name)).find(|event| {
            (event.client.as_str(), event.target.as_str(), event.minute().start_ms())
                == (found.key.0.as_str(), found.key.1.as_str(), found.key.2)
        });
        let mut window = Window::default();
        window.fold(&of_it.unwrap());
        *found = row(found.key.clone(), &window);
        evidence.again = Some(evidence.store.clone());
    });
    assert_eq!(numbers, ["I2", "I2+", "I3", "I7"]);
}

#[test]
fn an_event_taken_for_another_clients_is_found() {
    let numbers = after(|evidence| {
        let names: Vec<Name> = evidence.stream.names().collect();
        let twin = names.iter().find(|name| WORLD.home(name.key) != **name).unwrap();
        let others: Vec<Name> = names.iter().filter(|name| *name != twin).copied().collect();
        evidence.store = store(&others);
        evidence.again = None;
        evidence.replayed = None;
    });
    assert_eq!(numbers, ["I1", "I8", "I15"]);
}

#[test]
fn what_was_never_sent_is_found() {
    let strange = Seen { client_id: "chaos-01".to_owned(), start_ms: 0, id: Uuid::from_u128(1) };
    let numbers = after(|evidence| evidence.store.seen.push(strange));
    assert_eq!(numbers, ["I1", "I3", "I6", "I7"]);
    let key = Key { writer: 40, minute: 1, counter: 7 };
    let numbers = after(|evidence| {
        let names = [WORLD.home(key)];
        let more = store(&names);
        evidence.store.seen.extend(more.seen);
        evidence.store.windows.extend(more.windows);
        evidence.store.hours.clear();
        evidence.store.days.clear();
        evidence.again = Some(evidence.store.clone());
        evidence.replayed = Some(evidence.store.clone());
    });
    assert_eq!(numbers, ["I1", "I2+"]);
}

#[test]
fn a_mark_in_the_wrong_minute_or_twice_is_found() {
    let shift = |evidence: &mut Evidence| evidence.store.seen[0].start_ms += 60_000;
    assert_eq!(after(shift), ["I1", "I6", "I7"]);
    let numbers = after(|evidence| {
        let mut again = evidence.store.seen[0].clone();
        again.start_ms += 60_000;
        evidence.store.seen.push(again);
    });
    assert_eq!(numbers, ["I1", "I2", "I3", "I6", "I7"]);
}

#[test]
fn columns_unlike_their_sketches_are_found() {
    let count = |evidence: &mut Evidence| fullest(&mut evidence.store).counts[3] += 1;
    assert_eq!(after(count), ["I2", "I4", "I6", "I7"]);
    let percentile = |evidence: &mut Evidence| {
        let row = fullest(&mut evidence.store);
        row.percentiles[12] = row.percentiles[12].map(|value| value + 0.001);
    };
    assert_eq!(after(percentile), ["I5", "I6", "I7"]);
    let bytes = |evidence: &mut Evidence| fullest(&mut evidence.store).sketches.push(0);
    assert_eq!(after(bytes), ["I2", "I2+", "I5", "I6", "I7"]);
}

#[test]
fn gaps_that_are_missing_twice_or_changed_are_found() {
    let missing = |evidence: &mut Evidence| drop(evidence.store.gaps.pop());
    assert_eq!(after(missing), ["I3+", "I6", "I7"]);
    let twice = |evidence: &mut Evidence| {
        let again = evidence.store.gaps[0].clone();
        evidence.store.gaps.push(again);
    };
    assert_eq!(after(twice), ["I3+", "I6", "I7"]);
    let changed = |evidence: &mut Evidence| evidence.store.gaps[0].count += 1;
    assert_eq!(after(changed), ["I3+", "I6", "I7"]);
}

#[test]
fn what_was_set_aside_and_is_not_told_is_found() {
    let forgotten = |evidence: &mut Evidence| {
        let row = evidence.store.windows.iter_mut().find(|row| row.counts[10] > 0).unwrap();
        row.counts[10] = 0;
    };
    assert_eq!(after(forgotten), ["I2", "I3", "I6", "I7"]);
}

#[test]
fn a_replay_that_counts_again_is_found() {
    let numbers = after(|evidence| {
        let again = evidence.again.as_mut().unwrap();
        fullest(again).revision += 1;
    });
    assert_eq!(numbers, ["I6"]);
}

#[test]
fn an_hour_that_was_not_merged_again_is_found_unless_it_will_be() {
    let stale = |evidence: &mut Evidence| {
        let hour = evidence.store.hours.iter_mut().max_by_key(|row| row.counts[0]).unwrap();
        let mut window = Window::decode(&hour.sketches).unwrap();
        window.merge(&window.clone());
        *hour = row(hour.key.clone(), &window);
        hour.key.clone()
    };
    // The day is of the hour that was.
    assert_eq!(after(|evidence| drop(stale(evidence))), ["I2+"]);
    let due = |evidence: &mut Evidence| {
        let key = stale(evidence);
        evidence.store.due.insert((key, "1h".to_owned()));
    };
    assert_eq!(after(due), Vec::<&str>::new());
    assert_eq!(after(|evidence| evidence.store.days.clear()), ["I2+"]);
    assert_eq!(after(|evidence| evidence.store.hours.clear()), ["I2+"]);
}

#[test]
fn letters_that_are_missing_changed_or_good_are_found() {
    assert_eq!(after(|evidence| evidence.letters.truncate(1)), ["I8", "I14"]);
    let changed = |evidence: &mut Evidence| evidence.letters[1].payload = "[".into();
    assert_eq!(after(changed), ["I14"]);
    let good = |evidence: &mut Evidence| {
        let name = evidence.stream.names().next().unwrap();
        let payload = WORLD.text(name).into();
        let letter = Letter { sequence: 1, index: Some(0), reason: String::new(), payload };
        evidence.letters.push(letter);
    };
    assert_eq!(after(good), ["I14"]);
    // One that comes again is laid aside again, and one that was not confirmed need not be there.
    let again = |evidence: &mut Evidence| evidence.letters.push(evidence.letters[0].clone());
    let unsure = |evidence: &mut Evidence| {
        evidence.broken.push(Broken { payload: "?".into(), sure: false });
    };
    assert_eq!((after(again), after(unsure)), (vec![], vec![]));
}

#[test]
fn what_was_seen_on_the_way_is_told() {
    let fell = |evidence: &mut Evidence| evidence.watched.fell.push("7 after 8".to_owned());
    assert_eq!(after(fell), ["I9"]);
    assert_eq!(after(|evidence| evidence.fresh[0].took = None), ["I11"]);
    let slow = |evidence: &mut Evidence| evidence.fresh[0].took = Some(Duration::from_secs(11));
    assert_eq!(after(slow), ["I11"]);
    let unrest = |evidence: &mut Evidence| evidence.watched.unrest.push("9 wait".to_owned());
    assert_eq!(after(unrest), ["I11"]);
    let leak = |evidence: &mut Evidence| {
        let usage = Usage { resident: 3 << 30, files: 1 };
        evidence.watched.most.insert("api".to_owned(), usage);
    };
    assert_eq!(after(leak), ["I12"]);
    assert_eq!(after(|evidence| evidence.ledger.wrong("401".to_owned())), ["–"]);
}
