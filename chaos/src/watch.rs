//! Looks on while all is broken: counts that fall, messages that leave too early, memory that
//! grows. What can't be seen for a while is not seen.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::task::JoinSet;

use crate::cluster::{Pids, Tokens};
use crate::evidence::bus::Look;
use crate::http::Way;
use crate::judge::{Usage, Watched};

const EVERY: Duration = Duration::from_secs(1);

/// Windows of the run and of a little before it: those that most events fall in.
const BEFORE_MS: i64 = 20 * 60_000;

/// Those who look on. Dropping it ends them.
pub struct Watch {
    watched: Arc<Mutex<Watched>>,
    _watchers: JoinSet<()>,
}

impl Watch {
    /// Begins to look, within a runtime.
    pub fn start(
        api: SocketAddr,
        tokens: &Tokens,
        pids: Pids,
        nats: async_nats::Client,
        began_ms: i64,
    ) -> Self {
        let watched = Arc::<Mutex<Watched>>::default();
        let mut watchers = JoinSet::new();
        watchers.spawn(windows(api, tokens.read.clone(), began_ms, Arc::clone(&watched)));
        watchers.spawn(stream(nats, Arc::clone(&watched)));
        watchers.spawn(usage(pids, Arc::clone(&watched)));
        Self { watched, _watchers: watchers }
    }

    /// What was seen up to now.
    pub fn watched(&self) -> MutexGuard<'_, Watched> {
        lock(&self.watched)
    }
}

fn lock(watched: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    // A note that panicked leaves whole lists.
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Deserialize)]
struct Page {
    windows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    client_id: String,
    target: String,
    window_start_ts: i64,
    revision: u64,
    count_total: u64,
}

/// Reads windows by the API, and compares each with what it was.
async fn windows(api: SocketAddr, token: String, began_ms: i64, watched: Arc<Mutex<Watched>>) {
    let mut way = Way::to(api);
    let mut before: HashMap<(String, String, i64), (u64, u64)> = HashMap::new();
    let (from, to) = (began_ms - BEFORE_MS, began_ms + 24 * 3_600_000);
    let path = format!("/api/v1/windows?limit=10000&from={from}&to={to}");
    loop {
        tokio::time::sleep(EVERY).await;
        let Ok((200, body)) = way.get(&token, &path).await else { continue };
        let Ok(page) = serde_json::from_slice::<Page>(&body) else { continue };
        let mut watched = lock(&watched);
        watched.reads.0 += 1;
        watched.reads.1 += page.windows.len() as u64;
        for row in page.windows {
            let Row { client_id, target, window_start_ts, revision, count_total } = row;
            let key = (client_id, target, window_start_ts);
            let now = (count_total, revision);
            let was = before.get(&key).copied().unwrap_or_default();
            if now.0 < was.0 || now.1 < was.1 {
                watched.fell.push(format!("{key:?}: {now:?} after {was:?} (count, revision)"));
            }
            before.insert(key, now);
        }
    }
}

/// Looks whether messages leave before they were acknowledged.
async fn stream(nats: async_nats::Client, watched: Arc<Mutex<Watched>>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Ok(Ok(look)) = tokio::time::timeout(EVERY, Look::now(&nats)).await else { continue };
        let mut watched = lock(&watched);
        watched.looks += 1;
        // The stream was looked at before its consumer, whose floor only rises.
        if look.first > look.floor + 1 {
            let (first, floor) = (look.first, look.floor);
            watched.purged.push(format!("the stream began at {first} when the floor was {floor}"));
        }
    }
}

async fn usage(pids: Pids, watched: Arc<Mutex<Watched>>) {
    loop {
        tokio::time::sleep(EVERY).await;
        for (role, pid) in pids.now() {
            let Some(usage) = of(pid) else { continue };
            let mut watched = lock(&watched);
            let most = watched.most.entry(role).or_default();
            most.resident = most.resident.max(usage.resident);
            most.files = most.files.max(usage.files);
        }
    }
}

fn of(pid: i32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some(Usage { resident: kib << 10, files: files as u64 })
}
