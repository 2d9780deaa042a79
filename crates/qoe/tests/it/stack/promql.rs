//! Every expression of PromQL, of panels and of rules, on a Prometheus that scrapes real roles.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::prometheus::{Over, Prometheus, Series};
use super::{dashboards, files, yaml};
use crate::running::{PATIENCE, eventually};

/// A query of a panel.
pub(super) struct Asked {
    /// The dashboard and the panel.
    pub(super) at: String,
    /// As Grafana sends it.
    pub(super) expr: String,
    over: Over,
    /// Labels that the legend names.
    legend: Vec<String>,
}

/// All that panels ask, with Grafana's macros replaced.
pub(super) fn asked() -> Vec<Asked> {
    let scrape = scrape_interval();
    let mut found = Vec::new();
    for (path, dashboard) in dashboards() {
        let from = dashboard["time"]["from"].as_str().unwrap();
        let range = from.strip_prefix("now-").unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            let least = panel["interval"].as_str().map(duration);
            let step = least.unwrap_or(scrape).max(scrape);
            // https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/
            let rate = (step + scrape).max(4 * scrape);
            for target in panel["targets"].as_array().unwrap() {
                let Some(expr) = target["expr"].as_str() else { continue };
                let at = format!("{path}: {}", panel["title"].as_str().unwrap());
                let expr = expr
                    .replace("$__rate_interval", &format!("{}s", rate.as_secs()))
                    .replace("$__interval", &format!("{}s", step.as_secs()))
                    .replace("$__range", range);
                assert!(!expr.contains('$'), "{at}: nobody expands this: {expr}");
                let over = match target["instant"].as_bool().unwrap() {
                    true => Over::Now,
                    false => Over::Range { length: duration(range), step },
                };
                let legend = target["legendFormat"].as_str().unwrap();
                let legend = legend.split("{{").skip(1).map(|label| label.split("}}").next());
                let legend = legend.map(|label| label.unwrap().to_owned()).collect();
                found.push(Asked { at, expr, over, legend });
            }
        }
    }
    found
}

/// What Grafana thinks that Prometheus scrapes by.
fn scrape_interval() -> Duration {
    let (path, _) = &files("deploy/grafana/provisioning/datasources", ".yml")[0];
    let sources = yaml(path);
    let mut sources = sources["datasources"].as_array().unwrap().iter();
    let prometheus = sources.find(|source| source["uid"] == "qoe-prometheus").unwrap();
    let thinks = &prometheus["jsonData"]["timeInterval"];
    assert_eq!(*thinks, yaml("deploy/prometheus/prometheus.yml")["global"]["scrape_interval"]);
    duration(thinks.as_str().unwrap())
}

fn duration(text: &str) -> Duration {
    humantime::parse_duration(text).unwrap()
}

/// Asks all of it until each has shown something, and says what has not.
pub(super) fn what_shows_nothing(prometheus: &Prometheus) -> Vec<String> {
    let mut left = asked();
    assert!(left.len() > 30, "{}", left.len());
    // Before patience is over, so that what is wrong is told by name.
    let deadline = Instant::now() + PATIENCE / 2;
    eventually("each has shown something", || {
        let mut wrong = wrong_rules(prometheus);
        left.retain(|asked| {
            let why = asked.is_wrong(prometheus);
            wrong.extend(why.iter().cloned());
            why.is_some()
        });
        if !prometheus.scrapes_all() {
            wrong.push("Prometheus does not reach each role".to_owned());
        }
        (wrong.is_empty() || Instant::now() > deadline).then_some(wrong)
    })
}

impl Asked {
    /// Why it is not good.
    fn is_wrong(&self, prometheus: &Prometheus) -> Option<String> {
        let Self { at, expr, over, legend } = self;
        let series = match prometheus.series(expr, over) {
            Ok(series) => series,
            Err(error) => return Some(format!("{at}: {error}: {expr}")),
        };
        let mut shown = series.iter().filter(|one| one.shows()).peekable();
        if shown.peek().is_none() {
            return Some(format!("{at}: nothing comes of {expr}"));
        }
        // A series that lacks the label is drawn without a name.
        let lacks = |label: &&String| shown.clone().any(|one| one.labels[*label].is_null());
        let lacking = legend.iter().find(lacks)?;
        Some(format!("{at}: a series without the label {lacking} comes of {expr}"))
    }
}

/// Rules that can't be evaluated, and those that should record something and do not.
fn wrong_rules(prometheus: &Prometheus) -> Vec<String> {
    let known = files("deploy/prometheus/rules", ".yml").into_iter().flat_map(|(path, _)| {
        let groups = yaml(&path)["groups"].as_array().unwrap().clone();
        groups.into_iter().flat_map(|group| group["rules"].as_array().unwrap().clone())
    });
    let rules = prometheus.rules();
    assert_eq!(rules.len(), known.count());
    let wrong = |rule: &Value| {
        let name = rule["name"].as_str().unwrap();
        if rule["health"] != "ok" {
            return Some(format!("rule {name}: {} {}", rule["health"], rule["lastError"]));
        }
        let records = rule["type"] == "recording";
        let shows = || prometheus.series(name, &Over::Now).unwrap().iter().any(Series::shows);
        (records && !shows()).then(|| format!("rule {name} records nothing: {}", rule["query"]))
    };
    rules.iter().filter_map(wrong).collect()
}
