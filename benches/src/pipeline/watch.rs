//! How long an event takes from its 202 to its window: single events of clients of their own, while
//! the pipeline is under load, each for a target that nobody else measures.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use postgres::Client;
use server::clock::now_ms;
use uuid::Uuid;

use super::world::World;
use crate::http::Http;

/// Between two events, and between two looks for their windows.
const SEND_EVERY: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Clients that they come from, so that every share of the work is watched.
const CLIENTS: usize = 64;

/// How long the last ones are waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// A watch that goes on until it is asked what it saw.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    sending: JoinHandle<anyhow::Result<()>>,
    looking: JoinHandle<anyhow::Result<Vec<f64>>>,
}

/// When each target's event was answered.
type Answered = Arc<Mutex<HashMap<String, Instant>>>;

impl Watch {
    pub(super) fn start(world: &World, addr: std::net::SocketAddr) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Answered::default();
        let (http, token) = (Http::connect(addr)?, world.token.clone());
        let client = world.database.connect()?;
        let sending = {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || send(http, &token, &answered, &stop))
        };
        let looking = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || look(client, &answered, &stop))
        };
        Ok(Self { stop, sending, looking })
    }

    /// Milliseconds from 202 to the window, of every event that was sent.
    pub(super) fn stop(self) -> anyhow::Result<Vec<f64>> {
        self.stop.store(true, Ordering::Release);
        self.sending.join().expect("a bug alone panics")?;
        self.looking.join().expect("a bug alone panics")
    }
}

fn send(mut http: Http, token: &str, answered: &Answered, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut n = 0;
    while !stop.load(Ordering::Acquire) {
        let target = format!("https://{n:06}.watch.example/");
        let event = serde_json::json!({
            "event_id": Uuid::now_v7(),
            "client_id": format!("watch-{:02}", n % CLIENTS),
            "ts_ms": now_ms(),
            "schema_version": "1.1",
            "target": target,
            "network_context": { "interface_type": "ethernet", "vpn_enabled": false },
            "timings": { "dns_ms": 1.0, "tcp_ms": 2.0, "tls_ms": 3.0, "http_ttfb_ms": 4.0 },
        });
        let (status, answer) = http.post("/v1/events", token, &event.to_string())?;
        ensure!(status == 202, "the watch's event was answered {status}: {answer}");
        lock(answered).insert(target, Instant::now());
        n += 1;
        thread::sleep(SEND_EVERY);
    }
    Ok(())
}

fn look(mut client: Client, answered: &Answered, stop: &AtomicBool) -> anyhow::Result<Vec<f64>> {
    let clients: Vec<String> = (0..CLIENTS).map(|n| format!("watch-{n:02}")).collect();
    let find = "SELECT target FROM agg_1m
         WHERE client_id = ANY($1) AND target = ANY($2)
             AND window_start_ts > now() - interval '15 minutes'";
    let find = client.prepare(find).context("preparing to look for windows")?;
    let (mut seen, mut stopped) = (Vec::new(), None);
    loop {
        if stop.load(Ordering::Acquire) {
            stopped.get_or_insert_with(Instant::now);
        }
        let targets: Vec<String> = lock(answered).keys().cloned().collect();
        if !targets.is_empty() {
            let found =
                client.query(&find, &[&clients, &targets]).context("looking for windows")?;
            let now = Instant::now();
            let mut answered = lock(answered);
            for row in found {
                let sent = answered.remove(row.get::<_, &str>(0));
                seen.extend(sent.map(|sent| (now - sent).as_secs_f64() * 1e3));
            }
        } else if stopped.is_some() {
            return Ok(seen);
        }
        let late = stopped.is_some_and(|since| since.elapsed() > PATIENCE);
        ensure!(!late, "{} events of the watch have no window", targets.len());
        thread::sleep(LOOK_EVERY);
    }
}

fn lock(answered: &Answered) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
    // An insert that panicked leaves a whole map.
    answered.lock().unwrap_or_else(PoisonError::into_inner)
}
