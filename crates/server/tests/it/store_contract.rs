//! What both stores promise, each test on both.

use std::time::Duration;

use model::units::MINUTE_MS;
use model::{Event, Target};
use server::aggregator::{Aggregator, Applied, Settings, Unavailable};
use server::rollup;
use server::store::tokens::{id_of, sha256};
use server::store::{
    CohortQuery, DATABASE, Detected, DriftQuery, DriftRow, Grain, GroupBy, Location, Reader,
    Retention, Rolled, Rollup, Scope, Span, SummaryQuery, WindowQuery, schema,
};

use crate::world::{ALWAYS, Running, T0, TARGET, World, event, minute, on_both_stores};

on_both_stores! {
    an_event_counts_once_within_a_batch_and_across_batches,
    ids_are_per_client,
    requests_that_share_a_transaction_are_each_told_of_their_own_duplicates,
    a_flood_of_duplicates_leaves_every_row_as_it_was,
    late_events_count_in_a_new_revision_of_their_window,
    what_was_counted_is_known_to_every_later_program,
    what_was_queued_before_the_end_is_counted_and_what_comes_later_is_refused,
    a_store_without_its_tables_halts_and_is_taken_up_again,
    names_of_any_letters_and_length_come_back_as_they_were,
    windows_come_by_client_and_target_and_time_and_the_newest_first_where_they_are_bounded,
    a_summary_merges_windows_and_is_bounded_by_rows,
    windows_merge_over_any_cohort_and_are_bounded,
    readers_see_each_commit,
    tokens_are_known_at_once_and_not_after_they_were_revoked,
    ids_outlive_the_events_that_are_accepted_and_windows_outlive_ids,
    a_clock_that_leaps_ahead_removes_nothing,
    an_hour_is_queued_by_who_counts_in_it,
    an_hour_that_is_merged_twice_is_settled_by_its_own_merge_alone,
    minutes_become_hours_and_days_and_again_where_a_late_event_reopens_one,
    what_changes_while_it_is_merged_is_merged_again,
    an_upgrade_merges_what_was_there_before,
    an_upgrade_merges_what_older_rules_had_not_judged,
    one_who_acts_is_one_who_leads,
}

fn settings() -> Settings {
    Settings { now: || T0, ..Settings::default() }
}

fn at(minutes: i64) -> i64 {
    T0 + minutes * MINUTE_MS
}

fn of(client: &str, target: &str, n: u64, ts_ms: i64) -> Event {
    Event { target: Target::trusted(target), ..event(client, n, ts_ms) }
}

async fn submit(aggregator: &Aggregator, events: Vec<Event>) -> usize {
    aggregator.submit(events).await.unwrap().duplicates
}

async fn an_event_counts_once_within_a_batch_and_across_batches(world: World) {
    let Running { aggregator, .. } = &world.start(settings());
    let twice = vec![event("c", 1, T0), event("c", 2, T0), event("c", 1, T0)];
    assert_eq!(submit(aggregator, twice.clone()).await, 1);
    assert_eq!(submit(aggregator, twice).await, 3);
    let [window] = &world.windows()[..] else { panic!() };
    assert_eq!((window.counts.total, window.revision, window.updated_at), (2, 1, T0));
    assert_eq!(submit(aggregator, Vec::new()).await, 0);
}

async fn ids_are_per_client(world: World) {
    let Running { aggregator, .. } = &world.start(settings());
    let both = vec![event("a", 1, T0), event("b", 1, T0)];
    assert_eq!(submit(aggregator, both).await, 0);
    assert_eq!(world.windows().len(), 2);
}

async fn requests_that_share_a_transaction_are_each_told_of_their_own_duplicates(world: World) {
    let mut writer = world.store.writer().unwrap();
    let batches = [vec![event("c", 1, T0)], vec![event("c", 1, T0), event("c", 2, T0)]];
    assert_eq!(writer.apply(&batches, T0).unwrap(), [0, 1]);
    assert_eq!(writer.apply(&batches, T0).unwrap(), [1, 2]);
}

async fn a_flood_of_duplicates_leaves_every_row_as_it_was(world: World) {
    let Running { aggregator, .. } = &world.start(settings());
    let batch: Vec<_> = (0..200).map(|n| event("c", n, T0 + n.cast_signed() * 1_000)).collect();
    submit(aggregator, batch.clone()).await;
    let before = world.windows();
    for _ in 0..10 {
        assert_eq!(submit(aggregator, batch.clone()).await, 200);
    }
    assert_eq!(world.windows(), before);
}

async fn late_events_count_in_a_new_revision_of_their_window(world: World) {
    let Running { aggregator, .. } = &world.start(settings());
    for (revision, late_ms) in [(1, 0), (2, 3 * MINUTE_MS), (3, 6 * 24 * 60 * MINUTE_MS)] {
        // Late by the clock of the server; the window is that of the event.
        submit(aggregator, vec![event("c", revision, T0), event("c", revision, T0 + late_ms)])
            .await;
        let window = &world.windows()[0];
        assert_eq!((window.window_start_ts, window.revision), (T0, revision));
    }
}

async fn what_was_counted_is_known_to_every_later_program(world: World) {
    let batch: Vec<_> = (0..10).map(|n| event("c", n, T0)).collect();
    for duplicates in [0, 10] {
        let running = world.start(settings());
        assert_eq!(submit(&running.aggregator, batch.clone()).await, duplicates);
        running.stop().await;
    }
    assert_eq!(world.windows()[0].counts.total, 10);
}

async fn what_was_queued_before_the_end_is_counted_and_what_comes_later_is_refused(world: World) {
    let Running { aggregator, mut writer } = world.start(settings());
    let queued: Vec<_> = (0..20)
        .map(|n| {
            let (aggregator, client) = (aggregator.clone(), format!("c{}", n % 7));
            async move { aggregator.submit(vec![event(&client, n, T0)]).await }
        })
        .collect();
    let all = futures_util::future::join_all(queued);
    let close = async { aggregator.close() };
    let (answers, ()) = tokio::join!(all, close);
    writer.finished().await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(world.windows().iter().map(|window| window.counts.total).sum::<u64>(), 20);
    let refused = aggregator.submit(vec![event("c", 99, T0)]).await;
    assert!(matches!(refused, Err(Unavailable::Closed)), "{refused:?}");
    assert!(!aggregator.alive());
}

async fn a_store_without_its_tables_halts_and_is_taken_up_again(world: World) {
    let Running { aggregator, .. } = &world.start(settings());
    let location = world.store.location();
    let batch = vec![event("c", 1, T0)];
    let mut writer = world.store.writer().unwrap();
    writer.probe().unwrap();
    assert!(aggregator.ready());
    schema::down(location, 0).unwrap();
    assert_eq!(schema::version(location).unwrap(), 0);
    let refused = aggregator.submit(batch.clone()).await.unwrap_err();
    assert_eq!(refused.class(), server::store::Class::Halt, "{refused}");
    assert!(aggregator.alive() && !aggregator.ready());
    writer.probe().unwrap_err();
    Reader::open(location).err().unwrap();
    assert_eq!(schema::up(location).unwrap(), 0);
    assert_eq!(schema::up(location).unwrap(), schema::LATEST);
    assert_eq!(aggregator.submit(batch).await.unwrap(), Applied { duplicates: 0 });
    writer.probe().unwrap();
    assert_eq!(world.windows().len(), 1);
}

async fn names_of_any_letters_and_length_come_back_as_they_were(world: World) {
    let long = format!("https://t.example/{}", "x".repeat(2_030));
    let names = ["ü's \"probe\" \\ %s {}", "\u{1f600}", "Z", "a", &"n".repeat(255)];
    let mut events: Vec<Event> = names.iter().map(|name| of(name, TARGET, 1, T0)).collect();
    events.push(of("a", &long, 2, T0));
    world.store.writer().unwrap().apply(&[events], T0).unwrap();
    let found: Vec<_> =
        world.windows().into_iter().map(|row| (row.client_id, row.target)).collect();
    let mut expected: Vec<_> =
        names.iter().map(|name| ((*name).to_owned(), TARGET.to_owned())).collect();
    expected.push(("a".to_owned(), long));
    // By their bytes, capital letters first.
    expected.sort();
    assert_eq!(found, expected);
}

async fn windows_come_by_client_and_target_and_time_and_the_newest_first_where_they_are_bounded(
    world: World,
) {
    let mut events = Vec::new();
    for (n, (client, target)) in [("a", "s"), ("a", "t"), ("b", "s")].into_iter().enumerate() {
        for minute in 0..4 {
            events.push(of(client, target, n as u64, at(minute)));
        }
    }
    world.store.writer().unwrap().apply(&[events], T0).unwrap();
    let reader = world.reader();
    let ask = |client_id: Option<&str>, target: Option<&str>, span: Span, limit: usize| {
        let [client_id, target] = [client_id, target].map(|name| name.map(str::to_owned));
        let query = WindowQuery { client_id, target, span, limit };
        let (rows, more) = reader.windows(&query, T0).unwrap();
        let name = |row: &server::store::WindowRow| {
            let minute = (row.window_start_ts - T0) / MINUTE_MS;
            format!("{}{}{minute}", row.client_id, row.target)
        };
        (rows.iter().map(name).collect::<Vec<_>>().join(" "), more)
    };
    let told = |rows: &str, more| (rows.to_owned(), more);
    let all = "as0 as1 as2 as3 at0 at1 at2 at3 bs0 bs1 bs2 bs3";
    assert_eq!(ask(None, None, ALWAYS, 12), told(all, false));
    assert_eq!(ask(None, None, ALWAYS, 6), told("as0 as1 as2 as3 at2 at3", true));
    assert_eq!(ask(None, None, ALWAYS, 8), told("as0 as1 as2 as3 at0 at1 at2 at3", true));
    assert_eq!(ask(None, Some("s"), ALWAYS, 5), told("as0 as1 as2 as3 bs3", true));
    assert_eq!(ask(Some("a"), Some("t"), ALWAYS, 2), told("at2 at3", true));
    assert_eq!(ask(Some("nobody"), None, ALWAYS, 2), told("", false));
    let middle = Span { from_ms: at(1), to_ms: at(3) };
    assert_eq!(ask(Some("a"), None, middle, 9), told("as1 as2 at1 at2", false));
    let one = &reader
        .windows(&WindowQuery { client_id: None, target: None, span: middle, limit: 1 }, at(4))
        .unwrap()
        .0[0];
    assert!(one.provisional && one.diagnosis_label.is_none());
}

async fn a_summary_merges_windows_and_is_bounded_by_rows(world: World) {
    let events = |client, target, first: u64| {
        (0..30).map(move |n| of(client, target, first + n, at(n as i64 / 10)))
    };
    let all = events("a", "s", 0).chain(events("a", "t", 100)).chain(events("b", "t", 0)).collect();
    world.store.writer().unwrap().apply(&[all], T0).unwrap();
    let reader = world.reader();
    let rows = reader.summary(ALWAYS, T0).unwrap();
    let cells: Vec<_> =
        rows.iter().map(|row| (row.client_id.as_str(), row.target.as_str())).collect();
    assert_eq!(cells, [("a", "s"), ("a", "t"), ("b", "t")]);
    for row in &rows {
        assert_eq!((row.counts.total, row.windows, row.last_window_ts), (30, 3, at(2)));
        assert!(row.mean.unwrap().n > 0 && row.last_window_provisional);
    }
    let ask = |target: Option<&str>, span, limit| {
        let target = target.map(str::to_owned);
        let query = SummaryQuery { client_id: None, target, span, limit };
        let (rows, more) = reader.summary_of(&query, T0).unwrap();
        (rows.iter().map(|row| row.counts.total).collect::<Vec<_>>(), more)
    };
    assert_eq!(ask(None, ALWAYS, 2), (vec![30, 30], true));
    assert_eq!(ask(Some("t"), ALWAYS, 2), (vec![30, 30], false));
    assert_eq!(ask(None, Span { from_ms: at(1), to_ms: at(2) }, 9), (vec![10; 3], false));
    assert_eq!(ask(None, Span { from_ms: at(7), to_ms: at(8) }, 9), (vec![], false));
}

async fn windows_merge_over_any_cohort_and_are_bounded(world: World) {
    let events = |client, target, first: u64| {
        (0..30).map(move |n| of(client, target, first + n, at(n as i64 / 10)))
    };
    let all: Vec<_> =
        events("a", "s", 0).chain(events("a", "t", 100)).chain(events("b", "t", 0)).collect();
    world.store.writer().unwrap().apply(std::slice::from_ref(&all), T0).unwrap();
    let reader = world.reader();
    let minutes = |span| CohortQuery { grain: Grain::Minute, ..CohortQuery::of(span) };
    let told = |by, limit| {
        let (rows, more) = reader.cohorts(&minutes(ALWAYS), by, limit).unwrap();
        let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
        let row = |row: &server::store::Cohort| {
            let total = row.merged.counts().total;
            format!("{}{}:{}/{total}", name(&row.client_id), name(&row.target), row.windows)
        };
        (rows.iter().map(row).collect::<Vec<_>>().join(" "), more)
    };
    let expect = |text: &str, more| (text.to_owned(), more);
    assert_eq!(told(GroupBy::Cell, 3), expect("as:3/30 at:3/30 bt:3/30", false));
    assert_eq!(told(GroupBy::Client, 9), expect("a-:6/60 b-:3/30", false));
    assert_eq!(told(GroupBy::Target, 1), expect("-s:3/30", true));
    assert_eq!(told(GroupBy::Target, 2), expect("-s:3/30 -t:6/60", false));
    assert_eq!(told(GroupBy::Nothing, 1), expect("--:9/90", false));
    // What was merged is what all of its events give.
    let mut whole = model::window::Window::default();
    all.iter().filter(|event| event.target.as_str() == "t").for_each(|event| whole.fold(event));
    let of_t = CohortQuery { target: Some("t".to_owned()), ..minutes(ALWAYS) };
    let (rows, _) = reader.cohorts(&of_t, GroupBy::Nothing, 1).unwrap();
    assert_eq!((&rows[0].merged, rows[0].first_ts, rows[0].last_ts), (&whole, at(0), at(2)));
    let none = CohortQuery { client_id: Some("nobody".to_owned()), ..minutes(ALWAYS) };
    assert_eq!(reader.cohorts(&none, GroupBy::Nothing, 1).unwrap(), (vec![], false));
    let middle = minutes(Span { from_ms: at(1), to_ms: at(2) });
    assert_eq!(reader.cohorts(&middle, GroupBy::Nothing, 1).unwrap().0[0].windows, 3);
    // One more than may be read is refused, with the way out.
    let mut seen = 0;
    let bounded = |most| CohortQuery { most, ..minutes(ALWAYS) };
    let count = &mut |_: server::store::Kept<'_>| {
        seen += 1;
        Ok(())
    };
    reader.each_window(&bounded(9), count).unwrap();
    let error = reader.each_window(&bounded(8), count).unwrap_err().to_string();
    assert!(error.contains("more than 8 windows") && error.contains("one client"), "{error}");
    assert_eq!(seen, 9 + 8);
}

async fn readers_see_each_commit(world: World) {
    let mut writer = world.store.writer().unwrap();
    let reader = world.reader();
    for n in 1..=3 {
        writer.apply(&[vec![event("c", n, T0)]], T0).unwrap();
        assert_eq!(reader.summary(ALWAYS, T0).unwrap()[0].counts.total, n);
    }
    let named = ["b", "c", "nobody"].map(str::to_owned);
    assert_eq!(world.reader().unseen(&named).unwrap(), ["b", "nobody"]);
}

async fn tokens_are_known_at_once_and_not_after_they_were_revoked(world: World) {
    let tokens = world.store.tokens();
    // As another process would.
    let elsewhere = server::store::Store::open(world.store.location()).unwrap().tokens();
    let text = elsewhere.create("c", Scope::Ingest, Some(Duration::from_secs(60))).unwrap();
    let forever = elsewhere.create("*", Scope::Admin, None).unwrap();
    let id = id_of(&text);
    let record = tokens.lookup(&id).await.unwrap().unwrap();
    assert_eq!(record.sha256, sha256(&text));
    assert_eq!((record.client_id.as_str(), record.scope), ("c", Scope::Ingest));
    assert_eq!(record.expires_ms.unwrap() - record.created_ms, 60_000);
    assert!(elsewhere.revoke(&id).unwrap());
    assert!(tokens.lookup(&id).await.unwrap().unwrap().revoked);
    assert!(!elsewhere.revoke("nobody's").unwrap());
    assert_eq!(tokens.lookup("nobody's").await.unwrap(), None);
    let mut kept: Vec<_> = elsewhere.list().unwrap().into_iter().map(|kept| kept.id).collect();
    kept.sort();
    let mut made = [id, id_of(&forever)];
    made.sort();
    assert_eq!(kept, made);
}

const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Removes until there is nothing more to remove.
fn prune(world: &World, now_ms: i64) {
    let mut writer = world.store.writer().unwrap();
    while writer.prune(&Retention::default(), now_ms).unwrap().more {}
}

async fn ids_outlive_the_events_that_are_accepted_and_windows_outlive_ids(world: World) {
    let mut writer = world.store.writer().unwrap();
    let old = [100, 20, 9, 7, 0].map(|days| event("c", days, T0 - days.cast_signed() * DAY_MS));
    writer.apply(&[old.to_vec()], T0).unwrap();
    let drift = |days: i64| DriftRow {
        client_id: "c".to_owned(),
        target: TARGET.to_owned(),
        signal: "dns".to_owned(),
        percent_per_hour: 1.0,
        since_ts: T0 - (days + 1) * DAY_MS,
        noted_ts: T0 - days * DAY_MS,
    };
    let found = Detected { drifts: vec![drift(100), drift(20)], ..Detected::default() };
    writer.detect(&found).unwrap();
    prune(&world, T0);
    let every = DriftQuery { client_id: None, target: None, span: ALWAYS, limit: 10 };
    assert_eq!(world.reader().drifts(&every).unwrap().0, [drift(20)]);
    // The window of 100 days is gone; the oldest event that ingest accepts is still known.
    assert_eq!(world.windows().len(), 4);
    assert_eq!(writer.apply(&[old[3..].to_vec()], T0).unwrap(), [2]);
    // The ids of 20 and 9 days are gone, whose events nobody accepts any more.
    assert_eq!(writer.apply(&[old[1..3].to_vec()], T0).unwrap(), [0]);
}

async fn a_clock_that_leaps_ahead_removes_nothing(world: World) {
    let mut writer = world.store.writer().unwrap();
    writer.apply(&[vec![event("c", 1, T0)]], T0).unwrap();
    prune(&world, T0 + 1_000 * DAY_MS);
    assert_eq!(world.windows().len(), 1);
    assert_eq!(writer.apply(&[vec![event("c", 1, T0)]], T0).unwrap(), [1]);
}

const CLIENT: &str = "c";

async fn send(running: &Running, minutes: impl IntoIterator<Item = (i64, bool)>) {
    let events = minutes
        .into_iter()
        .flat_map(|(minutes, slow)| minute(CLIENT, model::units::Minute::of_ms(at(minutes)), slow));
    running.aggregator.submit(events.collect()).await.unwrap();
}

/// What is due at some time, by cell, and how often it was queued.
fn due(reader: &Reader, now_ms: i64) -> Vec<(String, String, i64)> {
    let tasks = reader.rollup_tasks(now_ms, 100).unwrap().into_iter();
    tasks.map(|task| (task.cell.client_id, task.cell.target, task.start_ms)).collect()
}

async fn an_hour_is_queued_by_who_counts_in_it(world: World) {
    let running = world.start(settings());
    let reader = world.reader();
    // From 22:13 on.
    let [first, second] = [at(-13), at(47)];
    let batch = vec![
        of("b", "s", 1, at(46)),
        of("a", "t", 1, at(47)),
        of("a", "t", 2, at(0)),
        of("a", "t", 3, at(5)),
        of("a", "s", 4, at(106)),
        of("a", "u", 5, at(60)),
    ];
    submit(&running.aggregator, batch.clone()).await;
    let hour =
        |client: &str, target: &str, start: i64| (client.to_owned(), target.to_owned(), start);
    assert_eq!(due(&reader, at(51)), []);
    let early = [hour("a", "t", first), hour("b", "s", first)];
    assert_eq!(due(&reader, at(52)), early);
    let later = ["s", "t", "u"].map(|target| hour("a", target, second));
    let all = [&early[..], &later].concat();
    assert_eq!(due(&reader, at(112)), all);

    // What was counted before changes nothing; what is new is told from what was read before.
    let before = reader.rollup_tasks(at(112), 100).unwrap();
    assert_eq!(submit(&running.aggregator, batch).await, 6);
    assert_eq!(reader.rollup_tasks(at(112), 100).unwrap(), before);
    submit(&running.aggregator, vec![of("a", "t", 9, at(1))]).await;
    let after = reader.rollup_tasks(at(112), 100).unwrap();
    assert_eq!(due(&reader, at(112)), all);
    assert!(after[0].generation > before[0].generation);
    assert_eq!(after[1..], before[1..]);
}

async fn an_hour_that_is_merged_twice_is_settled_by_its_own_merge_alone(world: World) {
    let running = world.start(settings());
    let reader = world.reader();
    submit(&running.aggregator, vec![of("a", "s", 1, T0), of("b", "s", 1, T0)]).await;
    let tasks = reader.rollup_tasks(at(52), 10).unwrap();
    assert_eq!(reader.rollup_tasks(at(52), 1).unwrap(), tasks[..1]);
    let window = reader.merged(&tasks[1]).unwrap();
    for _ in 0..2 {
        let rolled = Rolled { task: tasks[1].clone(), window: window.clone() };
        running.aggregator.roll(vec![rolled]).await.unwrap();
        assert_eq!(reader.rollup_tasks(at(52), 10).unwrap(), tasks[..1]);
    }
}

/// Merges until nothing is due; says how many spans that took.
async fn merge_all(world: &World, running: &Running, now_ms: i64) -> usize {
    let mut merged = 0;
    loop {
        match rollup::step(&world.store, &running.aggregator, now_ms).await.unwrap() {
            0 => return merged,
            spans => merged += spans,
        }
    }
}

async fn minutes_become_hours_and_days_and_again_where_a_late_event_reopens_one(world: World) {
    let running = world.start(settings());
    let reader = world.reader();
    let rows = |rollup, now_ms| {
        let query = WindowQuery { client_id: None, target: None, span: ALWAYS, limit: 10 };
        reader.rollups(rollup, &query, now_ms).unwrap().0
    };
    let starts_and_totals = |rollup| -> Vec<_> {
        let rows = rows(rollup, at(9_999));
        rows.iter().map(|row| (row.window_start_ts, row.counts.total, row.revision)).collect()
    };
    // From 22:13 on, over midnight.
    send(&running, (0..120).map(|minute| (minute, false))).await;
    // The first hour ends at 23:00 and is due a little later.
    assert_eq!(merge_all(&world, &running, at(51)).await, 0);
    assert_eq!(merge_all(&world, &running, at(52)).await, 1);
    // The first day twice: it was due together with its last hour.
    assert_eq!(merge_all(&world, &running, at(9_999)).await, 5);
    assert_eq!(
        starts_and_totals(Rollup::Hour),
        [(at(-13), 47 * 6, 1), (at(47), 60 * 6, 1), (at(107), 13 * 6, 1)]
    );
    let midnight = at(107);
    let days: Vec<_> = starts_and_totals(Rollup::Day)
        .into_iter()
        .map(|(start, total, _)| (start, total))
        .collect();
    assert_eq!(days, [(midnight - 24 * 60 * MINUTE_MS, 107 * 6), (midnight, 13 * 6)]);

    // Late by hours.
    running.aggregator.submit(vec![event(CLIENT, 1, at(10))]).await.unwrap();
    assert_eq!(merge_all(&world, &running, at(9_999)).await, 2);
    assert_eq!(starts_and_totals(Rollup::Hour)[0], (at(-13), 47 * 6 + 1, 2));
    assert_eq!(starts_and_totals(Rollup::Day)[0].1, 107 * 6 + 1);

    // As one would merge the minutes themselves.
    for rollup in [Rollup::Hour, Rollup::Day] {
        for row in rows(rollup, at(9_999)) {
            let to_ms = row.window_start_ts + rollup.length_ms();
            let span = Span { from_ms: row.window_start_ts, to_ms };
            let [sum] = &reader.summary(span, T0).unwrap()[..] else { panic!() };
            assert_eq!((row.counts, row.percentiles), (sum.counts, sum.percentiles));
            assert!(!row.provisional && row.updated_at == T0);
        }
    }
    assert!(rows(Rollup::Hour, at(48))[0].provisional);
    for (grain, windows) in [(Grain::Minute, 120), (Grain::Hour, 3), (Grain::Day, 2)] {
        let query = CohortQuery { grain, ..CohortQuery::of(ALWAYS) };
        let (all, _) = reader.cohorts(&query, GroupBy::Nothing, 1).unwrap();
        assert_eq!((all[0].windows, all[0].merged.counts().total), (windows, 120 * 6 + 1));
    }
}

async fn what_changes_while_it_is_merged_is_merged_again(world: World) {
    let running = world.start(settings());
    let reader = world.reader();
    let count = async |n| submit(&running.aggregator, vec![event(CLIENT, n, T0)]).await;
    count(1).await;
    let read = || -> Vec<Rolled> {
        let tasks = reader.rollup_tasks(at(9_999), 10).unwrap().into_iter();
        tasks.map(|task| Rolled { window: reader.merged(&task).unwrap(), task }).collect()
    };
    let old = read();
    assert_eq!(old.len(), 1);
    count(2).await;
    let new = read();
    // One that lost the lead comes before and after the one that has it.
    for rolled in [&old, &new, &old] {
        running.aggregator.roll(rolled.clone()).await.unwrap();
    }
    merge_all(&world, &running, at(9_999)).await;
    for rollup in [Rollup::Hour, Rollup::Day] {
        let query = WindowQuery { client_id: None, target: None, span: ALWAYS, limit: 10 };
        let (rows, _) = reader.rollups(rollup, &query, T0).unwrap();
        assert_eq!(rows.iter().map(|row| row.counts.total).collect::<Vec<_>>(), [2]);
    }
    // An hour whose windows are gone.
    count(3).await;
    let gone = read().into_iter().map(|rolled| Rolled { window: None, ..rolled }).collect();
    running.aggregator.roll(gone).await.unwrap();
    let query = WindowQuery { client_id: None, target: None, span: ALWAYS, limit: 10 };
    assert!(reader.rollups(Rollup::Hour, &query, T0).unwrap().0.is_empty());
}

async fn an_upgrade_merges_what_was_there_before(world: World) {
    let location = world.store.location();
    let old = (0..90).map(|n| event("c", n, at(n as i64))).collect();
    world.store.writer().unwrap().apply(&[old], T0).unwrap();
    assert_eq!(schema::down(location, 1).unwrap(), schema::LATEST);
    assert_eq!(schema::up(location).unwrap(), 1);
    let running = world.start(settings());
    assert_eq!(merge_all(&world, &running, at(9_999)).await, 3);
    let query = WindowQuery { client_id: None, target: None, span: ALWAYS, limit: 10 };
    let (hours, _) = world.reader().rollups(Rollup::Hour, &query, T0).unwrap();
    let hours: Vec<_> = hours.iter().map(|row| (row.window_start_ts, row.counts.total)).collect();
    assert_eq!(hours, [(at(-13), 47), (at(47), 43)]);
}

/// Runs statements beside the program.
fn sql(world: &World, statements: &str) {
    match world.store.location() {
        Location::Directory(dir) => {
            let beside = rusqlite::Connection::open(dir.join(DATABASE)).unwrap();
            beside.execute_batch(statements).unwrap();
        }
        Location::Postgres(_) => world.sql(statements),
    }
}

async fn an_upgrade_merges_what_older_rules_had_not_judged(world: World) {
    let location = world.store.location();
    let batch = vec![
        of("a", "s", 1, at(0)),
        of("a", "s", 2, at(50)),
        of("a", "s", 3, at(150)),
        of("a", "t", 4, at(50)),
        of("b", "s", 5, at(0)),
    ];
    world.store.writer().unwrap().apply(&[batch], T0).unwrap();
    schema::down(location, 7).unwrap();
    let time = |minutes| match location {
        Location::Directory(_) => at(minutes).to_string(),
        Location::Postgres(_) => format!("to_timestamp({})", at(minutes) / 1_000),
    };
    // One hour was queued already; of another one nothing is there.
    sql(
        &world,
        &format!(
            "DELETE FROM rollup_queue WHERE target <> 't';
             INSERT INTO diagnosis_queue
                 (client_id, target, generation, oldest_ts, newest_ts, queued_at)
             VALUES ('a', 's', 1, {long_ago}, {later}, {later}),
                 ('a', 't', 1, {later}, {later}, {later})",
            long_ago = time(-200),
            later = time(50),
        ),
    );
    assert_eq!(schema::up(location).unwrap(), 7);
    let hour = |target: &str, start| ("a".to_owned(), target.to_owned(), start);
    let hours = [hour("s", at(-13)), hour("s", at(47)), hour("t", at(47))];
    assert_eq!(due(&world.reader(), at(9_999)), hours);
    assert_eq!(due(&world.reader(), at(111)), hours[..1], "at 65 min after its beginning");
}

async fn one_who_acts_is_one_who_leads(world: World) {
    let mut first = world.store.leadership("diagnoser");
    assert!(first.hold().unwrap() && first.hold().unwrap());
    assert!(world.store.leadership("another matter").hold().unwrap());
    if let server::store::Location::Postgres(_) = world.store.location() {
        let mut second = world.store.leadership("diagnoser");
        assert!(!second.hold().unwrap());
        drop(first);
        // The server notes the end of a connection in its own time.
        while !second.hold().unwrap() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
