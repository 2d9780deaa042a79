//! The roles as processes, over real NATS and PostgreSQL: the whole way of an event, what each says
//! while a server is away, and how each stops.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
struct Site {
    nats: Nats,
    /// Dropped with the test.
    _database: Database,
    dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let nats = Nats::start(&nats::Options::default()).unwrap();
        let database = Postgres::shared().unwrap().create_database().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let url = dir.path().join("database.url");
        fs::write(&url, database.url()).unwrap();
        fs::set_permissions(&url, fs::Permissions::from_mode(0o600)).unwrap();
        Self { nats, _database: database, dir }
    }

    /// With tables and streams.
    fn ready() -> Self {
        let site = Self::new();
        let made = site.qoe(&["migrate", "up", "--stream-max-bytes", "256MiB"]);
        let told = String::from_utf8(made.stdout).unwrap();
        assert!(told.contains("from version 0 to"), "{told}");
        assert!(told.contains("stream QOE_EVENTS created"), "{told}");
        site
    }

    fn database_file(&self) -> PathBuf {
        self.dir.path().join("database.url")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = qoe();
        command.args(args).arg("--database-file").arg(self.database_file());
        // The tests' database server does not sync.
        command.arg("--allow-data-loss");
        if ["ingest", "aggregator", "migrate"].contains(&args[0]) {
            command.args(["--bus", &self.nats.url()]);
        }
        command
    }

    /// Runs a command to its end, which must be good.
    fn qoe(&self, args: &[&str]) -> Output {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn token(&self, scope: &str) -> String {
        let args = ["token", "create", "--client-id", "*", "--scope", scope];
        String::from_utf8(self.qoe(&args).stdout).unwrap().trim().to_owned()
    }

    fn role(&self, name: &str) -> Server {
        let mut command = self.command(&[name]);
        command.args(["--listen", "127.0.0.1:0"]);
        Server::run(command)
    }

    /// A role that is at work.
    fn role_at_work(&self, name: &str) -> Server {
        let role = self.role(name);
        eventually(&format!("{name} is ready"), || (ready(&role).status == 200).then_some(()));
        role
    }
}

fn ready(role: &Server) -> Answer {
    get(role.addr, "/-/ready", "none").unwrap()
}

fn events(count: usize) -> String {
    let now_ms = now_ms();
    Value::from((0..count).map(|_| event("c", now_ms)).collect::<Vec<_>>()).to_string()
}

/// How many events the read API tells of.
fn counted(api: &Server, token: &str) -> u64 {
    let answer = get(api.addr, "/api/v1/windows?limit=10000", token).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let windows = body["windows"].as_array().unwrap();
    windows.iter().map(|window| window["count_total"].as_u64().unwrap()).sum()
}

/// Tells a role to stop, and checks that it does so in time and says that all is well.
fn stops(mut role: Server, name: &str) {
    let began = Instant::now();
    role.signal(Signal::SIGTERM);
    let status = role.wait();
    let took = began.elapsed();
    assert!(status.success() && took < STOPS_WITHIN, "{name}: {status} after {took:?}");
}

#[test]
fn events_go_all_the_way_and_each_role_stops_under_load_without_loss() {
    let site = Site::ready();
    let (sends, reads) = (site.token("ingest"), site.token("read"));
    let api = site.role_at_work("api");
    let sent = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let ingest = Mutex::new(Some(site.role_at_work("ingest")));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Acquire) {
                    let Some(addr) = ingest.lock().unwrap().as_ref().map(|role| role.addr) else {
                        std::thread::yield_now();
                        continue;
                    };
                    let body = events(50);
                    // One that stops owes nothing to whom it did not answer: it comes again.
                    while !matches!(post(addr, &sends, &body), Ok(answer) if answer.status == 202) {
                        let now = ingest.lock().unwrap().as_ref().map(|role| role.addr);
                        if now != Some(addr) {
                            return retry(&ingest, &sends, &body, &sent);
                        }
                    }
                    sent.fetch_add(50, Ordering::Relaxed);
                }
            });
        }
        let aggregators = ["one", "two"].map(|_| site.role_at_work("aggregator"));
        let diagnosers = ["one", "two"].map(|_| site.role_at_work("diagnoser"));
        eventually("some are counted", || (counted(&api, &reads) > 1_000).then_some(()));

        let [first, second] = aggregators;
        stops(first, "aggregator");
        let [leads, takes_over] = diagnosers;
        stops(leads, "diagnoser");
        let stopped = ingest.lock().unwrap().take().unwrap();
        stops(stopped, "ingest");
        *ingest.lock().unwrap() = Some(site.role_at_work("ingest"));
        std::thread::sleep(Duration::from_millis(300));
        over.store(true, Ordering::Release);
        stops(second, "the last aggregator");
        stops(takes_over, "diagnoser");
    });
    stops(ingest.into_inner().unwrap().unwrap(), "ingest");

    // Whoever comes next counts what was left, and nothing twice.
    let sent = sent.into_inner();
    let _next = site.role_at_work("aggregator");
    eventually("all are counted", || (counted(&api, &reads) >= sent).then_some(()));
    assert_eq!(counted(&api, &reads), sent);
    stops(api, "api");
}

/// Sends a body that was cut off to the ingest that came after.
fn retry(ingest: &Mutex<Option<Server>>, token: &str, body: &str, sent: &AtomicU64) {
    eventually("the next ingest takes it", || {
        let addr = ingest.lock().unwrap().as_ref().map(|role| role.addr)?;
        matches!(post(addr, token, body), Ok(answer) if answer.status == 202).then_some(())
    });
    sent.fetch_add(50, Ordering::Relaxed);
}

#[test]
fn roles_wait_for_what_they_need_and_say_so() {
    let site = Site::new();
    let [ingest, aggregator] = ["ingest", "aggregator"].map(|name| site.role(name));
    let [diagnoser, api] = ["diagnoser", "api"].map(|name| site.role(name));
    for (role, waits_for) in [
        (&ingest, "there is no stream QOE_EVENTS"),
        (&aggregator, "there is no stream QOE_EVENTS"),
        (&diagnoser, "schema version 0"),
        (&api, "schema version 0"),
    ] {
        assert_eq!(get(role.addr, "/-/healthy", "none").unwrap().status, 200);
        eventually(waits_for, || {
            let answer = ready(role);
            (answer.status == 503 && answer.body.contains(waits_for)).then_some(())
        });
        let other = get(role.addr, "/api/v1/windows", "none").unwrap();
        assert_eq!(other.status, 503, "{}", other.body);
    }
    site.qoe(&["migrate", "up", "--stream-max-bytes", "64MiB"]);
    for role in [&ingest, &aggregator, &diagnoser, &api] {
        eventually("it goes on", || (ready(role).status == 200).then_some(()));
    }
    assert_eq!(get(diagnoser.addr, "/api/v1/windows", "none").unwrap().status, 404);
}

#[test]
fn an_ingest_without_its_bus_says_so_and_an_aggregator_stops_without_it() {
    let mut site = Site::ready();
    let token = site.token("ingest");
    let [ingest, aggregator] = ["ingest", "aggregator"].map(|name| site.role_at_work(name));
    site.nats.kill();
    eventually("ingest is not ready", || (ready(&ingest).status == 503).then_some(()));
    let refused = post(ingest.addr, &token, &events(1)).unwrap();
    assert_eq!(refused.status, 503, "{}", refused.body);
    stops(aggregator, "aggregator without a bus");
    site.nats.restart().unwrap();
    eventually("ingest is ready again", || (ready(&ingest).status == 200).then_some(()));
    assert_eq!(post(ingest.addr, &token, &events(1)).unwrap().status, 202);
    site.nats.kill();
    stops(ingest, "ingest without a bus");
}

#[test]
fn what_would_count_an_event_twice_or_show_a_secret_is_refused() {
    let site = Site::ready();
    let refused = |more: &[&str]| {
        let mut command = site.command(&["aggregator"]);
        let output = command.args(["--listen", "127.0.0.1:0"]).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let told = refused(&["--keep-ids", "20d"]);
    assert!(told.contains("21 d in all") && told.contains("kept for 20 d"), "{told}");

    let mut command = qoe();
    command.args(["ingest", "--bus", "nats://me:s3cret@127.0.0.1:1"]);
    let output = command.arg("--database-file").arg(site.database_file()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("--bus-credentials") && !told.contains("s3cret"), "{told}");

    let nowhere = qoe().args(["api"]).output().unwrap();
    let told = String::from_utf8(nowhere.stderr).unwrap();
    assert!(told.contains("--database-file"), "{told}");
}
