//! Every query of every panel, on a real database that real roles filled, as the role that Grafana
//! reads with, and on a real Prometheus that scrapes these roles.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::servers::free_port;
use testbed::servers::guard::Guarded;
use testbed::simulate::{self, Fault, FaultKind, Scenario, Scope, Shape};

use super::prometheus::Prometheus;
use super::{dashboards, promql, text};
use crate::http::post;
use crate::running::{Server, eventually, now_ms};
use crate::site::Site;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// What the role has here alone; the development stack makes its own.
const PASSWORD: &str = "onlyForThisTest0";

/// Three hours of a fleet up to now, with a slow resolver and an outage in them.
fn history(now_ms: i64) -> Scenario {
    let scenario = Scenario::fleet(7, 4, 2, now_ms - 3 * HOUR_MS, 178, 6);
    let resolver = scenario.clients[0].resolver.clone();
    let target = scenario.targets[1].clone();
    let fault = |kind, scope, from_minute, minutes| Fault {
        kind,
        scope,
        from_minute,
        minutes,
        shape: Shape::default(),
    };
    let slow = FaultKind::DnsDelay { add_ms: 300.0 };
    let out = FaultKind::OutageTcp { share: 0.5 };
    scenario.with_fault(fault(slow, Scope::Resolver(resolver), 120, 20)).with_fault(fault(
        out,
        Scope::Target(target),
        150,
        6,
    ))
}

/// Roles at work, a probe that measures one of them, and what watches both.
struct Platform {
    prometheus: Option<Prometheus>,
    _probe: Guarded,
    _servers: Vec<Server>,
    site: Site,
    _dir: TempDir,
}

/// Sends events, and says how many.
fn send(ingest: &Server, token: &str, events: &[Value]) -> i64 {
    for batch in events.chunks(500) {
        let answer = post(ingest.addr, token, &Value::from(batch).to_string()).unwrap();
        assert!(answer.status == 202 && answer.body.contains("\"rejected\":[]"), "{}", answer.body);
    }
    events.len() as i64
}

/// A probe that measures an ingest and sends it what it measured, and where it tells of itself.
fn probe(dir: &Path, ingest: &Server, token: &str) -> (Guarded, SocketAddr) {
    let metrics = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let file = dir.join("probe.token");
    std::fs::write(&file, token).unwrap();
    let ingest = format!("http://{}", ingest.addr);
    let target = format!("{ingest}/-/healthy");
    let [file, spool] = [file, dir.join("spool")].map(|path| path.display().to_string());
    let told = metrics.to_string();
    // With nothing of our surroundings.
    let mut args = vec!["-i", env!("CARGO_BIN_EXE_qoe"), "probe", "--client-id", "real"];
    args.extend(["--interval", "1s", "--no-throughput", "--target", &target]);
    args.extend(["--ingest", &ingest, "--token-file", &file]);
    args.extend(["--spool", &spool, "--metrics", &told]);
    let run = Guarded::run(Path::new("env"), &args, &dir.join("probe.log")).unwrap();
    (run, metrics)
}

/// A platform with windows of each length, incidents, a drift, a gap, and measurements set aside.
fn filled(now_ms: i64) -> Platform {
    let (site, dir) = (Site::ready(), tempfile::tempdir().unwrap());
    let [ingest, aggregator, api] =
        ["ingest", "aggregator", "api"].map(|name| site.role_at_work(name));
    let token = site.token("ingest");
    let event = |event| serde_json::to_value(event).unwrap();
    let mut all: Vec<Value> = simulate::events(&history(now_ms)).map(event).collect();
    for (n, event) in all.iter_mut().enumerate() {
        if n % 500 == 0 {
            event["schema_version"] = "1.1".into();
            event["probe_trouble"] = json!(["cpu"]);
        }
        if n % 2_000 == 1 {
            event["schema_version"] = "1.1".into();
            event["gap"] = json!({ "count": 3, "first_ts_ms": now_ms - HOUR_MS });
        }
    }
    let sent = send(&ingest, &token, &all);
    let eventually_counted = |what: &str, least: i64, sql: &str| {
        eventually(what, || {
            let count = site.database.connect().unwrap().query_one(sql, &[]).unwrap();
            (count.get::<_, i64>(0) >= least).then_some(())
        });
    };
    let simulated = "SELECT coalesce(sum(count_total + count_troubled), 0)::bigint FROM agg_1m
        WHERE client_id LIKE 'sim-%'";
    eventually_counted("the last hours are counted", sent, simulated);

    // Only now: what comes late is judged late.
    let diagnoser = site.role_at_work("diagnoser");
    let (probe, metrics) = probe(dir.path(), &ingest, &token);
    let roles = [
        ("ingest", &ingest),
        ("aggregator", &aggregator),
        ("diagnoser", &diagnoser),
        ("api", &api),
    ];
    let mut scraped = roles.map(|(role, server)| (role, server.addr)).to_vec();
    scraped.push(("probe", metrics));
    let one_program = Server::start(&dir.path().join("one"), |_| {});
    let reads = site.token("read");
    let prometheus = Prometheus::start(dir.path(), &reads, &scraped, one_program.addr);
    // An hour of the day before yesterday, for the windows of hours and days.
    let before = Scenario::fleet(8, 4, 2, now_ms - 50 * HOUR_MS, 60, 1);
    let before: Vec<_> = simulate::events(&before).map(event).collect();
    let sent = sent + send(&ingest, &token, &before);
    // Refusals are told of by their reason, each from its first one on.
    let refused = post(ingest.addr, "nonsense", "[]").unwrap();
    assert_eq!(refused.status, 401, "{}", refused.body);
    eventually_counted("all is counted", sent, simulated);
    eventually_counted("an incident is told", 1, "SELECT count(*) FROM incidents");
    eventually_counted("hours are merged", 1, "SELECT count(*) FROM agg_1h");
    eventually_counted("days are merged", 1, "SELECT count(*) FROM agg_1d");
    // It takes most of a day to be noted by itself.
    let drift =
        "INSERT INTO drifts VALUES ('sim-0001', 'https://service-1.example/', now() - interval
        '1 hour', 'tcp', now() - interval '1 day', 1.5)";
    site.database.connect().unwrap().batch_execute(drift).unwrap();
    let servers = vec![ingest, aggregator, diagnoser, api, one_program];
    Platform { prometheus, _probe: probe, _servers: servers, site, _dir: dir }
}

/// What Grafana makes of macros and variables. `many` stands for variables of several values.
fn expand(sql: &str, from: &str, to: &str, many: bool, grain: &str) -> String {
    let quoted = |all: &[&str]| {
        let all: Vec<_> = all.iter().map(|one| format!("'{one}'")).collect();
        if many { all.join(",") } else { all[0].clone() }
    };
    let clients = quoted(&["sim-0001", "sim-0002", "sim-0003", "sim-0004"]);
    let targets = quoted(&["https://service-1.example/", "https://service-2.example/"]);
    let mut sql = sql.to_owned();
    let group = "$__timeGroupAlias(";
    while let Some(at) = sql.find(group) {
        let end = at + sql[at..].find(')').unwrap();
        let column = sql[at + group.len()..end].split(',').next().unwrap();
        let seconds = format!("floor(extract(epoch from {column})/300)*300 AS \"time\"");
        sql.replace_range(at..=end, &seconds);
    }
    let filter = "$__timeFilter(";
    while let Some(at) = sql.find(filter) {
        let end = at + sql[at..].find(')').unwrap();
        let column = sql[at + filter.len()..end].to_owned();
        sql.replace_range(at..=end, &format!("{column} BETWEEN '{from}' AND '{to}'"));
    }
    for (name, value) in [
        ("$__timeFrom()", format!("'{from}'")),
        ("$__timeTo()", format!("'{to}'")),
        ("${client:sqlstring}", clients),
        ("${target:sqlstring}", targets),
        ("${grain}", grain.to_owned()),
    ] {
        sql = sql.replace(name, &value);
    }
    assert!(!sql.contains('$'), "nobody expands this: {sql}");
    sql
}

/// Every query of SQL in a dashboard, and where it stands.
fn queries(path: &str, dashboard: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap() {
            match (&target["rawSql"], &target["expr"]) {
                (Value::String(sql), Value::Null) => {
                    assert_eq!(target["datasource"]["uid"], "qoe-postgres");
                    found.push((format!("{path}: {title}"), sql.clone()));
                }
                (Value::Null, Value::String(_)) => {
                    assert_eq!(target["datasource"]["uid"], "qoe-prometheus");
                }
                _ => panic!("{path}: {title}: a query of both languages or of none"),
            }
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if variable["type"] == "query" {
            assert_eq!(variable["datasource"]["uid"], "qoe-postgres");
            let sql = variable["query"].as_str().unwrap().to_owned();
            found.push((format!("{path}: variable {}", variable["name"]), sql));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        assert_eq!(annotation["datasource"]["uid"], "qoe-postgres");
        let sql = annotation["target"]["rawSql"].as_str().unwrap().to_owned();
        found.push((format!("{path}: annotation"), sql));
    }
    found
}

#[test]
fn no_panel_averages_percentiles() {
    for (path, dashboard) in dashboards() {
        for (at, sql) in queries(&path, &dashboard) {
            let sql = sql.to_lowercase();
            for word in ["avg(", "percentile_", "stddev"] {
                assert!(!sql.contains(word), "{at}: {word}");
            }
            for (place, _) in sql.match_indices("sum(") {
                let summed = sql[place..].split(')').next().unwrap();
                let adds_up = !["_p50_", "_p95_", "_p99_"].iter().any(|p| summed.contains(p));
                assert!(adds_up, "{at}: {summed})");
            }
        }
    }
}

#[test]
fn every_panel_shows_something() {
    let now_ms = now_ms();
    let platform = filled(now_ms);
    let site = &platform.site;
    let mut owner = site.database.connect().unwrap();
    owner.batch_execute(&text("deploy/postgres/reader.sql")).unwrap();
    // Again, as at the next start of the stack.
    owner.batch_execute(&text("deploy/postgres/reader.sql")).unwrap();
    owner.batch_execute(&format!("ALTER ROLE qoe_reader PASSWORD '{PASSWORD}'")).unwrap();

    let mut empty = panels_that_show_nothing(site, now_ms);
    let allowed = what_the_reader_may_not(site);
    owner.batch_execute("DROP OWNED BY qoe_reader; DROP ROLE qoe_reader").unwrap();
    empty.extend(platform.prometheus.iter().flat_map(promql::what_shows_nothing));
    assert!(empty.is_empty(), "{}", empty.join("\n"));
    assert!(allowed.is_empty(), "the reader may: {allowed:?}");
}

/// Runs each query; says of which nothing comes, or an error.
fn panels_that_show_nothing(site: &Site, now_ms: i64) -> Vec<String> {
    let mut reader = site.database.connect_as("qoe_reader", PASSWORD).unwrap();
    let at = |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap().to_string();
    let (to, mut run, mut wrong) = (at(now_ms + MINUTE_MS), 0, Vec::new());
    for (path, dashboard) in dashboards() {
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let many = variables.iter().any(|variable| variable["multi"] == true);
        for (at_panel, sql) in queries(&path, &dashboard) {
            let grains: &[&str] =
                if sql.contains("${grain}") { &["1m", "1h", "1d"] } else { &[""] };
            for grain in grains {
                let sql = expand(&sql, &at(now_ms - 72 * HOUR_MS), &to, many, grain);
                let rows = format!(
                    "SELECT count(*) FROM ({sql}) AS panel, jsonb_each(to_jsonb(panel)) AS cell
                     WHERE cell.key NOT IN ('time', 'metric') AND cell.value <> 'null'"
                );
                run += 1;
                match reader.query_one(&rows, &[]) {
                    Ok(row) if row.get::<_, i64>(0) > 0 => {}
                    Ok(_) => wrong.push(format!("{at_panel}: nothing comes of {sql}")),
                    Err(error) => wrong.push(format!("{at_panel}: {error:?}: {sql}")),
                }
            }
        }
    }
    assert!(run > 40, "{run}");
    wrong
}

/// What is not for Grafana, and yet works.
fn what_the_reader_may_not(site: &Site) -> Vec<&'static str> {
    let mut reader = site.database.connect_as("qoe_reader", PASSWORD).unwrap();
    let all = [
        "SELECT sha256 FROM tokens",
        "SELECT body FROM alerts",
        "SELECT event_id FROM events_seen LIMIT 1",
        "CREATE TABLE mine (x int)",
        "SET default_transaction_read_only = off; DELETE FROM clients",
    ];
    let works = |sql: &&str| reader.batch_execute(sql).is_ok();
    let mut allowed: Vec<_> = all.into_iter().filter(works).collect();
    let mut fresh = site.database.connect_as("qoe_reader", PASSWORD).unwrap();
    for (name, value) in [("default_transaction_read_only", "on"), ("statement_timeout", "15s")] {
        let is: String = fresh.query_one(&format!("SHOW {name}"), &[]).unwrap().get(0);
        if is != value {
            allowed.push(name);
        }
    }
    allowed
}
