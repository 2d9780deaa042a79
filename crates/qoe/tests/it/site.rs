//! A site of a test's own: real NATS and PostgreSQL, the roles on them as processes, and load.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use testbed::servers::nats::{self, Nats};
use testbed::servers::postgres::{Database, Postgres};

use crate::http::{Answer, get, post};
use crate::running::{Server, event, eventually, now_ms, qoe};

/// What a role may take to stop.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// Servers and a database of a test's own.
pub(crate) struct Site {
    pub(crate) nats: Nats,
    pub(crate) database: Database,
    dir: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let nats = Nats::start(&nats::Options::default()).unwrap();
        let database = Postgres::shared().unwrap().create_database().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let url = dir.path().join("database.url");
        fs::write(&url, database.url()).unwrap();
        fs::set_permissions(&url, fs::Permissions::from_mode(0o600)).unwrap();
        Self { nats, database, dir }
    }

    /// With tables and streams.
    pub(crate) fn ready() -> Self {
        let site = Self::new();
        let made = site.qoe(&["migrate", "up", "--stream-max-bytes", "256MiB"]);
        let told = String::from_utf8(made.stdout).unwrap();
        assert!(told.contains("from version 0 to"), "{told}");
        assert!(told.contains("stream QOE_EVENTS created"), "{told}");
        site
    }

    pub(crate) fn database_file(&self) -> PathBuf {
        self.dir.path().join("database.url")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = qoe();
        command.args(args).arg("--database-file").arg(self.database_file());
        // The tests' database server does not sync.
        command.arg("--allow-data-loss");
        if ["ingest", "aggregator", "migrate", "doctor", "replay"].contains(&args[0]) {
            command.args(["--bus", &self.nats.url()]);
        }
        command
    }

    /// Runs a command to its end, which must be good.
    pub(crate) fn qoe(&self, args: &[&str]) -> Output {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    pub(crate) fn token(&self, scope: &str) -> String {
        let args = ["token", "create", "--client-id", "*", "--scope", scope];
        String::from_utf8(self.qoe(&args).stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn role(&self, name: &str) -> Server {
        let mut command = self.command(&[name]);
        command.args(["--listen", "127.0.0.1:0"]);
        Server::run(command)
    }

    /// A role that is at work.
    pub(crate) fn role_at_work(&self, name: &str) -> Server {
        let role = self.role(name);
        eventually(&format!("{name} is ready"), || (ready(&role).status == 200).then_some(()));
        role
    }
}

pub(crate) fn ready(role: &Server) -> Answer {
    get(role.addr, "/-/ready", "none").unwrap()
}

pub(crate) fn events(count: usize) -> String {
    let now_ms = now_ms();
    Value::from((0..count).map(|_| event("c", now_ms)).collect::<Vec<_>>()).to_string()
}

/// How many events the read API tells of.
pub(crate) fn counted(api: &Server, token: &str) -> u64 {
    let answer = get(api.addr, "/api/v1/windows?limit=10000", token).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let windows = body["windows"].as_array().unwrap();
    windows.iter().map(|window| window["count_total"].as_u64().unwrap()).sum()
}

/// Tells a role to stop, and checks that it does so in time and says that all is well.
pub(crate) fn stops(mut role: Server, name: &str) {
    let began = Instant::now();
    role.signal(Signal::SIGTERM);
    let status = role.wait();
    let took = began.elapsed();
    assert!(status.success() && took < STOPS_WITHIN, "{name}: {status} after {took:?}");
}

/// Senders at an ingest, each of which sends a batch until it is answered 202.
pub(crate) struct Load {
    shared: Arc<Shared>,
    senders: Vec<JoinHandle<()>>,
}

struct Shared {
    ingest: Mutex<Option<Server>>,
    sent: AtomicU64,
    over: AtomicBool,
}

const SENDERS: usize = 4;
const BATCH: usize = 50;

impl Load {
    pub(crate) fn start(site: &Site) -> Self {
        let token = site.token("ingest");
        let shared = Arc::new(Shared {
            ingest: Mutex::new(Some(site.role_at_work("ingest"))),
            sent: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let sender = || {
            let (shared, token) = (Arc::clone(&shared), token.clone());
            std::thread::spawn(move || {
                while !shared.over.load(Ordering::Acquire) {
                    shared.send(&token);
                }
            })
        };
        let senders = (0..SENDERS).map(|_| sender()).collect();
        Self { shared, senders }
    }

    /// How many events were answered 202 so far.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Acquire)
    }

    /// Has the ingest stop in the midst of it, and another take its place.
    pub(crate) fn restart_ingest(&self, site: &Site) {
        let before = self.shared.ingest.lock().unwrap().take().unwrap();
        stops(before, "ingest");
        *self.shared.ingest.lock().unwrap() = Some(site.role_at_work("ingest"));
    }

    /// How many events were answered 202, each of which is counted once in the end.
    pub(crate) fn stop(self) -> u64 {
        self.shared.over.store(true, Ordering::Release);
        self.senders.into_iter().for_each(|sender| sender.join().unwrap());
        let ingest = self.shared.ingest.lock().unwrap().take().unwrap();
        stops(ingest, "ingest");
        self.shared.sent.load(Ordering::Acquire)
    }
}

impl Shared {
    fn send(&self, token: &str) {
        let body = events(BATCH);
        eventually("a batch is taken", || {
            let addr = self.ingest.lock().unwrap().as_ref().map(|role| role.addr)?;
            matches!(post(addr, token, &body), Ok(answer) if answer.status == 202).then_some(())
        });
        self.sent.fetch_add(BATCH as u64, Ordering::AcqRel);
    }
}
