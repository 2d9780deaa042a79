//! Delivery to receivers that take, refuse, hang, redirect and are not there, each a real server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::ErrorStage;
use model::diagnosis::Label;
use model::units::MINUTE_MS;
use serde_json::Value;
use server::aggregator::Settings;
use server::alert::config::Config;
use server::alert::deliver::{LEASE_MS, Step};
use server::alert::{Alerting, Incidents};
use server::store::{
    AlertEvent, AlertQuery, AlertRow, AlertState, IncidentBody, IncidentRow, Severity,
};
use tokio_util::sync::CancellationToken;

use crate::alert_receiver::{Answer, Receiver};
use crate::raw_http::DEADLINE;
use crate::world::{Running, T0, World, cell};

const SECRET: &str = "a secret of some length";

/// A file of alerts, read: each receiver's name, where it is, and what else is said of it.
fn config(receivers: &[(&str, String, &str)], more: &str) -> Arc<Config> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), SECRET).unwrap();
    let each = receivers.iter().map(|(name, url, more)| {
        format!(
            "[[receivers]]\nname = '{name}'\nkind = 'webhook'\nurl = '{url}'\n\
             secret_file = 'secret'\n{more}\n"
        )
    });
    let text = each.collect::<String>() + "[policy]\ngroup_window = '0s'\n" + more;
    read(dir.path(), &text)
}

fn read(dir: &Path, text: &str) -> Arc<Config> {
    let path = dir.join("alerts.toml");
    std::fs::write(&path, text).unwrap();
    Arc::new(Config::load(&path, None).unwrap())
}

const PRIVATE: &str = "allow_private = true";

/// A store, what writes to it, and what tells incidents.
struct Desk {
    world: World,
    running: Running,
    alerting: Alerting,
    stop: CancellationToken,
}

impl Desk {
    fn new(config: Arc<Config>) -> Self {
        Self::of(World::new(), config)
    }

    fn of(world: World, config: Arc<Config>) -> Self {
        let running = world.start(Settings { now: || T0, ..Settings::default() });
        let (store, aggregator) = (world.store.clone(), running.aggregator.clone());
        let nothing = |_: &_, _| Ok(Incidents::default());
        let alerting = Alerting::new(config, store, aggregator, nothing, || T0).unwrap();
        Self { world, running, alerting, stop: CancellationToken::new() }
    }

    async fn plan(&mut self, incidents: &[IncidentRow], now_ms: i64) {
        let incidents = Incidents { rows: incidents.to_vec(), complete: true };
        self.alerting.step(incidents, T0 - MINUTE_MS, now_ms).await.unwrap();
    }

    /// Sends what is due at a moment, by every receiver's courier; says how much that was.
    async fn send(&self, now_ms: i64) -> usize {
        let mut tried = 0;
        for mut courier in self.alerting.couriers() {
            while courier.step(now_ms, &self.stop).await.unwrap() == Step::Tried {
                tried += 1;
            }
        }
        tried
    }

    fn rows(&self) -> Vec<AlertRow> {
        let query = AlertQuery { from_ms: 0, limit: 1_000, ..AlertQuery::default() };
        self.world.reader().alerts(&query).unwrap().0
    }

    /// The one row there is.
    fn row(&self) -> AlertRow {
        let mut rows = self.rows();
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }
}

fn incident(id: &str) -> IncidentRow {
    IncidentRow {
        id: id.to_owned(),
        label: Label::Outage(ErrorStage::Tcp),
        scope_type: "site".to_owned(),
        scope_id: "berlin".to_owned(),
        severity: Severity::Critical,
        onset_ts: T0,
        opened_ts: T0,
        told_ts: T0,
        last_bad_ts: T0,
        end_ts: None,
        body: IncidentBody {
            text: "12 of 12 connects failed.".to_owned(),
            secondary: Vec::new(),
            cells: vec![cell("c", "https://t.example/")],
            state: model::detect::IncidentState::Open,
            confidence: 1.0,
            slow_by: None,
            flaps: 0,
            accepted_ts: None,
            merged_into: None,
            withdrawn: false,
            evidence: Default::default(),
            rule_version: 1,
        },
    }
}

/// What whoever has the secret computes of a request.
fn signature_of(seconds: &str, body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&[seconds.as_bytes(), b".", body].concat());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn an_incident_is_delivered_once_signed_and_then_its_end() {
    let receiver = Receiver::start(|_| Answer::status(204)).await;
    let mut desk = Desk::new(config(&[("ops", receiver.url("/hook?x=1"), PRIVATE)], ""));
    let mut incident = incident("a1");
    desk.plan(&[incident.clone()], T0).await;
    desk.plan(&[incident.clone()], T0 + 1).await;
    assert_eq!((desk.send(T0).await, desk.send(T0 + 9_999_999).await), (1, 0));
    incident.end_ts = Some(T0);
    desk.plan(&[incident], T0 + 10 * MINUTE_MS).await;
    assert_eq!(desk.send(T0 + 10 * MINUTE_MS).await, 1);

    let requests = receiver.requests();
    let events: Vec<Value> =
        requests.iter().map(|one| one.json()["notices"][0]["event"].clone()).collect();
    assert_eq!(events, ["opened", "ended"]);
    let first = &requests[0];
    assert_eq!(
        (first.path.as_str(), first.json()["schema"].as_str()),
        ("/hook?x=1", Some("qoe.alert/1"))
    );
    assert_eq!(first.headers["host"], receiver.addr.to_string());
    let header = &first.headers["x-qoe-signature"];
    let (seconds, signature) = header.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    assert_eq!(
        (seconds, signature),
        ((T0 / 1_000).to_string().as_str(), signature_of(seconds, &first.body).as_str())
    );
    assert_eq!(first.json()["id"], first.headers["idempotency-key"].as_str());
    let states: Vec<_> = desk.rows().iter().map(|row| (row.event, row.state)).collect();
    let delivered = AlertState::Delivered;
    assert_eq!(states, [(AlertEvent::Ended, delivered), (AlertEvent::Opened, delivered)]);
}

#[tokio::test]
async fn a_receiver_that_fails_for_a_while_gets_each_message_once() {
    let receiver = Receiver::start(|n| Answer::status(if n < 4 { 500 } else { 200 })).await;
    let mut desk = Desk::new(config(&[("ops", receiver.url("/"), PRIVATE)], ""));
    desk.plan(&[incident("a1")], T0).await;
    let mut now_ms = T0;
    for attempt in 1..=5 {
        assert_eq!(desk.send(now_ms).await, 1, "attempt {attempt}");
        let row = desk.row();
        assert_eq!((row.attempts, row.failed_ts), (attempt, Some(T0)));
        if attempt < 5 {
            assert_eq!(row.last_error.as_deref(), Some("it answered 500"));
            assert!(row.due_ts > now_ms && row.due_ts <= now_ms + 16_000, "{row:?}");
            // Not before its time.
            assert_eq!(desk.send(row.due_ts - 1).await, 0);
            now_ms = row.due_ts;
        }
    }
    assert_eq!(desk.row().state, AlertState::Delivered);
    assert_eq!(desk.send(now_ms + 99_999_999).await, 0);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 5);
    assert!(requests.iter().all(|one| one.body == requests[0].body));
}

#[tokio::test]
async fn a_receiver_that_fails_for_a_day_is_told_of_and_no_more_is_sent() {
    let receiver = Receiver::start(|_| Answer::status(500)).await;
    let mut desk = Desk::new(config(&[("ops", receiver.url("/"), PRIVATE)], ""));
    desk.plan(&[incident("a1")], T0).await;
    while desk.row().state == AlertState::Pending {
        let due_ms = desk.row().due_ts;
        assert_eq!(desk.send(due_ms).await, 1);
        let fares = &desk.world.reader().receivers(T0).unwrap()[0];
        assert!(fares.is_in_trouble(), "{fares:?}");
    }
    let row = desk.row();
    assert_eq!(row.last_error.as_deref(), Some("for 24 hours: it answered 500"));
    assert!((80..250).contains(&row.attempts), "{}", row.attempts);
    assert_eq!(receiver.requests().len(), row.attempts as usize);
    assert_eq!(desk.send(T0 + 99_999_999).await, 0);
    // Nobody heard that it began, so nobody is told that it is over.
    let over = IncidentRow { end_ts: Some(T0), ..incident("a1") };
    desk.plan(&[over], T0 + 99_999_999).await;
    assert_eq!(desk.rows().len(), 1);
}

#[tokio::test]
async fn what_is_refused_for_good_is_given_up_at_once() {
    let receiver = Receiver::start(|_| Answer {
        body: b"no\r\n such\x1b[31m hook".to_vec(),
        ..Answer::status(404)
    })
    .await;
    let mut desk = Desk::new(config(&[("ops", receiver.url("/"), PRIVATE)], ""));
    desk.plan(&[incident("a1")], T0).await;
    assert_eq!((desk.send(T0).await, desk.send(T0 + 99_999).await), (1, 0));
    let row = desk.row();
    assert_eq!(row.state, AlertState::GivenUp);
    assert_eq!(
        row.last_error.as_deref(),
        Some("it answered 404: no such [31m hook; nobody takes alerts at this `url`")
    );
}

#[tokio::test]
async fn a_receiver_is_left_alone_for_as_long_as_it_asks() {
    let receiver = Receiver::start(|n| match n {
        0 => Answer { headers: vec![("retry-after", "600".to_owned())], ..Answer::status(429) },
        _ => Answer::status(200),
    })
    .await;
    let mut desk = Desk::new(config(&[("ops", receiver.url("/"), PRIVATE)], ""));
    desk.plan(&[incident("a1")], T0).await;
    let mut couriers = desk.alerting.couriers();
    assert_eq!(couriers[0].step(T0, &desk.stop).await.unwrap(), Step::Tried);
    assert_eq!(desk.row().due_ts, T0 + 600_000);
    // Neither this message nor another.
    desk.plan(&[incident("a1"), incident("b2")], T0 + 1_000).await;
    assert_eq!(couriers[0].step(T0 + 599_999, &desk.stop).await.unwrap(), Step::Idle);
    assert_eq!(couriers[0].step(T0 + 600_000, &desk.stop).await.unwrap(), Step::Tried);
}

#[tokio::test]
async fn a_redirect_is_not_followed_wherever_it_goes() {
    let inside = Receiver::start(|_| Answer::status(200)).await;
    let to = inside.url("/latest/meta-data/");
    let receiver = Receiver::start(move |_| Answer {
        headers: vec![("location", to.clone())],
        ..Answer::status(307)
    })
    .await;
    let mut desk = Desk::new(config(&[("ops", receiver.url("/"), PRIVATE)], ""));
    desk.plan(&[incident("a1")], T0).await;
    assert_eq!(desk.send(T0).await, 1);
    let row = desk.row();
    let why = row.last_error.unwrap();
    assert!(why.contains("307, a redirect") && why.contains("not followed"), "{why}");
    assert_eq!((inside.requests().len(), row.state), (0, AlertState::Pending));
}

#[tokio::test]
async fn an_address_within_is_refused_when_it_is_connected_to() {
    let receiver = Receiver::start(|_| Answer::status(200)).await;
    // A name passes the file, and is looked at when it is known what it stands for.
    let url = format!("https://localhost:{}/", receiver.addr.port());
    let mut desk = Desk::new(config(&[("ops", url, "")], ""));
    desk.plan(&[incident("a1")], T0).await;
    assert_eq!(desk.send(T0).await, 1);
    let why = desk.row().last_error.unwrap();
    assert!(why.contains("this machine itself") && why.contains("allow_private = true"), "{why}");
    assert_eq!(receiver.connections(), 0);

    let url = format!("http://localhost:{}/", receiver.addr.port());
    let mut desk = Desk::new(config(&[("ops", url, PRIVATE)], ""));
    desk.plan(&[incident("a1")], T0).await;
    assert_eq!((desk.send(T0).await, desk.row().state), (1, AlertState::Delivered));
}

#[tokio::test]
async fn one_that_was_in_flight_is_sent_again_under_the_same_key() {
    let receiver =
        Receiver::start(|n| if n == 0 { Answer::never() } else { Answer::status(200) }).await;
    let mut desk = Desk::new(config(&[("ops", receiver.url("/"), PRIVATE)], ""));
    desk.plan(&[incident("a1")], T0).await;
    let mut courier = desk.alerting.couriers().remove(0);
    // The receiver has it, and whoever sent it is gone before it could write that down.
    tokio::select! {
        _ = courier.step(T0, &desk.stop) => panic!("it was answered"),
        () = receiver.has(1) => {}
    }
    let row = desk.row();
    assert_eq!((row.state, row.attempts, row.due_ts), (AlertState::Pending, 1, T0 + LEASE_MS));
    // Another does not send what may be in flight.
    assert_eq!(desk.send(T0 + LEASE_MS - 1).await, 0);
    assert_eq!((desk.send(T0 + LEASE_MS).await, desk.send(T0 + 9_999_999).await), (1, 0));
    let keys: Vec<_> =
        receiver.requests().iter().map(|one| one.headers["idempotency-key"].clone()).collect();
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
    let bodies: Vec<_> = receiver.requests().into_iter().map(|one| one.body).collect();
    assert_eq!(bodies[0], bodies[1]);
}

#[tokio::test]
async fn two_who_tell_the_same_tell_it_once() {
    for world in [World::new(), World::shared()] {
        let receiver = Receiver::start(|_| Answer::status(200)).await;
        let config = config(&[("ops", receiver.url("/"), PRIVATE)], "");
        let mut desk = Desk::of(world, Arc::clone(&config));
        let (store, aggregator) = (desk.world.store.clone(), desk.running.aggregator.clone());
        let nothing = |_: &_, _| Ok(Incidents::default());
        let mut other = Alerting::new(config, store, aggregator, nothing, || T0).unwrap();
        // One of them sees another incident too.
        desk.plan(&[incident("a1")], T0).await;
        let both = Incidents { rows: ["a1", "b2"].map(incident).to_vec(), complete: true };
        other.step(both, T0 - MINUTE_MS, T0).await.unwrap();
        let mut couriers = [desk.alerting.couriers().remove(0), other.couriers().remove(0)];
        let [one, two] = &mut couriers;
        for _ in 0..3 {
            let (one, two) = tokio::join!(one.step(T0, &desk.stop), two.step(T0, &desk.stop));
            let _ = (one.unwrap(), two.unwrap());
        }
        let keys = |request: &crate::alert_receiver::Received| {
            let json = request.json();
            let notices = json["notices"].as_array().unwrap().iter();
            notices.map(|one| one["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let mut told: Vec<String> = receiver.requests().iter().flat_map(keys).collect();
        told.sort();
        assert_eq!(told, ["a1/ops/opened/0", "b2/ops/opened/0"]);
    }
}

#[tokio::test]
async fn incidents_that_open_together_are_one_message() {
    let receiver = Receiver::start(|_| Answer::status(200)).await;
    let config = config(&[("ops", receiver.url("/"), PRIVATE)], "");
    let mut config = Config::clone(&config);
    config.policy.group_window_ms = 30_000;
    let mut desk = Desk::new(Arc::new(config));
    let incidents = ["a1", "b2", "c3"].map(incident);
    for (at_ms, open) in [(0, 1), (10_000, 2), (29_999, 3)] {
        desk.plan(&incidents[..open], T0 + at_ms).await;
        assert_eq!(desk.rows().len(), 0);
    }
    desk.plan(&incidents, T0 + 30_000).await;
    assert_eq!(desk.send(T0 + 30_000).await, 1);
    let told = receiver.requests()[0].json();
    let ids: Vec<_> =
        told["notices"].as_array().unwrap().iter().map(|one| one["incident"].clone()).collect();
    assert_eq!(ids, ["a1", "b2", "c3"]);
}

#[tokio::test]
async fn in_maintenance_nothing_is_sent_and_what_outlasts_it_is_sent_then() {
    let receiver = Receiver::start(|_| Answer::status(200)).await;
    // T0 is 2023-11-14T22:13:00Z.
    let window = "[[maintenance]]\nname = 'm'\nsite = 'berlin'\nfrom = '2023-11-14T22:00:00Z'\n\
                  until = '2023-11-14T23:00:00Z'\n";
    let mut desk = Desk::new(config(&[("ops", receiver.url("/"), PRIVATE)], window));
    desk.plan(&[incident("a1")], T0).await;
    desk.plan(&[incident("a1")], T0 + 46 * MINUTE_MS).await;
    assert_eq!(desk.rows().len(), 0);
    desk.plan(&[incident("a1")], T0 + 47 * MINUTE_MS).await;
    assert_eq!(desk.send(T0 + 47 * MINUTE_MS).await, 1);
}

#[tokio::test]
async fn an_answer_without_end_is_read_to_a_bound() {
    let long = Answer { body: vec![b'x'; 10 << 20], ..Answer::status(500) };
    let receiver = Receiver::start(move |_| long.clone()).await;
    let mut desk = Desk::new(config(&[("ops", receiver.url("/"), PRIVATE)], ""));
    desk.plan(&[incident("a1")], T0).await;
    assert_eq!(desk.send(T0).await, 1);
    assert_eq!(desk.row().last_error.as_deref(), Some("it answered 500"));
}

#[tokio::test]
async fn a_receiver_with_tls_is_trusted_by_its_file_alone() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let receiver = Receiver::with_tls(&made, |_| Answer::status(200)).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.path().join("token"), "tk_1").unwrap();
    let url = format!("https://localhost:{}/", receiver.addr.port());
    for (more, state) in [("", AlertState::Pending), ("ca_file = 'ca.pem'", AlertState::Delivered)]
    {
        let text = format!(
            "[[receivers]]\nname = 'chat'\nkind = 'slack'\nurl = '{url}'\ntoken_file = 'token'\n\
             allow_private = true\n{more}\n[policy]\ngroup_window = '0s'"
        );
        let mut desk = Desk::new(read(dir.path(), &text));
        desk.plan(&[incident("a1")], T0).await;
        assert_eq!((desk.send(T0).await, desk.row().state), (1, state));
        if state == AlertState::Pending {
            let why = desk.row().last_error.unwrap();
            assert!(why.contains("cannot shake hands") && why.contains("ertificate"), "{why}");
        }
    }
    let [request] = &receiver.requests()[..] else { panic!() };
    assert_eq!(request.headers["authorization"], "Bearer tk_1");
}

/// Incidents as a store would give them.
fn always_one(_: &server::store::Reader, _: i64) -> Result<Incidents, server::store::StoreError> {
    Ok(Incidents { rows: vec![incident("a1")], complete: true })
}

#[tokio::test]
async fn one_that_hangs_keeps_no_other_waiting() {
    let hangs = Receiver::start(|_| Answer::never()).await;
    let takes = Receiver::start(|_| Answer::status(200)).await;
    let gone: SocketAddr =
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = config(
        &[
            ("hangs", hangs.url("/"), PRIVATE),
            ("gone", format!("http://{gone}/"), PRIVATE),
            ("takes", takes.url("/"), PRIVATE),
        ],
        "",
    );
    let desk = Desk::new(Arc::clone(&config));
    let (store, aggregator) = (desk.world.store.clone(), desk.running.aggregator.clone());
    let now = server::clock::now_ms;
    let alerting = Alerting::new(config, store, aggregator, always_one, now).unwrap();
    let running = tokio::spawn(alerting.run(desk.stop.clone()));
    let both = async {
        hangs.has(1).await;
        takes.has(1).await;
    };
    tokio::time::timeout(DEADLINE, both).await.unwrap();
    let state = |receiver: &str| {
        let rows = desk.rows();
        rows.into_iter().find(|row| row.receiver == receiver).unwrap()
    };
    let eventually = async |what: &str, is: &dyn Fn() -> bool| {
        let waiting = async {
            while !is() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
    };
    eventually("it is delivered", &|| state("takes").state == AlertState::Delivered).await;
    let told = |receiver: &str, said: &str| {
        state(receiver).last_error.is_some_and(|why| why.contains(said))
    };
    eventually("one is not there", &|| told("gone", "cannot connect to 127.0.0.1")).await;
    eventually("one hangs", &|| told("hangs", "it took more than 5 s")).await;
    desk.stop.cancel();
    tokio::time::timeout(DEADLINE, running).await.unwrap().unwrap();
    assert_eq!(takes.requests().len(), 1);
}

#[tokio::test]
async fn an_alertmanager_is_told_anew_what_goes_on() {
    let receiver = Receiver::start(|_| Answer::status(200)).await;
    let dir = tempfile::tempdir().unwrap();
    let url = receiver.url("");
    let text = format!(
        "[[receivers]]\nname = 'am'\nkind = 'alertmanager'\nurl = '{url}'\n\
         allow_private = true\n[policy]\ngroup_window = '0s'"
    );
    let config = read(dir.path(), &text);
    let mut desk = Desk::new(Arc::clone(&config));
    desk.plan(&[incident("a1")], T0).await;
    assert_eq!(desk.send(T0).await, 1);
    // A program that has just started does not know how long ago that was.
    let (store, aggregator) = (desk.world.store.clone(), desk.running.aggregator.clone());
    let now = server::clock::now_ms;
    let alerting = Alerting::new(config, store, aggregator, always_one, now).unwrap();
    let running = tokio::spawn(alerting.run(desk.stop.clone()));
    tokio::time::timeout(DEADLINE, receiver.has(2)).await.unwrap();
    desk.stop.cancel();
    tokio::time::timeout(DEADLINE, running).await.unwrap().unwrap();
    let alerts: Vec<Value> =
        receiver.requests().iter().map(|request| request.json()[0].clone()).collect();
    assert_eq!(alerts[0]["labels"], alerts[1]["labels"]);
    assert_eq!(alerts[0]["startsAt"], alerts[1]["startsAt"]);
    assert_eq!(alerts[0]["endsAt"], "2023-11-14T23:13:00Z");
    let ends: String = alerts[1]["endsAt"].as_str().unwrap().to_owned();
    assert!(ends.as_str() > "2026", "{ends}");
    assert_eq!(desk.rows().len(), 1, "nothing is kept of that");
}
