//! The roles as processes, over real NATS and PostgreSQL: the whole way of an event, what each says
//! while a server is away, and how each stops.

use crate::http::{get, post};
use crate::running::{eventually, qoe};
use crate::site::{Load, Site, counted, events, ready, stops};

#[test]
fn events_go_all_the_way_and_each_role_stops_under_load_without_loss() {
    let site = Site::ready();
    let reads = site.token("read");
    let api = site.role_at_work("api");
    let load = Load::start(&site);
    let [first, second] = ["one", "two"].map(|_| site.role_at_work("aggregator"));
    let [leads, takes_over] = ["one", "two"].map(|_| site.role_at_work("diagnoser"));
    eventually("some are counted", || (counted(&api, &reads) > 1_000).then_some(()));
    stops(first, "aggregator");
    stops(leads, "diagnoser");
    load.restart_ingest(&site);
    let before = load.sent();
    eventually("the next ingest takes events", || (load.sent() > before).then_some(()));
    stops(second, "the last aggregator");
    stops(takes_over, "diagnoser");
    let sent = load.stop();

    // Whoever comes next counts what was left, and nothing twice.
    let _next = site.role_at_work("aggregator");
    eventually("all are counted", || (counted(&api, &reads) >= sent).then_some(()));
    assert_eq!(counted(&api, &reads), sent);
    stops(api, "api");
}

#[test]
fn roles_wait_for_what_they_need_and_say_so() {
    let site = Site::new();
    let [ingest, aggregator] = ["ingest", "aggregator"].map(|name| site.role(name));
    let [diagnoser, api] = ["diagnoser", "api"].map(|name| site.role(name));
    for (role, waits_for) in [
        (&ingest, "there is no stream QOE_EVENTS"),
        (&aggregator, "there is no stream QOE_EVENTS"),
        (&diagnoser, "schema version 0"),
        (&api, "schema version 0"),
    ] {
        assert_eq!(get(role.addr, "/-/healthy", "none").unwrap().status, 200);
        eventually(waits_for, || {
            let answer = ready(role);
            (answer.status == 503 && answer.body.contains(waits_for)).then_some(())
        });
        let other = get(role.addr, "/api/v1/windows", "none").unwrap();
        assert_eq!(other.status, 503, "{}", other.body);
        let asked = qoe().args(["ready", &format!("http://{}", role.addr)]).output().unwrap();
        let said = String::from_utf8(asked.stderr).unwrap();
        assert!(asked.status.code() == Some(1) && said.contains(waits_for), "{said}");
    }
    site.qoe(&["migrate", "up", "--stream-max-bytes", "64MiB"]);
    for role in [&ingest, &aggregator, &diagnoser, &api] {
        eventually("it goes on", || (ready(role).status == 200).then_some(()));
        let asked = qoe().args(["ready", &format!("http://{}", role.addr)]).output().unwrap();
        assert!(asked.status.success() && asked.stdout == b"ready\n", "{asked:?}");
    }
    assert_eq!(get(diagnoser.addr, "/api/v1/windows", "none").unwrap().status, 404);
}

#[test]
fn an_ingest_without_its_bus_says_so_and_an_aggregator_stops_without_it() {
    let mut site = Site::ready();
    let token = site.token("ingest");
    let [ingest, aggregator] = ["ingest", "aggregator"].map(|name| site.role_at_work(name));
    site.nats.kill();
    eventually("ingest is not ready", || (ready(&ingest).status == 503).then_some(()));
    let refused = post(ingest.addr, &token, &events(1)).unwrap();
    assert_eq!(refused.status, 503, "{}", refused.body);
    stops(aggregator, "aggregator without a bus");
    site.nats.restart().unwrap();
    eventually("ingest is ready again", || (ready(&ingest).status == 200).then_some(()));
    assert_eq!(post(ingest.addr, &token, &events(1)).unwrap().status, 202);
    site.nats.kill();
    stops(ingest, "ingest without a bus");
}

#[test]
fn what_would_count_an_event_twice_or_show_a_secret_is_refused() {
    let site = Site::ready();
    let refused = |more: &[&str]| {
        let mut command = site.command(&["aggregator"]);
        let output = command.args(["--listen", "127.0.0.1:0"]).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let told = refused(&["--keep-ids", "20d"]);
    assert!(told.contains("21 d in all") && told.contains("kept for 20 d"), "{told}");

    let mut command = qoe();
    command.args(["ingest", "--bus", "nats://me:s3cret@127.0.0.1:1"]);
    let output = command.arg("--database-file").arg(site.database_file()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("--bus-credentials") && !told.contains("s3cret"), "{told}");

    let nowhere = qoe().args(["api"]).output().unwrap();
    let told = String::from_utf8(nowhere.stderr).unwrap();
    assert!(told.contains("--database-file"), "{told}");
}
