//! Dead letters from their first day to their last: put there by what nobody could count, shown,
//! replayed after the mend, dropped.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Output};

use serde_json::Value;
use server::bus::message::{Draft, Packing};
use testbed::servers::nats::Nats;

use crate::running::{event, eventually, now_ms, qoe};
use crate::site::Site;

/// Publishes as anybody could who reaches the bus, and returns when the server has it.
fn publish_raw(nats: &Nats, subject: &str, payload: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", nats.port())).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    write!(stream, "CONNECT {{\"verbose\":false}}\r\nPUB {subject} {}\r\n", payload.len()).unwrap();
    stream.write_all(payload).unwrap();
    stream.write_all(b"\r\nPING\r\n").unwrap();
    assert!(lines.any(|line| line.unwrap() == "PONG"));
}

/// A message as ingest makes it.
fn message(events: &[Value]) -> Vec<u8> {
    let mut draft = Draft::with_room(0);
    events.iter().for_each(|event| draft.push(event.to_string().as_bytes()));
    draft.finish(now_ms(), Packing::Plain).to_vec()
}

fn dlq(site: &Site, args: &[&str]) -> Command {
    let mut command = qoe();
    command.arg("dlq").args(args).args(["--bus", &site.nats.url()]);
    command
}

fn good(site: &Site, args: &[&str]) -> Output {
    let output = dlq(site, args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn refused(site: &Site, args: &[&str]) -> String {
    let output = dlq(site, args).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The letters, once there are so many.
fn letters(site: &Site, count: usize) -> Vec<Value> {
    eventually("so many dead letters are there", || {
        let list = good(site, &["list", "--json"]).stdout;
        let list: Value = serde_json::from_slice(&list).unwrap();
        assert_eq!(list["schema"], "qoe.dlq/1");
        let letters = list["letters"].as_array().unwrap();
        (letters.len() == count).then(|| letters.clone())
    })
}

fn counted(site: &Site, client: &str) -> i64 {
    let mut database = site.database.connect().unwrap();
    let sum = "SELECT coalesce(sum(count_total), 0)::bigint FROM agg_1m WHERE client_id = $1";
    database.query_one(sum, &[&client]).unwrap().get(0)
}

#[test]
fn a_poison_event_is_kept_as_it_was_sent_and_counted_once_after_the_mend() {
    let site = Site::ready();
    let _aggregator = site.role_at_work("aggregator");
    assert_eq!(good(&site, &["list"]).stdout, b"no dead letters\n");
    let now = now_ms();
    publish_raw(&site.nats, "qoe.events.1-0", &message(&[event("bad", now)]));
    eventually("it is counted", || (counted(&site, "bad") == 1).then_some(()));

    // A window that can't be read back takes nothing until somebody has mended it.
    let mut database = site.database.connect().unwrap();
    let spoil = "ALTER TABLE agg_1m ADD COLUMN good bytea;
                 UPDATE agg_1m SET good = sketches, sketches = '\\xff' WHERE client_id = 'bad'";
    database.batch_execute(spoil).unwrap();
    let poison = event("bad", now);
    let batch = [event("well", now), poison.clone(), event("well", now)];
    publish_raw(&site.nats, "qoe.events.1-0", &message(&batch));
    let foreign = b"{\"no\": \"message\", of ours \0\r\n\xff\x1b[2J";
    publish_raw(&site.nats, "qoe.events.stranger", foreign);
    let two = letters(&site, 2);
    eventually("the rest is counted", || (counted(&site, "well") == 2).then_some(()));

    let of = |reason: &str| {
        let letter = two.iter().find(|letter| letter["reason"] == reason).unwrap();
        (letter, letter["number"].to_string())
    };
    let (letter, poisoned) = of("store_refused");
    assert_eq!((&letter["kind"], &letter["source_index"]), (&"event".into(), &1.into()));
    assert_eq!(letter["client_id"], "bad");
    let raw = good(&site, &["show", &poisoned, "--raw"]).stdout;
    assert_eq!(raw, poison.to_string().as_bytes());
    let (letter, stranger) = of("foreign_message");
    assert_eq!(
        (&letter["kind"], &letter["source_subject"]),
        (&"message".into(), &"qoe.events.stranger".into())
    );
    assert_eq!(good(&site, &["show", &stranger, "--raw"]).stdout, foreign);
    let shown = String::from_utf8(good(&site, &["show", &stranger]).stdout).unwrap();
    assert!(shown.contains("not text") && !shown.contains('\x1b'), "{shown}");
    let shown = String::from_utf8(good(&site, &["show", &poisoned]).stdout).unwrap();
    assert!(shown.contains("store_refused") && shown.contains("shop.example"), "{shown}");

    // Too early: both come back as new ones, and once.
    good(&site, &["replay", "--all"]);
    let again = letters(&site, 2);
    assert!(again.iter().all(|letter| !two.contains(letter)), "{again:#?}");
    assert!(refused(&site, &["show", &poisoned]).contains("qoe dlq list"));

    database.batch_execute("UPDATE agg_1m SET sketches = good WHERE client_id = 'bad'").unwrap();
    let number = |reason: &str| {
        let letter = again.iter().find(|letter| letter["reason"] == reason).unwrap();
        letter["number"].to_string()
    };
    let (poisoned, stranger) = (number("store_refused"), number("foreign_message"));
    let said = good(&site, &["replay", &poisoned]).stdout;
    assert_eq!(said, format!("replayed dead letter {poisoned}\n").into_bytes());
    eventually("it is counted", || (counted(&site, "bad") == 2).then_some(()));
    assert_eq!(letters(&site, 1)[0]["number"].to_string(), stranger);
    // The same event again, as a second replay of a copy of it would be.
    publish_raw(&site.nats, "qoe.events.1-0", &message(&[poison, event("last", now)]));
    eventually("all are counted", || (counted(&site, "last") == 1).then_some(()));
    assert_eq!(counted(&site, "bad"), 2);

    assert!(refused(&site, &["drop", "--all"]).contains("--yes"));
    assert!(refused(&site, &["drop", "999999"]).contains("no dead letter 999999"));
    good(&site, &["drop", &stranger]);
    letters(&site, 0);
    publish_raw(&site.nats, "qoe.events.stranger", foreign);
    letters(&site, 1);
    assert_eq!(good(&site, &["drop", "--all", "--yes"]).stdout, b"dropped 1 of 1 dead letters\n");
    letters(&site, 0);
}

#[test]
fn what_is_to_be_done_with_which_must_be_said() {
    for args in [
        &["dlq", "replay"][..],
        &["dlq", "drop"],
        &["dlq", "replay", "1", "--all"],
        &["dlq", "show", "x"],
    ] {
        assert_eq!(qoe().args(args).output().unwrap().status.code(), Some(2), "{args:?}");
    }
    let output = qoe().args(["dlq", "list"]).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("--bus"));
    let output = qoe().args(["dlq", "list", "--bus", "nats://127.0.0.1:1"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && told.contains("nats://127.0.0.1:1"), "{told}");
}
