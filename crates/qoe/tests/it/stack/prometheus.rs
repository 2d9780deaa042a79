//! A Prometheus of a test's own, set up by deploy/prometheus but with a scrape each second, and what it
//! answers.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::servers::guard::Guarded;
use testbed::servers::{free_port, program};

use super::{files, yaml};
use crate::running::{PATIENCE, eventually, now_ms};

const OFTEN: &str = "1s";

/// Dropping it kills it.
pub(super) struct Prometheus {
    addr: SocketAddr,
    targets: usize,
    process: Guarded,
}

/// When a query is asked about.
pub(super) enum Over {
    Now,
    Range { length: Duration, step: Duration },
}

/// Labels and values of a series.
pub(super) struct Series {
    pub(super) labels: Value,
    pub(super) values: Vec<f64>,
}

impl Series {
    pub(super) fn shows(&self) -> bool {
        self.values.iter().any(|value| value.is_finite())
    }
}

impl Prometheus {
    /// Scrapes `roles`, and of `one_program` what only that tells. `None` where the machine has no
    /// Prometheus; `make servers` fetches it.
    pub(super) fn start(
        dir: &Path,
        token: &str,
        roles: &[(&str, SocketAddr)],
        one_program: SocketAddr,
    ) -> Option<Self> {
        let Ok(program) = program("prometheus") else {
            println!("no PromQL was run, there is no prometheus here: make servers");
            return None;
        };
        let mut config = yaml("deploy/prometheus/prometheus.yml");
        for interval in ["scrape_interval", "evaluation_interval"] {
            assert!(config["global"][interval].is_string(), "{interval}: {config}");
            config["global"][interval] = OFTEN.into();
        }
        // What else it tells would stand in for a role that tells too little.
        config["scrape_configs"].as_array_mut().unwrap().push(json!({
            "job_name": "one-program",
            "static_configs": [{ "targets": [one_program] }],
            "metric_relabel_configs": [{
                "source_labels": ["__name__"],
                "regex": "qoe_conservation_gap_events",
                "action": "keep",
            }],
        }));
        let targets: Vec<_> = roles
            .iter()
            .map(|(role, addr)| json!({ "targets": [addr], "labels": { "role": role } }))
            .collect();
        let home = dir.join("prometheus");
        for folder in ["rules", "targets"] {
            fs::create_dir_all(home.join(folder)).unwrap();
        }
        for (path, text) in files("deploy/prometheus/rules", ".yml") {
            fs::write(home.join(path.strip_prefix("deploy/prometheus/").unwrap()), text).unwrap();
        }
        // JSON is YAML.
        fs::write(home.join("prometheus.yml"), config.to_string()).unwrap();
        fs::write(home.join("targets/qoe.yml"), Value::from(targets).to_string()).unwrap();
        fs::write(home.join("scrape.token"), token).unwrap();

        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
        let args = [
            format!("--config.file={}", home.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", home.join("data").display()),
            format!("--web.listen-address={addr}"),
        ];
        let log = home.join("log");
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let process = Guarded::run(&program, &args, &log).unwrap();
        let prometheus = Self { addr, targets: roles.len(), process };
        eventually("Prometheus is ready", || {
            let said = || fs::read_to_string(&log).unwrap_or_default();
            assert!(!prometheus.process.is_gone(), "Prometheus ended: {}", said());
            http(addr, "/-/ready").ok().filter(|(status, _)| *status == 200)
        });
        Some(prometheus)
    }

    /// What comes of an expression, or what is wrong with it.
    pub(super) fn series(&self, expr: &str, over: &Over) -> Result<Vec<Series>, String> {
        let data = match over {
            Over::Now => ask(self.addr, "/api/v1/query", &[("query", expr)]),
            Over::Range { length, step } => {
                let end = now_ms() / 1_000;
                let start = (end - i64::try_from(length.as_secs()).unwrap()).to_string();
                let (end, step) = (end.to_string(), step.as_secs().to_string());
                let args = [("query", expr), ("start", &start), ("end", &end), ("step", &step)];
                ask(self.addr, "/api/v1/query_range", &args)
            }
        };
        let one = |series: &Value| {
            let points = series["values"].as_array().cloned();
            let points = points.unwrap_or_else(|| vec![series["value"].clone()]);
            let value = |point: &Value| point[1].as_str().unwrap().parse().unwrap();
            Series { labels: series["metric"].clone(), values: points.iter().map(value).collect() }
        };
        Ok(data?["result"].as_array().unwrap().iter().map(one).collect())
    }

    /// Its rules, as it evaluates them.
    pub(super) fn rules(&self) -> Vec<Value> {
        let data = ask(self.addr, "/api/v1/rules", &[]).unwrap();
        let groups = data["groups"].as_array().unwrap().iter();
        groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    /// Whether it reaches each of the roles.
    pub(super) fn scrapes_all(&self) -> bool {
        let up = self.series("up{job=\"qoe\"} == 1", &Over::Now).unwrap();
        up.len() == self.targets
    }
}

/// The data of what a Prometheus answers, or why there is none.
pub(super) fn ask(addr: SocketAddr, path: &str, args: &[(&str, &str)]) -> Result<Value, String> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let query = query.extend_pairs(args).finish();
    let (_, body) = http(addr, &format!("{path}?{query}")).map_err(|error| error.to_string())?;
    let mut answer: Value = serde_json::from_str(&body).map_err(|_| body)?;
    match answer["status"].as_str() {
        Some("success") => Ok(answer["data"].take()),
        _ => Err(answer["error"].to_string()),
    }
}

/// In HTTP/1.0, in which no answer comes in chunks.
fn http(addr: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {addr}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(std::io::ErrorKind::InvalidData)?, body.to_owned()))
}
