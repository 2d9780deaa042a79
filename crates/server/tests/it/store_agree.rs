//! The same events give the same windows on either store, in any order and batching, with
//! duplicates, by one aggregator or four.

use std::sync::Mutex;
use std::thread;

use model::units::MINUTE_MS;
use model::{Event, Gap, Target};
use proptest::prelude::*;
use server::store::Class;

use crate::world::{T0, World, event};

/// How many events there are to be sent.
const EVENTS: usize = 400;

/// Events of clients and targets over minutes of two days, some windows of one event, some with
/// so many that their sketches leave the exact form; ids repeat over clients.
fn pool() -> Vec<Event> {
    (0..EVENTS)
        .map(|n| {
            let client = ["a", "b", "c", "ü", "A"][n % 5];
            let target = format!("https://t{}.example/", n % 3);
            let minute = if n % 2 == 0 { 0 } else { (n as i64 * 7 % 11) * 400 };
            let mut event = event(client, n as u64 / 5, T0 + minute * MINUTE_MS + n as i64);
            event.target = Target::trusted(target);
            event.troubled = n % 13 == 0;
            event.gap = (n % 17 == 0).then(|| Gap {
                count: n as u64 + 1,
                first_ts_ms: (n % 2 == 0).then_some(T0 - 9),
                last_ts_ms: (n % 3 == 0).then_some(T0 + n as i64),
            });
            event.timings.ttfb = Some(model::units::Micros(40_000 + (n * n % 9_973) as u64));
            event
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_keep_the_same_windows(
        order in Just((0..EVENTS).collect::<Vec<_>>()).prop_shuffle(),
        again in prop::collection::vec(0..EVENTS, 0..80),
        size in 1..EVENTS / 2,
        aggregators in prop_oneof![Just(1), Just(4)],
    ) {
        let pool = pool();
        let [embedded, shared] = [World::new(), World::shared()];
        let mut writer = embedded.store.writer().unwrap();
        writer.apply(std::slice::from_ref(&pool), T0).unwrap();

        let sent: Vec<usize> = order.into_iter().chain(again).collect();
        let batches: Vec<Vec<Event>> = sent
            .chunks(size)
            .map(|batch| batch.iter().map(|&at| pool[at].clone()).collect())
            .collect();
        let left = Mutex::new(batches.iter());
        let duplicates = Mutex::new(0);
        thread::scope(|scope| {
            for _ in 0..aggregators {
                scope.spawn(|| {
                    let mut writer = shared.store.writer().unwrap();
                    while let Some(batch) = { left.lock().unwrap().next() } {
                        let counted = loop {
                            match writer.apply(std::slice::from_ref(batch), T0 + 1) {
                                Ok(counted) => break counted[0],
                                Err(error) => assert_eq!(error.class(), Class::Again, "{error}"),
                            }
                        };
                        *duplicates.lock().unwrap() += counted;
                    }
                });
            }
        });
        prop_assert_eq!(duplicates.into_inner().unwrap(), sent.len() - EVENTS);
        prop_assert_eq!(embedded.contents(), shared.contents());
        prop_assert_eq!(embedded.gaps().len(), EVENTS.div_ceil(17));
        prop_assert_eq!(embedded.gaps(), shared.gaps());
    }
}
