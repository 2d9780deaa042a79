//! The peer that takes the same measurements: VictoriaMetrics, by its import of JSON lines.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use model::units::MINUTE_MS;
use model::wire::WireEvent;
use tempfile::TempDir;

use crate::http::Http;
use crate::ingest::{LAP_MINUTES, TS_DIGITS, fleet, write_digits};

/// Debian's name for it.
const PROGRAM: &str = "victoria-metrics";

/// A running one. Dropping it kills it and deletes its data.
pub(super) struct Victoria {
    process: Child,
    addr: SocketAddr,
    _dir: TempDir,
}

impl Victoria {
    /// `None` where it is not installed.
    pub(super) fn start() -> anyhow::Result<Option<Self>> {
        let dir = tempfile::tempdir().context("failed to make a directory")?;
        // It takes no port 0. That of a socket just closed is not given away so soon.
        let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let process = Command::new(PROGRAM)
            .arg(format!("-httpListenAddr={addr}"))
            .arg(format!("-storageDataPath={}", dir.path().display()))
            .args(["-retentionPeriod=1y", "-loggerLevel=ERROR"])
            .stderr(Stdio::null())
            .spawn();
        let process = match process {
            Ok(process) => process,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("failed to start VictoriaMetrics"),
        };
        let victoria = Self { process, addr, _dir: dir };
        let began = Instant::now();
        while Http::connect(addr).and_then(|mut http| http.get("/health")).is_err() {
            if began.elapsed() > Duration::from_secs(20) {
                bail!("VictoriaMetrics did not come up");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(victoria))
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Samples it has taken by this way.
    pub(super) fn taken(&self) -> anyhow::Result<u64> {
        let (_, metrics) = Http::connect(self.addr)?.get("/metrics")?;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("vm_rows_inserted_total{type=\"vmimport\"} "));
        line.and_then(|count| count.parse().ok()).context("VictoriaMetrics counts no samples")
    }
}

impl Drop for Victoria {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Bodies that hold the events of [`crate::ingest::Bodies`] as samples, a line each.
pub(super) struct Samples {
    text: Vec<u8>,
    bodies: Vec<Body>,
    next: usize,
    /// Samples given.
    pub(super) given: u64,
}

struct Body {
    at: Range<usize>,
    events: u32,
    /// Where each sample's time is, and what it is at first.
    times: Vec<(usize, i64)>,
}

impl Samples {
    pub(super) fn new(events_each: usize) -> Self {
        let mut samples = Self { text: Vec::new(), bodies: Vec::new(), next: 0, given: 0 };
        for events in fleet().chunks(events_each) {
            let start = samples.text.len();
            let mut times = Vec::new();
            for event in events {
                for line in lines(event) {
                    samples.text.extend_from_slice(line.as_bytes());
                    let end = samples.text.len() - start;
                    times.push((end - TAIL.len() - TS_DIGITS, event.ts_ms));
                }
            }
            let at = start..samples.text.len();
            // A body holds some hundreds.
            let events = u32::try_from(events.len()).unwrap_or(u32::MAX);
            samples.bodies.push(Body { at, events, times });
        }
        samples
    }

    /// Appends the next body and says how many events are in it.
    pub(super) fn append_to(&mut self, out: &mut Vec<u8>) -> u32 {
        let lap = (self.next / self.bodies.len()) as i64;
        let body = &self.bodies[self.next % self.bodies.len()];
        self.next += 1;
        let start = out.len();
        out.extend_from_slice(&self.text[body.at.clone()]);
        for (at, ts_ms) in &body.times {
            let ts_ms = ts_ms + lap * i64::from(LAP_MINUTES) * MINUTE_MS;
            write_digits(&mut out[start + at..][..TS_DIGITS], ts_ms.unsigned_abs(), 10);
        }
        self.given += body.times.len() as u64;
        body.events
    }
}

/// What stands after a sample's time.
const TAIL: &str = "]}\n";

/// A line for each figure of an event, and one for whether it went well.
fn lines(event: &WireEvent) -> Vec<String> {
    let timings = &event.timings;
    let good = if event.error_stage.is_none() { 1.0 } else { 0.0 };
    let figures = [
        ("up", Some(good)),
        ("dns_ms", timings.dns_ms),
        ("tcp_ms", timings.tcp_ms),
        ("tls_ms", timings.tls_ms),
        ("http_ttfb_ms", timings.http_ttfb_ms),
        ("throughput_kbps", event.throughput_kbps),
    ];
    let line = |(name, figure): (&str, Option<f64>)| {
        let labels = serde_json::json!({
            "__name__": format!("qoe_{name}"),
            "client_id": event.client_id,
            "target": event.target,
        });
        let (figure, ts_ms) = (figure?, event.ts_ms);
        Some(format!("{{\"metric\":{labels},\"values\":[{figure}],\"timestamps\":[{ts_ms}{TAIL}"))
    };
    figures.into_iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_sample_with_a_time_of_its_lap() {
        let mut samples = Samples::new(100);
        let first = fleet()[0].ts_ms;
        for lap in 0..2 {
            samples.next = lap * samples.bodies.len();
            let mut body = Vec::new();
            assert_eq!(samples.append_to(&mut body), 100);
            let text = String::from_utf8(body).unwrap();
            let line: serde_json::Value =
                serde_json::from_str(text.lines().next().unwrap()).unwrap();
            let shift = lap as i64 * i64::from(LAP_MINUTES) * MINUTE_MS;
            assert!((line["timestamps"][0].as_i64().unwrap() - first - shift).abs() < 1_000);
            assert_eq!(line["metric"]["__name__"], "qoe_up");
            assert!(
                text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
            );
        }
    }
}
