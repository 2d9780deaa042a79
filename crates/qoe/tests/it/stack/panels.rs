//! Every query of every panel, on a real database that real roles filled, as the role that Grafana
//! reads with.

use serde_json::{Value, json};
use testbed::simulate::{self, Fault, FaultKind, Scenario, Scope, Shape};

use super::{dashboards, text};
use crate::http::post;
use crate::running::{eventually, now_ms};
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

/// Sends events, and says how many.
fn send(site: &Site, token: &str, events: impl Iterator<Item = Value>) -> i64 {
    let ingest = site.role_at_work("ingest");
    let events: Vec<_> = events.collect();
    for batch in events.chunks(500) {
        let answer = post(ingest.addr, token, &Value::from(batch).to_string()).unwrap();
        assert!(answer.status == 202 && answer.body.contains("\"rejected\":[]"), "{}", answer.body);
    }
    events.len() as i64
}

/// A site with windows of each length, incidents, a drift, a gap, and measurements set aside.
fn filled(now_ms: i64) -> Site {
    let site = Site::ready();
    let token = site.token("ingest");
    let scenario = history(now_ms);
    let event = |event| serde_json::to_value(event).unwrap();
    let mut all: Vec<Value> = simulate::events(&scenario).map(event).collect();
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
    // An hour of the day before yesterday, for the windows of hours and days.
    let before = Scenario::fleet(8, 4, 2, now_ms - 50 * HOUR_MS, 60, 1);
    all.extend(simulate::events(&before).map(event));

    let count =
        |sql: &str| -> i64 { site.database.connect().unwrap().query_one(sql, &[]).unwrap().get(0) };
    let sent = send(&site, &token, all.into_iter());
    let aggregator = site.role_at_work("aggregator");
    eventually("all is counted", || {
        let counted = "SELECT coalesce(sum(count_total + count_troubled), 0)::bigint FROM agg_1m";
        (count(counted) >= sent).then_some(())
    });
    let diagnoser = site.role_at_work("diagnoser");
    for (what, sql) in [
        ("an incident is told", "SELECT count(*) FROM incidents"),
        ("hours are merged", "SELECT count(*) FROM agg_1h"),
        ("days are merged", "SELECT count(*) FROM agg_1d"),
    ] {
        eventually(what, || (count(sql) > 0).then_some(()));
    }
    drop((aggregator, diagnoser));
    // It takes most of a day to be noted by itself.
    let drift =
        "INSERT INTO drifts VALUES ('sim-0001', 'https://service-1.example/', now() - interval
        '1 hour', 'tcp', now() - interval '1 day', 1.5)";
    site.database.connect().unwrap().batch_execute(drift).unwrap();
    site
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
            let sql = variable["query"].as_str().unwrap().to_owned();
            found.push((format!("{path}: variable {}", variable["name"]), sql));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
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
    let site = filled(now_ms);
    let mut owner = site.database.connect().unwrap();
    owner.batch_execute(&text("deploy/postgres/reader.sql")).unwrap();
    // Again, as at the next start of the stack.
    owner.batch_execute(&text("deploy/postgres/reader.sql")).unwrap();
    owner.batch_execute(&format!("ALTER ROLE qoe_reader PASSWORD '{PASSWORD}'")).unwrap();

    let shown = panels_that_show_nothing(&site, now_ms);
    let refused = what_the_reader_may_not(&site);
    owner.batch_execute("DROP OWNED BY qoe_reader; DROP ROLE qoe_reader").unwrap();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    assert!(refused.is_empty(), "the reader may: {refused:?}");
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
