//! A server is killed again and again, at named points and at any moment, while senders post and
//! remember every 202. What was answered is never sent again; what was not is. In the end each
//! window holds exactly what was sent: nothing answered is lost, nothing is counted twice.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::Signal;

use crate::http::post;
use crate::running::{Server, Windows, create_token, event, eventually, now_ms, windows};

/// Senders at work at one time: more than one, so that batches share transactions.
const SENDERS: usize = 6;
/// Batches of one round.
const BATCHES: usize = 36;
/// Events of a batch: enough that a transaction takes longer than an answer that came too early.
const EVENTS: usize = 100;
/// Rounds that end at a moment nobody chose.
const RANDOM_ROUNDS: usize = 30;
/// Places in the server's code at which it can be told to die, each the first and a later time.
const POINTS: [&str; 4] = ["mid-batch", "before-commit", "after-commit", "before-answer"];

/// A request's body, and the windows its events belong to.
struct Batch {
    body: String,
    windows: Windows,
}

#[test]
fn nothing_answered_is_lost_and_nothing_is_counted_twice() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let token = create_token(&dir, "*", "ingest");
    let mut expected = Windows::new();
    let mut unanswered = Vec::new();
    let mut made = 0;
    let mut round = |end: End| {
        let mut batches = std::mem::take(&mut unanswered);
        for n in made..made + BATCHES {
            let batch = batch(n);
            add(&mut expected, &batch.windows);
            batches.push(batch);
        }
        made += BATCHES;
        unanswered = send_until(&dir, &token, batches, end);
    };

    for nth in [1, 3] {
        for point in POINTS {
            round(End::At(point, nth));
        }
    }
    let mut random = 0x9e37_79b9_u64;
    for _ in 0..RANDOM_ROUNDS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        round(End::AfterAnswers(usize::try_from(random >> 40).unwrap() % BATCHES));
    }
    round(End::WhenAllAreAnswered);
    assert!(unanswered.is_empty(), "{} batches were never answered", unanswered.len());
    assert_eq!(windows(&dir), expected);
}

/// How a round ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The server dies by itself at a named point, when it is there for the nth time.
    At(&'static str, u32),
    /// It is killed as soon as so many batches are answered, whatever else is going on.
    AfterAnswers(usize),
    /// It is stopped as it should be.
    WhenAllAreAnswered,
}

/// Starts a server, sends until the end, and returns the batches without an answer.
fn send_until(dir: &Path, token: &str, batches: Vec<Batch>, end: End) -> Vec<Batch> {
    let mut server = Server::start(dir, |command| {
        if let End::At(point, nth) = end {
            command.env("QOE_CRASH_AT", format!("{point}:{nth}"));
        }
    });
    let addr = server.addr;
    let waiting = Mutex::new(batches);
    let unanswered = Mutex::new(Vec::new());
    let answered = AtomicUsize::new(0);
    let sender = || {
        loop {
            let Some(batch) = waiting.lock().unwrap().pop() else { return };
            match post(addr, token, &batch.body) {
                Ok(answer) if answer.status == 202 => {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(answer) if answer.status != 503 => panic!("{}: {}", answer.status, answer.body),
                // Refused, or no answer: taken or not, it is sent again.
                Ok(_) | Err(_) => unanswered.lock().unwrap().push(batch),
            }
        }
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(sender)).collect();
        match end {
            End::At(point, nth) => {
                let died = server.wait();
                assert_eq!(died.signal(), Some(Signal::SIGABRT as i32), "{point}:{nth}: {died}");
            }
            End::AfterAnswers(n) => {
                eventually("enough is answered", || {
                    (answered.load(Ordering::Relaxed) >= n).then_some(())
                });
                server.signal(Signal::SIGKILL);
                server.wait();
            }
            End::WhenAllAreAnswered => {
                senders.into_iter().for_each(|sender| sender.join().unwrap());
                server.signal(Signal::SIGTERM);
                assert!(server.wait().success());
            }
        }
    });
    let mut unanswered = unanswered.into_inner().unwrap();
    unanswered.extend(waiting.into_inner().unwrap());
    unanswered
}

/// The nth batch: events of three clients over the last few minutes.
fn batch(n: usize) -> Batch {
    let mut windows = Windows::new();
    let now = now_ms();
    let events: Vec<_> = (0..EVENTS)
        .map(|i| {
            let client = format!("client-{}", (n + i) % 3);
            let ts_ms = now - 60_000 * i64::try_from(i % 4).unwrap();
            *windows.entry((client.clone(), ts_ms.div_euclid(60_000) * 60_000)).or_default() += 1;
            event(&client, ts_ms)
        })
        .collect();
    Batch { body: serde_json::to_string(&events).unwrap(), windows }
}

fn add(to: &mut BTreeMap<(String, i64), u64>, windows: &Windows) {
    for (window, n) in windows {
        *to.entry(window.clone()).or_default() += n;
    }
}
