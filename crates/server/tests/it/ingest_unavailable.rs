//! When the store can't take events durably: 503 and never 202, nothing of them counted, all of
//! them counted when they come again, and readiness that says how it stands.

use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::poll;
use rusqlite::Connection;
use server::aggregator::Settings;
use server::store::{DATABASE, Scope, schema};

use crate::platform::{NOW, Parts, Platform, Sent, array, wire};
use crate::raw_http::DEADLINE;
use crate::world::{T0, event};

fn batch(client: &str, n: u128) -> String {
    array(&(0..n).map(|n| wire(client, n).to_string()).collect::<Vec<_>>())
}

fn with_room_for(queue_events: u32) -> Platform {
    let aggregator = Settings { queue_events, now: || NOW, ..Settings::default() };
    Platform::of(Parts { aggregator, ..Parts::default() })
}

impl Platform {
    /// A connection beside the server's own.
    fn beside(&self) -> Connection {
        Connection::open(self.world.dir().join(DATABASE)).unwrap()
    }

    async fn status(&self, path: &str) -> u16 {
        let answer = self.get(path).await;
        answer.code();
        answer.status
    }
}

#[tokio::test]
async fn a_batch_that_does_not_fit_the_queue_is_put_off() {
    let platform = with_room_for(2);
    let answer = platform.post(batch("c", 3)).await;
    assert_eq!((answer.status, answer.code()), (503, "unavailable"));
    assert_eq!(platform.counted("c").await, 0);
    assert_eq!(platform.post(batch("c", 2)).await.status, 202);
    assert_eq!(platform.counted("c").await, 2);
}

#[tokio::test]
async fn nothing_is_answered_before_it_is_committed_and_a_full_queue_refuses_meanwhile() {
    let platform = with_room_for(2);
    assert_eq!(platform.post(batch("warm", 1)).await.status, 202);
    let lock = platform.beside();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = vec![event("c", 1, T0), event("c", 2, T0)];
    let mut waiting = pin!(platform.running.aggregator.submit(waiting));
    assert!(poll!(&mut waiting).is_pending());
    for n in 1..5 {
        let answer = platform.post(batch("c", n)).await;
        assert_eq!((answer.status, answer.code()), (503, "unavailable"));
        assert!(poll!(&mut waiting).is_pending());
    }
    assert_eq!(platform.counted("c").await, 0);
    lock.execute_batch("COMMIT").unwrap();
    waiting.await.unwrap();
    assert_eq!(platform.counted("c").await, 2);
    assert_eq!(platform.post(batch("d", 2)).await.status, 202);
}

/// Fails at the last of a batch's events, when everything before it is written.
#[tokio::test]
async fn a_batch_that_fails_half_way_leaves_nothing_behind() {
    let platform = Platform::new();
    assert_eq!(platform.post(batch("a", 2)).await.status, 202);
    let fail = "CREATE TRIGGER fail BEFORE INSERT ON agg_1m WHEN new.client_id = 'z'
                BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END";
    platform.beside().execute_batch(fail).unwrap();
    let both = array(&[wire("a", 7), wire("z", 7)].map(|event| event.to_string()));
    for _ in 0..3 {
        let answer = platform.post(both.clone()).await;
        assert_eq!((answer.status, answer.code()), (503, "unavailable"));
        assert!(!answer.body.to_string().contains("full"), "the log says why: {answer:?}");
        assert_eq!((platform.counted("a").await, platform.counted("z").await), (2, 0));
    }
    platform.beside().execute_batch("DROP TRIGGER fail").unwrap();
    let answer = platform.post(both).await;
    assert_eq!((answer.status, &answer.body["duplicates"]), (202, &0.into()));
    assert_eq!((platform.counted("a").await, platform.counted("z").await), (3, 1));
}

#[tokio::test]
async fn readiness_follows_the_store_down_and_up() {
    let platform = Platform::new();
    assert_eq!(platform.post(batch("c", 1)).await.status, 202);
    assert_eq!(platform.counted("c").await, 1);
    assert_eq!(
        (platform.status("/-/ready").await, platform.status("/-/healthy").await),
        (200, 200)
    );

    schema::down(&platform.world.dir(), 0).unwrap();
    let answer = platform.post(batch("c", 2)).await;
    assert_eq!((answer.status, answer.code()), (503, "unavailable"));
    assert_eq!(
        (platform.status("/-/ready").await, platform.status("/-/healthy").await),
        (503, 200)
    );
    assert_eq!(platform.status("/api/v1/windows").await, 503);

    // It finds out by itself that all is well again.
    schema::up(&platform.world.dir()).unwrap();
    let ready = async {
        while platform.status("/-/ready").await != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, ready).await.expect("ready in time");
    assert_eq!(platform.post(batch("c", 2)).await.status, 202);
    assert_eq!(platform.counted("c").await, 2);
}

#[tokio::test]
async fn a_server_that_ends_refuses_and_says_so() {
    let platform = Platform::new();
    assert_eq!(platform.post(batch("c", 1)).await.status, 202);
    platform.running.aggregator.close();
    let ended = async {
        while platform.running.aggregator.alive() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(DEADLINE, ended).await.expect("ends in time");
    let answer = platform.post(batch("c", 2)).await;
    assert_eq!((answer.status, answer.code()), (503, "unavailable"));
    assert_eq!(
        (platform.status("/-/ready").await, platform.status("/-/healthy").await),
        (503, 503)
    );
    assert_eq!(platform.counted("c").await, 1);
}

#[tokio::test]
async fn a_token_that_was_seen_is_good_while_the_store_is_away_and_not_for_ever() {
    static CLOCK: AtomicI64 = AtomicI64::new(NOW);
    let platform =
        Platform::of(Parts { auth_now: || CLOCK.load(Ordering::Relaxed), ..Parts::default() });
    let other = platform.token_of("d", Scope::Ingest);
    assert_eq!(platform.post(batch("c", 1)).await.status, 202);
    schema::down(&platform.world.dir(), 0).unwrap();
    let detail = async |token: &str| {
        let answer = platform.send(Sent::new(token, batch("c", 2))).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "2"));
        answer.body["detail"].as_str().unwrap().to_owned()
    };
    // It gets as far as to the events.
    let (away, unknown) = ("the store cannot write now", "tokens cannot be looked up now");
    for seconds in [0, 10, 11, 13, 3_500] {
        CLOCK.store(NOW + seconds * 1_000, Ordering::Relaxed);
        assert_eq!(detail(&platform.token).await, away, "after {seconds} s");
        assert_eq!(detail(&other).await, unknown, "after {seconds} s");
    }
    CLOCK.store(NOW + 3_601_000, Ordering::Relaxed);
    assert_eq!(detail(&platform.token).await, unknown);
}
