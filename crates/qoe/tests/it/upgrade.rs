//! An upgrade while events come in: tables go down and up below running programs, then on to a
//! version that only the next program knows, under which these are restarted one by one.

use crate::running::{Server, eventually};
use crate::site::{Load, Site, counted, ready, stops};

/// What the next version of this program might add, and leave older programs at work.
const EXPAND: &str = "
    BEGIN;
    SET LOCAL lock_timeout = '10s';
    ALTER TABLE agg_1m ADD COLUMN next bigint;
    ALTER TABLE events_seen ADD COLUMN next text;
    CREATE TABLE agg_1w (client_id text, window_start_ts timestamptz);
    INSERT INTO schema_migrations (version, name, oldest_program) VALUES (LATEST + 1, 'next', LATEST);
    COMMIT";

/// What it might take away when no older program runs.
const CONTRACT: &str = "UPDATE schema_migrations SET oldest_program = version WHERE name = 'next'";

#[test]
fn tables_are_migrated_below_running_programs_and_nothing_is_lost() {
    let site = Site::ready();
    let reads = site.token("read");
    let api = site.role_at_work("api");
    let load = Load::start(&site);
    let mut aggregators = ["one", "two"].map(|_| site.role_at_work("aggregator"));
    let mut diagnoser = site.role_at_work("diagnoser");
    let goes_on = |what: &str| {
        let (counted_before, sent_before) = (counted(&api, &reads), load.sent());
        eventually(what, || {
            let goes_on = counted(&api, &reads) > counted_before && load.sent() > sent_before;
            goes_on.then_some(())
        });
    };
    goes_on("events are counted");

    // Without the tables and columns of today everyone waits, and events wait on the bus.
    site.qoe(&["migrate", "down", "--to", "1", "--yes"]);
    let sent_before = load.sent();
    eventually("events are taken", || (load.sent() > sent_before).then_some(()));
    eventually("the diagnoser says what it misses", || is(&diagnoser, 503));
    site.qoe(&["migrate", "up"]);
    eventually("the diagnoser is at work again", || is(&diagnoser, 200));
    goes_on("events are counted with the tables of today");

    let mut database = site.database.connect().unwrap();
    let latest = server::store::schema::LATEST.to_string();
    // As `qoe migrate up` does where it meets the locks of programs at work.
    eventually("tables are expanded", || {
        let expanded = database.batch_execute(&EXPAND.replace("LATEST", &latest));
        expanded.or_else(|error| database.batch_execute("ROLLBACK").and(Err(error))).ok()
    });
    goes_on("events are counted with tables of the next version");
    for aggregator in &mut aggregators {
        let before = std::mem::replace(aggregator, site.role_at_work("aggregator"));
        stops(before, "aggregator");
    }
    stops(std::mem::replace(&mut diagnoser, site.role_at_work("diagnoser")), "diagnoser");
    load.restart_ingest(&site);
    goes_on("programs that were started anew count with them");

    database.batch_execute(CONTRACT).unwrap();
    let mut refused = site.command(&["aggregator"]);
    let refused = refused.args(["--listen", "127.0.0.1:0"]).output().unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(told.contains("this program needs"), "{told}");

    let sent = load.stop();
    eventually("all are counted", || (counted(&api, &reads) >= sent).then_some(()));
    assert_eq!(counted(&api, &reads), sent);
    for role in aggregators {
        stops(role, "aggregator");
    }
}

fn is(role: &Server, status: u16) -> Option<()> {
    (ready(role).status == status).then_some(())
}
