//! Each event counts once, whatever happens to its batch.

use model::units::{MINUTE_MS, Minute};
use model::window::Window;
use model::{ClientId, Event};
use proptest::prelude::*;
use server::aggregator::{Applied, Settings, Unavailable};
use server::store::schema;

use crate::world::{Running, T0, World, event};

fn settings() -> Settings {
    Settings { now: || T0, ..Settings::default() }
}

#[tokio::test]
async fn an_event_counts_once_within_a_batch_and_across_batches() {
    let world = World::new();
    let Running { aggregator, .. } = &world.start(settings());
    let twice = vec![event("c", 1, T0), event("c", 2, T0), event("c", 1, T0)];
    assert_eq!(aggregator.submit(twice.clone()).await.unwrap(), Applied { duplicates: 1 });
    assert_eq!(aggregator.submit(twice).await.unwrap(), Applied { duplicates: 3 });
    let [window] = &world.windows()[..] else { panic!() };
    assert_eq!((window.counts.total, window.revision), (2, 1));
}

#[tokio::test]
async fn ids_are_per_client() {
    let world = World::new();
    let Running { aggregator, .. } = &world.start(settings());
    let both = vec![event("a", 1, T0), event("b", 1, T0)];
    assert_eq!(aggregator.submit(both).await.unwrap(), Applied { duplicates: 0 });
    assert_eq!(world.windows().len(), 2);
}

#[tokio::test]
async fn requests_that_share_a_transaction_are_each_told_of_their_own_duplicates() {
    let world = World::new();
    let mut writer = world.store.writer().unwrap();
    let batches = [vec![event("c", 1, T0)], vec![event("c", 1, T0), event("c", 2, T0)]];
    assert_eq!(writer.apply(&batches, T0).unwrap(), [0, 1]);
    assert_eq!(writer.apply(&batches, T0).unwrap(), [1, 2]);
}

#[tokio::test]
async fn a_flood_of_duplicates_leaves_every_row_as_it_was() {
    let world = World::new();
    let Running { aggregator, .. } = &world.start(settings());
    let batch: Vec<_> = (0..200).map(|n| event("c", n, T0 + n.cast_signed() * 1_000)).collect();
    aggregator.submit(batch.clone()).await.unwrap();
    let before = world.windows();
    for _ in 0..50 {
        assert_eq!(aggregator.submit(batch.clone()).await.unwrap().duplicates, 200);
    }
    assert_eq!(world.windows(), before);
}

#[tokio::test]
async fn late_events_count_in_a_new_revision_of_their_window() {
    let world = World::new();
    let Running { aggregator, .. } = &world.start(settings());
    for (revision, late_ms) in [(1, 0), (2, 3 * MINUTE_MS), (3, 6 * 24 * 60 * MINUTE_MS)] {
        // Late by the clock of the server; the window is that of the event.
        let now = T0 + late_ms;
        aggregator.submit(vec![event("c", revision, T0), event("c", revision, now)]).await.unwrap();
        let window = &world.windows()[0];
        assert_eq!((window.window_start_ts, window.revision), (T0, revision));
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_counts_nothing() {
    let world = World::new();
    let Running { aggregator, .. } = &world.start(Settings { queue_events: 2, ..settings() });
    let three = (0..3).map(|n| event("c", n, T0)).collect();
    let refused = aggregator.submit(three).await;
    assert!(matches!(refused, Err(Unavailable::QueueFull)), "{refused:?}");
    assert!(world.windows().is_empty());
    let two = (0..2).map(|n| event("c", n, T0)).collect();
    assert_eq!(aggregator.submit(two).await.unwrap(), Applied { duplicates: 0 });
}

#[tokio::test]
async fn a_store_that_fails_is_told_of_and_taken_up_again() {
    let world = World::new();
    let Running { aggregator, .. } = &world.start(settings());
    let batch = vec![event("c", 1, T0)];
    assert!(aggregator.ready());
    schema::down(&world.dir(), 0).unwrap();
    let failed = aggregator.submit(batch.clone()).await;
    assert!(matches!(failed, Err(Unavailable::Store(_))), "{failed:?}");
    assert!(aggregator.alive() && !aggregator.ready());
    schema::up(&world.dir()).unwrap();
    assert_eq!(aggregator.submit(batch).await.unwrap(), Applied { duplicates: 0 });
    assert!(aggregator.ready());
    assert_eq!(world.windows().len(), 1);
}

#[tokio::test]
async fn what_was_queued_before_the_end_is_counted_and_what_comes_later_is_refused() {
    let world = World::new();
    let Running { aggregator, mut writer } = world.start(settings());
    let queued: Vec<_> = (0..20)
        .map(|n| {
            let aggregator = aggregator.clone();
            async move { aggregator.submit(vec![event("c", n, T0)]).await }
        })
        .collect();
    let all = futures_util::future::join_all(queued);
    let close = async { aggregator.close() };
    let (answers, ()) = tokio::join!(all, close);
    writer.finished().await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(world.windows()[0].counts.total, 20);
    let refused = aggregator.submit(vec![event("c", 99, T0)]).await;
    assert!(matches!(refused, Err(Unavailable::Closed)), "{refused:?}");
    assert!(!aggregator.alive());
}

#[tokio::test]
async fn a_restart_remembers_what_was_counted() {
    let world = World::new();
    let batch: Vec<_> = (0..10).map(|n| event("c", n, T0)).collect();
    for duplicates in [0, 10] {
        let running = world.start(settings());
        let applied = running.aggregator.submit(batch.clone()).await.unwrap();
        assert_eq!(applied, Applied { duplicates });
        running.stop().await;
    }
    assert_eq!(world.windows()[0].counts.total, 10);
}

/// What can happen to a batch on its way.
#[derive(Clone, Debug)]
enum Op {
    /// It arrives with some others in one transaction.
    Send { batches: Vec<Vec<usize>> },
    /// One that was sent comes again, as it was.
    Redeliver { which: prop::sample::Index },
    /// The program dies before the commit: the sender has no answer and sends again.
    CrashBeforeCommit { batch: Vec<usize> },
    /// The program dies after the commit: the sender has no answer and sends again.
    CrashAfterCommit { batch: Vec<usize> },
}

/// How many events there are to be sent.
const EVENTS: usize = 60;

fn pool() -> Vec<Event> {
    (0..EVENTS)
        .map(|n| {
            let client = ["a", "b", "c"][n % 3];
            // Six minutes, and ids that repeat over clients.
            event(client, n as u64 / 2, T0 + (n as i64 * 7 % 6) * MINUTE_MS)
        })
        .collect()
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let batch = || prop::collection::vec(0..EVENTS, 0..12);
    let op = prop_oneof![
        4 => prop::collection::vec(batch(), 1..4).prop_map(|batches| Op::Send { batches }),
        2 => any::<prop::sample::Index>().prop_map(|which| Op::Redeliver { which }),
        1 => batch().prop_map(|batch| Op::CrashBeforeCommit { batch }),
        1 => batch().prop_map(|batch| Op::CrashAfterCommit { batch }),
    ];
    prop::collection::vec(op, 1..20)
}

/// What must be there once each of `sent` was answered: each event folded once.
fn expected(sent: &[usize]) -> Vec<(ClientId, Minute, Vec<u8>)> {
    let pool = pool();
    let mut windows = std::collections::BTreeMap::<_, Window>::new();
    let mut unique = sent.to_vec();
    unique.sort_unstable();
    unique.dedup();
    // Backwards, since the order must not matter.
    for event in unique.into_iter().rev().map(|at| &pool[at]) {
        let window = windows.entry((event.client.clone(), event.minute())).or_default();
        window.fold(event);
    }
    windows.into_iter().map(|((client, at), window)| (client, at, window.encode())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn accepted_means_counted_once(ops in ops()) {
        let world = World::new();
        let pool = pool();
        let events = |batch: &[usize]| batch.iter().map(|&at| pool[at].clone()).collect::<Vec<_>>();
        let mut writer = world.store.writer().unwrap();
        let mut sent: Vec<Vec<usize>> = Vec::new();
        for op in ops {
            let batches = match op {
                Op::Send { batches } => batches,
                Op::Redeliver { .. } if sent.is_empty() => continue,
                Op::Redeliver { which } => vec![which.get(&sent).clone()],
                Op::CrashBeforeCommit { batch } => {
                    let dying = world.store.writer().unwrap();
                    drop(std::mem::replace(&mut writer, dying));
                    vec![batch]
                }
                Op::CrashAfterCommit { batch } => {
                    writer.apply(&[events(&batch)], T0).unwrap();
                    writer = world.store.writer().unwrap();
                    vec![batch]
                }
            };
            let known: std::collections::BTreeSet<_> = sent.iter().flatten().copied().collect();
            let handed: Vec<_> = batches.iter().map(|batch| events(batch)).collect();
            let duplicates = writer.apply(&handed, T0).unwrap();
            for (batch, duplicates) in batches.iter().zip(duplicates) {
                let surely = batch.iter().filter(|at| known.contains(at)).count();
                prop_assert!((surely..=batch.len()).contains(&duplicates));
            }
            sent.extend(batches);
        }
        let found: Vec<_> = world
            .contents()
            .into_iter()
            .map(|(row, bytes)| {
                (ClientId::trusted(row.client_id), Minute::of_ms(row.window_start_ts), bytes)
            })
            .collect();
        prop_assert_eq!(found, expected(&sent.concat()));
    }

    #[test]
    fn order_and_batching_leave_the_same_rows(
        order in Just((0..EVENTS).collect::<Vec<_>>()).prop_shuffle(),
        size in 1..EVENTS,
    ) {
        let pool = pool();
        let [together, apart] = [World::new(), World::new()];
        together.store.writer().unwrap().apply(std::slice::from_ref(&pool), T0).unwrap();
        let mut writer = apart.store.writer().unwrap();
        for batch in order.chunks(size) {
            let batch = batch.iter().map(|&at| pool[at].clone()).collect();
            writer.apply(&[batch], T0 + 1).unwrap();
        }
        prop_assert_eq!(together.contents(), apart.contents());
    }
}
