//! Prometheus' and NATS' own parsers, the unit tests of rules, and the names of metrics.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::promql::asked;
use super::{assert_good, files, promtool, root, text, yaml};
use crate::tidy::sources;

#[test]
fn nats_takes_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut nats = Command::new(testbed::servers::program("nats-server").unwrap());
    nats.args(["-t", "-c"]).arg(root().join("deploy/nats/nats.conf"));
    nats.env("NATS_HOST", "127.0.0.1").env("NATS_PORT", "4222");
    nats.env("NATS_MONITOR_PORT", "8222").env("NATS_STORE", dir.path());
    nats.env("NATS_PASSWORD", "aPasswordOf1234567890");
    assert_good(&nats.output().unwrap());
    let config = text("deploy/nats/nats.conf");
    assert!(config.contains("sync_interval: always"), "202 would promise too much");
}

#[test]
fn prometheus_takes_its_file_and_its_rules() {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in [
        files("deploy/prometheus", ".yml"),
        files("deploy/prometheus/rules", ".yml"),
        files("deploy/prometheus/targets", ".yml"),
    ]
    .concat()
    {
        let path = dir.path().join(path.strip_prefix("deploy/prometheus/").unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::write(dir.path().join("scrape.token"), "a token").unwrap();
    let config = dir.path().join("prometheus.yml");
    if let Some(output) = promtool(&["check", "config", config.to_str().unwrap()]) {
        assert_good(&output);
    }
}

#[test]
fn rules_do_what_their_tests_say() {
    let tests = files("deploy/prometheus/tests", ".yml");
    let mut args = vec!["test", "rules"];
    args.extend(tests.iter().map(|(path, _)| path.as_str()));
    if let Some(output) = promtool(&args) {
        assert_good(&output);
    }
}

#[test]
fn every_alert_says_what_to_do_and_is_tested() {
    let operations = text("docs/operations.md");
    let tests: String =
        files("deploy/prometheus/tests", ".yml").into_iter().map(|(_, text)| text).collect();
    let mut alerts = 0;
    for (path, _) in files("deploy/prometheus/rules", ".yml") {
        let rules = yaml(&path);
        let groups = rules["groups"].as_array().unwrap();
        for rule in groups.iter().flat_map(|group| group["rules"].as_array().unwrap()) {
            let Some(name) = rule["alert"].as_str() else { continue };
            alerts += 1;
            for key in ["summary", "description"] {
                assert!(rule["annotations"][key].is_string(), "{name} has no {key}");
            }
            let runbook = rule["annotations"]["runbook"].as_str().unwrap();
            let anchor = runbook.strip_prefix("docs/operations.md#").unwrap();
            let there = operations.lines().any(|line| {
                line.strip_prefix("## ").is_some_and(|title| title.to_lowercase() == anchor)
            });
            assert!(there, "{name}: no section {anchor} in docs/operations.md");
            let severity = rule["labels"]["severity"].as_str().unwrap();
            assert!(["page", "ticket"].contains(&severity), "{name}: {severity}");
            let tested = tests.contains(&format!("alertname: {name}\n"));
            assert!(tested, "no test in which {name} fires");
        }
    }
    assert!(alerts > 10, "{alerts}");
}

#[test]
fn panels_ask_prometheus_what_it_understands() {
    let asked = asked();
    assert!(asked.len() > 30);
    let rules = asked.iter().enumerate().map(
        |(n, asked)| serde_json::json!({ "record": format!("panel:{n}"), "expr": asked.expr }),
    );
    let rules: Vec<_> = rules.collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    // JSON is YAML.
    let groups = serde_json::json!({ "groups": [{ "name": "panels", "rules": rules }] });
    fs::write(file.path(), groups.to_string()).unwrap();
    if let Some(output) = promtool(&["check", "rules", file.path().to_str().unwrap()]) {
        assert_good(&output);
    }
}

#[test]
fn every_metric_that_is_asked_for_exists() {
    let mut known = BTreeSet::new();
    let sources = ["crates/server/src", "crates/probe/src"].map(|dir| sources(&root().join(dir)));
    for (_, source) in sources.iter().flatten() {
        for name in names(source, '"') {
            // A counter is registered without its end.
            known.insert(format!("{name}_total"));
            known.insert(name);
        }
    }
    let mut recorded = BTreeSet::new();
    let mut asked: Vec<_> = asked().into_iter().map(|asked| (asked.at, asked.expr)).collect();
    for (path, _) in files("deploy/prometheus/rules", ".yml") {
        let rules = yaml(&path);
        let groups = rules["groups"].as_array().unwrap();
        for rule in groups.iter().flat_map(|group| group["rules"].as_array().unwrap()) {
            if let Some(name) = rule["record"].as_str() {
                recorded.insert(name.to_owned());
            }
            asked.push((path.clone(), rule["expr"].as_str().unwrap().to_owned()));
        }
    }
    for (at, expr) in &asked {
        for name in names(expr, ' ') {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let exists = known.contains(&name) || base.is_some_and(|base| known.contains(base));
            assert!(exists, "{at}: nobody tells {name}");
        }
        let words = expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        for name in words.filter(|word| word.starts_with("qoe:")) {
            assert!(recorded.contains(name), "{at}: no rule records {name}");
        }
    }
}

/// Names of metrics in a text; in sources only those that are a string of their own.
fn names(text: &str, before: char) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    for prefix in ["qoe_", "process_"] {
        for (at, _) in text.match_indices(prefix) {
            let previous = text[..at].chars().next_back().unwrap_or(' ');
            let whole = if before == '"' { previous == '"' } else { !is_name(previous) };
            if whole {
                found.push(text[at..].chars().take_while(|c| is_name(*c)).collect());
            }
        }
    }
    found
}

#[test]
fn dashboards_are_what_their_source_makes() {
    let dir = tempfile::tempdir().unwrap();
    let mut make = Command::new("python3");
    make.arg(root().join("scripts/dashboards")).arg(dir.path()).env("PYTHONDONTWRITEBYTECODE", "1");
    assert_good(&make.output().unwrap());
    let all = files("deploy/grafana/dashboards", ".json");
    for (path, text) in &all {
        let name = path.rsplit('/').next().unwrap();
        let made = fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        assert!(made == *text, "{path} is not what scripts/dashboards makes: make dashboards");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), all.len());
}
