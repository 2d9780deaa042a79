//! Cells are judged from what is stored, and judged again when it changes.

use model::diagnosis::Label;
use model::units::{MINUTE_MS, Minute};
use server::aggregator::Settings;
use server::diagnoser;
use server::store::{DiagnosisRow, Reader};

use crate::world::{ALWAYS, Running, T0, TARGET, World, cell, event, minute};

const CLIENT: &str = "c";

async fn send(running: &Running, minutes: impl IntoIterator<Item = (i64, bool)>) {
    let events = minutes
        .into_iter()
        .flat_map(|(at, slow)| minute(CLIENT, Minute::of_ms(T0).plus(at), slow))
        .collect();
    running.aggregator.submit(events).await.unwrap();
}

/// Judges until nothing is queued; says how many cells that took.
async fn judge_all(world: &World, running: &Running) -> usize {
    let mut judged = 0;
    loop {
        match diagnoser::step(&world.store, &running.aggregator, T0).await.unwrap() {
            0 => return judged,
            cells => judged += cells,
        }
    }
}

fn runs(reader: &Reader) -> Vec<DiagnosisRow> {
    reader.cell_diagnoses(&cell(CLIENT, TARGET), ALWAYS).unwrap()
}

fn at(minutes: i64) -> i64 {
    T0 + minutes * MINUTE_MS
}

#[tokio::test]
async fn a_fault_is_told_as_one_run_and_closed() {
    let world = World::new();
    let running = world.start(Settings::default());
    send(&running, (0..30).map(|at| (at, false))).await;
    send(&running, (30..40).map(|at| (at, true))).await;
    assert_eq!(judge_all(&world, &running).await, 1);
    let [run] = &runs(&world.reader())[..] else { panic!() };
    assert_eq!((run.label, run.open, run.windows), (Label::DnsBound, true, 10));
    assert_eq!((run.since_ts, run.last_ts), (at(30), at(39)));
    assert!(run.latest.text.contains("DNS"), "{}", run.latest.text);

    send(&running, [(40, false)]).await;
    judge_all(&world, &running).await;
    let [run] = &runs(&world.reader())[..] else { panic!() };
    assert_eq!((run.open, run.last_ts), (false, at(39)));
    assert_eq!(judge_all(&world, &running).await, 0);
}

#[tokio::test]
async fn judging_as_it_comes_and_judging_at_once_say_the_same() {
    let [live, later] = [World::new(), World::new()];
    let story: Vec<_> = (0..120).map(|at| (at, (60..75).contains(&at))).collect();
    let running = later.start(Settings::default());
    send(&running, story.clone()).await;
    judge_all(&later, &running).await;
    for minute in story {
        // Each minute with a program of its own.
        let running = live.start(Settings::default());
        send(&running, [minute]).await;
        judge_all(&live, &running).await;
        running.stop().await;
    }
    assert_eq!(runs(&live.reader()), runs(&later.reader()));
    assert_eq!(runs(&live.reader()).len(), 1);
}

#[tokio::test]
async fn late_events_have_their_window_judged_again() {
    let world = World::new();
    let running = world.start(Settings::default());
    const SIX_DAYS: i64 = 6 * 24 * 60;
    // Six days ago and now; of the fault then only its end arrived in time.
    let good = |from, to| (from..to).map(|at| (at, false));
    send(&running, good(-SIX_DAYS, -SIX_DAYS + 30).chain(good(0, 30))).await;
    judge_all(&world, &running).await;
    assert!(runs(&world.reader()).is_empty());
    send(&running, (30..35).map(|at| (at - SIX_DAYS, true))).await;
    assert!(judge_all(&world, &running).await >= 1);
    let [run] = &runs(&world.reader())[..] else { panic!() };
    assert_eq!((run.label, run.since_ts, run.windows), (Label::DnsBound, at(30 - SIX_DAYS), 5));

    // A fault that one late window cuts in two.
    send(&running, (30..50).filter(|&at| at != 40).map(|at| (at, true))).await;
    judge_all(&world, &running).await;
    send(&running, [(40, false)]).await;
    judge_all(&world, &running).await;
    let spans: Vec<_> = runs(&world.reader()).iter().map(|r| (r.since_ts, r.last_ts)).collect();
    let then = (at(30 - SIX_DAYS), at(34 - SIX_DAYS));
    assert_eq!(spans, [then, (at(30), at(39)), (at(41), at(49))]);
}

#[tokio::test]
async fn what_is_older_than_what_is_queued_already_is_judged_with_it() {
    let world = World::new();
    let running = world.start(Settings::default());
    // Further apart than what is judged at once.
    const LATER: i64 = 3 * 24 * 60;
    send(&running, (0..30).chain(LATER..LATER + 30).map(|at| (at, false))).await;
    judge_all(&world, &running).await;
    // The newer fault waits to be judged when the older one comes in, and the reverse.
    for [first, second] in [[LATER + 30, 30], [35, LATER + 35]] {
        for from in [first, second] {
            send(&running, (from..from + 5).map(|at| (at, true))).await;
        }
        assert_eq!(world.reader().tasks(10).unwrap().len(), 1);
        judge_all(&world, &running).await;
    }
    let spans: Vec<_> = runs(&world.reader()).iter().map(|r| (r.since_ts, r.last_ts)).collect();
    assert_eq!(spans, [(at(30), at(39)), (at(LATER + 30), at(LATER + 39))]);
}

#[tokio::test]
async fn a_fault_of_days_keeps_its_beginning_its_count_and_its_measure() {
    let world = World::new();
    let running = world.start(Settings::default());
    const DAYS: i64 = 3 * 24 * 60;
    send(&running, (-120..0).map(|at| (at, false))).await;
    for day in 0..3 {
        send(&running, (day * 1_440..(day + 1) * 1_440).map(|at| (at, true))).await;
        judge_all(&world, &running).await;
    }
    send(&running, [(DAYS, true)]).await;
    judge_all(&world, &running).await;
    let [run] = &runs(&world.reader())[..] else { panic!("{:?}", runs(&world.reader())) };
    assert_eq!((run.since_ts, run.last_ts, run.open), (at(0), at(DAYS), true));
    assert_eq!(i64::from(run.windows), DAYS + 1);
    assert!(run.latest.baseline.as_ref().unwrap().p50_ms.unwrap() < 15.0);
    send(&running, [(DAYS + 1, false)]).await;
    judge_all(&world, &running).await;
    let [run] = &runs(&world.reader())[..] else { panic!() };
    assert_eq!((run.since_ts, run.open), (at(0), false));
}

#[tokio::test]
async fn what_comes_while_a_cell_is_judged_leaves_it_queued() {
    let world = World::new();
    let running = world.start(Settings::default());
    send(&running, [(0, false)]).await;
    let reader = world.reader();
    let asked = reader.tasks(10).unwrap();
    running.aggregator.submit(vec![event(CLIENT, 999_999, T0)]).await.unwrap();
    let [task] = &asked[..] else { panic!() };
    let nothing = server::store::Judged {
        task: task.clone(),
        replaced: server::store::Span { from_ms: T0, to_ms: T0 },
        runs: Vec::new(),
        rest_ms: None,
    };
    running.aggregator.record(vec![nothing.clone()]).await.unwrap();
    let [again] = &reader.tasks(10).unwrap()[..] else { panic!() };
    assert_eq!(again.generation, task.generation + 1);
    let settled = server::store::Judged { task: again.clone(), ..nothing };
    running.aggregator.record(vec![settled]).await.unwrap();
    assert_eq!(reader.tasks(10).unwrap(), []);
}
