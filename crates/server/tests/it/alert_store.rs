//! Alerts in both stores: what is written once, taken once, and told of receivers.

use model::diagnosis::Label;
use model::units::MINUTE_MS;
use server::store::{
    AlertBody, AlertEvent, AlertQuery, AlertRow, AlertState, Before, Claim, Fate, ReceiverFares,
    Retention, Sent, Severity, What, Writer,
};

use crate::world::{T0, World, cell, event};

async fn each(test: impl AsyncFn(World)) {
    for world in [World::new(), World::shared()] {
        test(world).await;
    }
}

pub(crate) fn row(incident: &str, receiver: &str, seq: u32, event: AlertEvent) -> AlertRow {
    let what = |label| What {
        label,
        scope_type: "site".to_owned(),
        scope_id: "Köln 'x' \"y\" \0".to_owned(),
    };
    AlertRow {
        incident_id: incident.to_owned(),
        receiver: receiver.to_owned(),
        seq,
        event,
        message: format!("m-{receiver}-{seq}"),
        created_ts: T0 + i64::from(seq),
        due_ts: T0 + i64::from(seq),
        attempts: 0,
        state: AlertState::Pending,
        delivered_ts: None,
        failed_ts: None,
        last_error: None,
        body: AlertBody {
            what: what(Label::DnsBound),
            severity: Severity::Major,
            onset_ts: T0 - MINUTE_MS,
            end_ts: (event == AlertEvent::Ended).then_some(T0),
            text: "slow".to_owned(),
            secondary: vec![Label::Certificate],
            cells: vec![cell("c", "https://t.example/")],
            cell_count: 7,
            before: Some(Before { what: what(Label::PathDelay), severity: Severity::Info }),
            worst: Severity::Critical,
            flaps: 3,
        },
    }
}

fn all(world: &World) -> Vec<AlertRow> {
    let query = AlertQuery { from_ms: i64::MIN, limit: 1_000, ..AlertQuery::default() };
    world.reader().alerts(&query).unwrap().0
}

fn settle(writer: &mut Writer, message: &str, at_ms: i64, fate: Fate) {
    writer.settle_alert(&Sent { message: message.to_owned(), at_ms, fate }).unwrap();
}

#[tokio::test]
async fn a_notice_is_written_once_whoever_plans_it() {
    each(async |world| {
        let mut writers = [world.store.writer().unwrap(), world.store.writer().unwrap()];
        let opened = row("i", "ops", 0, AlertEvent::Opened);
        assert_eq!(writers[0].put_alerts(std::slice::from_ref(&opened)).unwrap(), 1);
        // Another saw it differently meanwhile: its place is taken.
        let other =
            AlertRow { message: "other".to_owned(), ..row("i", "ops", 0, AlertEvent::Changed) };
        let next = row("i", "ops", 1, AlertEvent::Ended);
        assert_eq!(writers[1].put_alerts(&[other, next.clone()]).unwrap(), 1);
        assert_eq!(all(&world), [next, opened]);
    })
    .await;
}

#[tokio::test]
async fn of_several_who_take_a_message_one_does() {
    each(async |world| {
        let mut writers = [world.store.writer().unwrap(), world.store.writer().unwrap()];
        writers[0].put_alerts(&[row("i", "ops", 0, AlertEvent::Opened)]).unwrap();
        let claim = |attempts| Claim { message: "m-ops-0".to_owned(), attempts, again_ms: T0 + 60 };
        let mut taken = |who: usize, attempts| writers[who].claim_alert(&claim(attempts)).unwrap();
        assert_eq!([taken(0, 0), taken(1, 0), taken(1, 7)], [true, false, false]);
        assert_eq!((all(&world)[0].attempts, all(&world)[0].due_ts), (1, T0 + 60));
        // It was not heard of again, and is taken by another.
        assert!(taken(1, 1));
        settle(&mut writers[1], "m-ops-0", T0 + 99, Fate::Delivered);
        assert!(!writers[0].claim_alert(&claim(2)).unwrap());
    })
    .await;
}

#[tokio::test]
async fn what_was_delivered_stays_so_and_failures_are_told() {
    each(async |world| {
        let mut writer = world.store.writer().unwrap();
        let rows = ["ops", "chat", "phone"].map(|to| row("i", to, 0, AlertEvent::Opened));
        writer.put_alerts(&rows).unwrap();
        let again = |why: &str| Fate::Again { due_ms: T0 + 5_000, why: why.to_owned() };
        settle(&mut writer, "m-ops-0", T0 + 10, again("first"));
        settle(&mut writer, "m-ops-0", T0 + 20, again("second"));
        settle(&mut writer, "m-chat-0", T0 + 10, again("later"));
        settle(&mut writer, "m-chat-0", T0 + 30, Fate::Delivered);
        settle(&mut writer, "m-chat-0", T0 + 40, again("too late"));
        settle(&mut writer, "m-phone-0", T0 + 30, Fate::GivenUp { why: "no".to_owned() });

        let fares = world.reader().receivers(T0).unwrap();
        let told: Vec<_> = fares
            .iter()
            .map(|one| {
                (one.receiver.as_str(), one.pending, one.given_up, one.last_error.as_deref())
            })
            .collect();
        assert_eq!(
            told,
            [("chat", 0, 0, None), ("ops", 1, 0, Some("second")), ("phone", 0, 1, Some("no"))]
        );
        assert_eq!(
            (fares[1].failing_since_ts, fares[1].oldest_pending_ts),
            (Some(T0 + 10), Some(T0))
        );
        assert_eq!(fares[0].last_delivered_ts, Some(T0 + 30));
        let trouble: Vec<bool> = fares.iter().map(ReceiverFares::is_in_trouble).collect();
        assert_eq!(trouble, [false, true, true]);
        // What was given up before that moment is history.
        assert!(!world.reader().receivers(T0 + 31).unwrap()[2].is_in_trouble());

        let of = |state, receiver: Option<&str>, limit| {
            let receiver = receiver.map(str::to_owned);
            let query = AlertQuery { receiver, state, from_ms: i64::MIN, limit };
            let (rows, more) = world.reader().alerts(&query).unwrap();
            (rows.into_iter().map(|row| row.receiver).collect::<Vec<_>>(), more)
        };
        assert_eq!(of(Some(AlertState::Pending), None, 9), (vec!["ops".to_owned()], false));
        assert_eq!(of(Some(AlertState::GivenUp), Some("ops"), 9), (vec![], false));
        assert!(of(None, None, 2).1);
    })
    .await;
}

#[tokio::test]
async fn the_last_notice_of_each_incident_is_told_with_whether_one_was_heard() {
    each(async |world| {
        let mut writer = world.store.writer().unwrap();
        let rows = [
            row("a", "ops", 0, AlertEvent::Opened),
            row("a", "ops", 1, AlertEvent::Changed),
            row("b", "chat", 0, AlertEvent::Opened),
            row("c", "ops", 5, AlertEvent::Opened),
        ];
        writer.put_alerts(&rows).unwrap();
        settle(&mut writer, "m-ops-1", T0, Fate::GivenUp { why: "no".to_owned() });
        settle(&mut writer, "m-chat-0", T0, Fate::GivenUp { why: "no".to_owned() });
        let told = |ids: &[&str], from_ms| -> Vec<(String, u32, bool)> {
            let told = world.reader().told(ids, from_ms).unwrap();
            told.into_iter().map(|one| (one.last.incident_id, one.last.seq, one.heard)).collect()
        };
        let (a, b, c) =
            (("a".to_owned(), 1, true), ("b".to_owned(), 0, false), ("c".to_owned(), 5, true));
        assert_eq!(told(&["a", "b"], T0 + 99), [a.clone(), b.clone()]);
        assert_eq!(told(&[], T0 + 1), [a.clone(), c.clone()]);
        assert_eq!(told(&["b"], T0), [a, b, c]);
        assert_eq!(told(&["no' such"], T0 + 99), []);
    })
    .await;
}

#[tokio::test]
async fn alerts_go_when_windows_go_save_those_that_wait() {
    each(async |world| {
        let mut writer = world.store.writer().unwrap();
        let days = |n: i64| n * 24 * 60 * MINUTE_MS;
        writer.apply(&[vec![event("c", 1, T0)]], T0).unwrap();
        let mut rows = [0, 1, 2].map(|seq| row("i", "ops", seq, AlertEvent::Opened));
        rows[0].created_ts = T0 - days(91);
        rows[1].created_ts = T0 - days(91);
        writer.put_alerts(&rows).unwrap();
        settle(&mut writer, "m-ops-0", T0, Fate::Delivered);
        while writer.prune(&Retention::default(), T0).unwrap().more {}
        let left: Vec<u32> = all(&world).iter().map(|row| row.seq).collect();
        assert_eq!(left, [2, 1]);
    })
    .await;
}
