//! What a probe says of itself, in both stores: what it lost, and what is set aside.

use model::units::{MINUTE_MS, Minute};
use model::window::Counts;
use model::{ErrorStage, Event, Gap};
use server::aggregator::Settings;
use server::diagnoser::{self, Fleet};
use server::rollup;
use server::store::{GapQuery, GapRow, IncidentQuery, Retention, Rollup, Span, WindowQuery};

use crate::world::{ALWAYS, T0, World, event, minute};

const LOST: Gap = Gap { count: 7, first_ts_ms: Some(T0 - 9_000), last_ts_ms: Some(T0 - 2_000) };

fn telling(client: &str, n: u64, ts_ms: i64, gap: Gap) -> Event {
    Event { gap: Some(gap), ..event(client, n, ts_ms) }
}

fn row(client: &str, at_ts: i64, gap: Gap) -> GapRow {
    let client_id = client.to_owned();
    let Gap { count, first_ts_ms, last_ts_ms } = gap;
    GapRow { client_id, at_ts, count, first_ts: first_ts_ms, last_ts: last_ts_ms }
}

async fn each(test: impl AsyncFn(World)) {
    for world in [World::new(), World::shared()] {
        test(world).await;
    }
}

#[tokio::test]
async fn a_gap_is_noted_once_however_often_its_event_comes() {
    each(async |world| {
        let mut writer = world.store.writer().unwrap();
        let unknown = Gap { count: 1, first_ts_ms: None, last_ts_ms: None };
        let batch = vec![
            telling("a", 1, T0, LOST),
            event("a", 2, T0),
            telling("b", 1, T0 + 1, unknown),
            telling("a", 1, T0, LOST),
        ];
        for duplicates in [1, 4] {
            assert_eq!(writer.apply(std::slice::from_ref(&batch), T0).unwrap(), [duplicates]);
        }
        assert_eq!(world.gaps(), [row("b", T0 + 1, unknown), row("a", T0, LOST)]);

        let gaps = |client_id: Option<&str>, span, limit| {
            let query = GapQuery { client_id: client_id.map(str::to_owned), span, limit };
            world.reader().gaps(&query).unwrap()
        };
        assert_eq!(gaps(Some("a"), ALWAYS, 9), (vec![row("a", T0, LOST)], false));
        assert_eq!(gaps(None, ALWAYS, 1), (vec![row("b", T0 + 1, unknown)], true));
        let before = Span { from_ms: T0, to_ms: T0 + 1 };
        assert_eq!(gaps(None, before, 9), (vec![row("a", T0, LOST)], false));
    })
    .await;
}

#[tokio::test]
async fn gaps_go_when_windows_go() {
    each(async |world| {
        let mut writer = world.store.writer().unwrap();
        let days = |n: i64| n * 24 * 60 * MINUTE_MS;
        let batch = [telling("c", 1, T0 - days(91), LOST), telling("c", 2, T0, LOST)];
        writer.apply(&[batch.to_vec()], T0).unwrap();
        while writer.prune(&Retention::default(), T0).unwrap().more {}
        assert_eq!(world.gaps(), [row("c", T0, LOST)]);
    })
    .await;
}

#[tokio::test]
async fn what_a_probe_in_trouble_measured_is_counted_apart_and_is_no_outage() {
    each(async |world| {
        let start = Minute::of_ms(T0).plus(-20);
        let story = |at: i64| {
            let mut events = minute("c", start.plus(at), false);
            for event in events.iter_mut().filter(|_| at >= 17) {
                (event.failure, event.troubled) = (Some(ErrorStage::Dns), at != 19);
            }
            events
        };
        let running = world.start(Settings { now: || T0, ..Settings::default() });
        running.aggregator.submit((0..19).flat_map(story).collect()).await.unwrap();
        let judge = async || {
            // From the beginning each time, a minute after the last event.
            let (mut fleet, now_ms) = (Fleet::default(), T0 + MINUTE_MS);
            let (store, aggregator) = (&world.store, &running.aggregator);
            while diagnoser::detect(store, aggregator, &mut fleet, now_ms).await.unwrap() {}
            world.reader().incidents(&IncidentQuery::new(ALWAYS, 100)).unwrap().0.len()
        };
        assert_eq!(judge().await, 0, "no outage of the target");
        let windows = world.windows();
        let counts = |at: usize| {
            let c = windows[at].counts;
            (c.total, c.success, c.error(), c.troubled)
        };
        assert_eq!((counts(16), counts(18)), ((6, 6, 0, 0), (0, 0, 0, 6)));

        // The same of a probe that was well is one.
        running.aggregator.submit(story(19)).await.unwrap();
        assert_eq!(judge().await, 1);

        // Hours keep them apart too.
        let later = T0 + 24 * 60 * MINUTE_MS;
        while rollup::step(&world.store, &running.aggregator, later).await.unwrap() > 0 {}
        let query = WindowQuery { client_id: None, target: None, span: ALWAYS, limit: 10 };
        let hours = world.reader().rollups(Rollup::Hour, &query, T0).unwrap().0;
        let sum = |of: fn(&Counts) -> u64| hours.iter().map(|hour| of(&hour.counts)).sum::<u64>();
        assert_eq!((sum(|c| c.total), sum(|c| c.troubled)), (18 * 6, 12));
    })
    .await;
}
