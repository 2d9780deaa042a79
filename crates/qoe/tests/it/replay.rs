//! `qoe replay` into a database that was emptied, into one that was not, and to an early end.

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::http::post;
use crate::running::{eventually, qoe};
use crate::site::{Site, events, stops};

/// Windows with all that is in them, but their revision and the time of their change; and these.
fn windows(site: &Site) -> Vec<(String, String)> {
    let mut database = site.database.connect().unwrap();
    let select = "SELECT (to_jsonb(w) - 'revision' - 'updated_at' - 'diagnosis_label')::text,
                      w.revision::text || w.updated_at::text
                  FROM agg_1m w ORDER BY client_id, target, window_start_ts";
    let rows = database.query(select, &[]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn counted(site: &Site) -> i64 {
    let mut database = site.database.connect().unwrap();
    let sum = "SELECT coalesce(sum(count_total), 0)::bigint FROM agg_1m";
    database.query_one(sum, &[]).unwrap().get(0)
}

fn replay(site: &Site, args: &[&str]) -> String {
    String::from_utf8(site.qoe(&[&["replay"], args].concat()).stdout).unwrap()
}

#[test]
fn an_emptied_database_is_filled_with_the_same_bytes_and_a_full_one_with_nothing() {
    let site = Site::ready();
    let token = site.token("ingest");
    let [ingest, aggregator] = ["ingest", "aggregator"].map(|name| site.role_at_work(name));
    for _ in 0..20 {
        let body = events(50);
        for _ in 0..2 {
            assert_eq!(post(ingest.addr, &token, &body).unwrap().status, 202);
        }
    }
    eventually("all are counted", || (counted(&site) == 1_000).then_some(()));
    stops(ingest, "ingest");
    stops(aggregator, "aggregator");
    let before = windows(&site);
    assert!(!before.is_empty());

    site.qoe(&["migrate", "down", "--to", "0", "--yes"]);
    site.qoe(&["migrate", "up", "--stream-max-bytes", "256MiB"]);
    assert_eq!(counted(&site), 0);
    let told = replay(&site, &["--all"]);
    assert!(told.contains("2000 events counted, 1000 of them before\n"), "{told}");
    assert!(told.contains("number 1 to ") && told.contains("0 messages between"), "{told}");
    let after = windows(&site);
    let bytes = |windows: &[(String, String)]| {
        windows.iter().map(|(bytes, _)| bytes.clone()).collect::<Vec<_>>()
    };
    assert_eq!(bytes(&after), bytes(&before));

    let told = replay(&site, &["--since", "1h"]);
    assert!(told.contains("2000 events counted, 2000 of them before\n"), "{told}");
    assert_eq!(windows(&site), after);
    let told = replay(&site, &["--from-sequence", "1000000"]);
    assert_eq!(told, "0 messages: the bus holds none from there on\n");
}

#[test]
fn it_ends_when_it_is_told_to_and_says_how_far_it_came() {
    let site = Site::ready();
    let token = site.token("ingest");
    let ingest = site.role_at_work("ingest");
    assert_eq!(post(ingest.addr, &token, &events(100)).unwrap().status, 202);
    let mut holds = site.database.connect().unwrap();
    let mut held = holds.transaction().unwrap();
    held.batch_execute("LOCK TABLE events_seen IN ACCESS EXCLUSIVE MODE").unwrap();
    let mut command = site.command(&["replay", "--all"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut looks = site.database.connect().unwrap();
    eventually("it waits for the table", || {
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        (looks.query_one(waits, &[]).unwrap().get::<_, i64>(0) > 0).then_some(())
    });
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("nothing counts twice"), "{told}");
    drop(held);
    assert!(replay(&site, &["--all"]).contains("100 events counted"));
    assert_eq!(counted(&site), 100);
}

#[test]
fn from_where_must_be_said_and_ids_must_last() {
    for args in
        [&["replay"][..], &["replay", "--all", "--since", "1h"], &["replay", "--since", "soon"]]
    {
        assert_eq!(qoe().args(args).output().unwrap().status.code(), Some(2), "{args:?}");
    }
    let site = Site::ready();
    let output = site.command(&["replay", "--all", "--keep-ids", "20d"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && told.contains("21 d in all"), "{told}");
}
