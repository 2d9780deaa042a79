//! What each role tells at `/metrics`, and that it is as Prometheus wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use crate::http::{get, post};
use crate::running::{Server, create_token, event, eventually, now_ms};
use crate::site::{self, Site};

/// Samples by their name and labels.
type Samples = BTreeMap<String, f64>;

fn scrape(server: &Server) -> (String, Samples) {
    let answer = get(server.addr, "/metrics", "").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let samples = answer.body.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    let samples = samples.collect();
    (answer.body, samples)
}

/// By Prometheus' conventions, as promtool checks them, and without a name of anybody.
fn assert_well_formed(text: &str, secrets: &[&str]) {
    let mut families = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(families.insert(name), "{name} twice");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} {kind}");
            let help = text.contains(&format!("# HELP {name} "));
            assert!(help && !name.contains("milli") && !name.ends_with("_ms"), "{name}");
        }
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        assert!(families.contains(base.unwrap_or(name)) || families.contains(name), "{line}");
        assert!(secrets.iter().all(|secret| !line.contains(secret)), "{line}");
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    promtool.stdout(Stdio::piped()).stderr(Stdio::piped());
    match promtool.spawn() {
        Ok(mut child) => {
            use std::io::Write as _;
            child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
        }
        Err(error) => println!("promtool was not asked: {error}"),
    }
}

#[test]
fn one_program_tells_of_all_its_parts_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let token = create_token(&data, "probe-berlin", "ingest");
    let server = Server::start(&data, |_| {});
    let now = now_ms();
    let late = event("probe-berlin", now - 600_000);
    let mut wrong = event("probe-berlin", now);
    wrong["target"] = "not a URL".into();
    let events = serde_json::json!([event("probe-berlin", now), late, late, wrong]);
    assert_eq!(post(server.addr, &token, &events.to_string()).unwrap().status, 202);
    assert_eq!(post(server.addr, "nonsense", "{}").unwrap().status, 401);
    let (text, samples) = scrape(&server);
    assert_well_formed(&text, &["probe-berlin", "shop.example"]);
    let of = |name: &str| *samples.get(name).unwrap_or_else(|| panic!("{name} in {text}"));
    assert_eq!(of("qoe_ingest_requests_total{code=\"202\"}"), 1.0);
    assert_eq!(of("qoe_ingest_requests_total{code=\"401\"}"), 1.0);
    assert_eq!(of("qoe_ingest_auth_failures_total{reason=\"malformed_token\"}"), 1.0);
    assert_eq!(of("qoe_ingest_events_total{result=\"accepted\",version=\"1.1\",reason=\"\"}"), 3.0);
    assert_eq!(
        of("qoe_ingest_events_total{result=\"rejected\",version=\"1.1\",reason=\"invalid_field\"}"),
        1.0
    );
    assert_eq!(of("qoe_aggregator_applied_events_total"), 2.0);
    assert_eq!(of("qoe_aggregator_duplicate_events_total"), 1.0);
    assert_eq!(of("qoe_aggregator_late_events_total"), 2.0);
    assert_eq!(of("qoe_aggregator_pending_events"), 0.0);
    assert_eq!(of("qoe_aggregator_delay_since_receipt_seconds_count"), 3.0);
    assert_eq!(of("qoe_aggregator_delay_since_measurement_seconds_bucket{le=\"30.0\"}"), 1.0);
    assert_eq!(of("qoe_conservation_gap_events"), 0.0);
    assert_eq!(of("qoe_fleet_clients"), 1.0);
    assert!(of("qoe_store_table_bytes{table=\"all\"}") > 4_096.0);
    assert!(of("process_resident_memory_bytes") > 1e6 && of("process_open_fds") > 3.0);
    let judged = || {
        let (_, samples) = scrape(&server);
        (samples["qoe_diagnoser_cells"] > 0.0).then_some(samples)
    };
    let samples = eventually("the late minute is judged", judged);
    assert!(samples["qoe_diagnoser_judged_windows_total"] >= 1.0);
    assert_eq!(samples["qoe_diagnoser_leads"], 1.0);
}

#[test]
fn each_role_tells_of_itself() {
    let site = Site::ready();
    let [ingest, aggregator] = ["ingest", "aggregator"].map(|name| site.role_at_work(name));
    let [diagnoser, api] = ["diagnoser", "api"].map(|name| site.role_at_work(name));
    let (send, read) = (site.token("ingest"), site.token("read"));
    assert_eq!(post(ingest.addr, &send, &site::events(5)).unwrap().status, 202);
    eventually("all is counted", || (site::counted(&api, &read) == 5).then_some(()));
    let told = |server: &Server, names: &[&str]| {
        let (text, samples) = scrape(server);
        assert_well_formed(&text, &["shop.example"]);
        for name in names {
            assert!(samples.contains_key(*name), "{name} in {text}");
        }
        samples
    };
    let of = told(&ingest, &["qoe_bus_connected", "qoe_role_info{role=\"ingest\"}"]);
    assert_eq!(of["qoe_ingest_events_total{result=\"accepted\",version=\"1.1\",reason=\"\"}"], 5.0);
    assert!(of["qoe_bus_published_messages_total"] >= 1.0);
    let names = ["qoe_bus_redelivered_messages_total", "qoe_aggregator_dead_lettered_events_total"];
    let of = told(&aggregator, &names);
    assert_eq!(of["qoe_aggregator_applied_events_total"], 5.0);
    assert_eq!(of["qoe_aggregator_delay_since_receipt_seconds_count"], 5.0);
    assert!(of["qoe_store_transaction_duration_seconds_count{operation=\"count\"}"] >= 1.0);
    eventually("it was looked how much waits", || {
        scrape(&aggregator).1.get("qoe_bus_lag_messages").copied().filter(|lag| *lag == 0.0)
    });
    let of = told(&aggregator, &["qoe_bus_stream_bytes"]);
    assert_eq!(of["qoe_bus_dead_letter_messages"], 0.0);
    let of = told(&diagnoser, &["qoe_diagnoser_lag_seconds", "qoe_store_failures_total"]);
    assert!(of["qoe_store_partitions{table=\"agg_1m\"}"] >= 1.0);
    let of = told(&api, &["qoe_fleet_silent_clients", "qoe_store_connections"]);
    assert!(of["qoe_api_requests_total{path=\"/api/v1/windows\",code=\"200\"}"] >= 1.0);
    assert!(of["qoe_api_request_duration_seconds_count"] >= 1.0);
}
