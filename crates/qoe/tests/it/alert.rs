//! `qoe alert` and what `qoe up` and `qoe doctor` do with a file of alerts, with a receiver that is
//! really there, and a program that dies between sending and writing that down.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use server::alert::message::test_notice;
use server::store::{
    AlertEvent, AlertQuery, AlertRow, AlertState, Fate, Location, PostgresSettings, Reader, Sent,
    Store, Writer,
};

use crate::explain::{MINUTE_MS, two_hours};
use crate::http::post;
use crate::running::{Server, create_token, eventually, now_ms, qoe};
use crate::site::{Site, ready, stops};

const SECRET: &str = "correct-horse-battery-staple";

/// Takes every message and answers it with a status.
struct Receiver {
    addr: SocketAddr,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let keys = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&keys);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let (headers, body) = request(&stream);
                let header = |name: &str| {
                    headers.iter().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
                };
                let json: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(header("idempotency-key:"), json["id"].as_str().map(str::to_owned));
                assert!(header("x-qoe-signature:").unwrap().starts_with("t="));
                seen.lock().unwrap().push(json["id"].as_str().unwrap().to_owned());
                let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 2\r\n\r\nno");
                let _ = (&stream).write_all(answer.as_bytes());
            }
        });
        Self { addr, keys }
    }

    fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap().clone()
    }
}

fn request(stream: &TcpStream) -> (Vec<String>, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let lines = reader.by_ref().lines().map(Result::unwrap);
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let length = headers.iter().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    (headers, body)
}

/// A file of alerts with a webhook at each of these.
fn file(dir: &Path, receivers: &[(&str, SocketAddr)]) -> PathBuf {
    std::fs::write(dir.join("secret"), SECRET).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(dir.join("secret"), private).unwrap();
    let each = receivers.iter().map(|(name, addr)| {
        format!(
            "[[receivers]]\nname = '{name}'\nkind = 'webhook'\nurl = 'http://{addr}/t0ken'\n\
             secret_file = 'secret'\nallow_private = true\n"
        )
    });
    let path = dir.join("alerts.toml");
    std::fs::write(&path, each.collect::<String>()).unwrap();
    path
}

fn told(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

fn pending(receiver: &str, message: &str) -> AlertRow {
    AlertRow {
        event: AlertEvent::Opened,
        message: message.to_owned(),
        ..test_notice(receiver, server::clock::now_ms())
    }
}

#[test]
fn a_test_says_of_each_receiver_what_came_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (takes, refuses) = (Receiver::start(200), Receiver::start(401));
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let alerts = file(dir.path(), &[("ops", takes.addr), ("old", refuses.addr), ("gone", gone)]);
    let test = |more: &[&str]| {
        told(qoe().args(["-vv", "alert", "test", "--alerts"]).arg(&alerts).args(more))
    };
    let (code, text) = test(&[]);
    assert_eq!(code, Some(1), "{text}");
    for said in [
        &format!("ops (http://{}): delivered in ", takes.addr),
        "would be given up: it answered 401: no; look at the secret",
        &format!("gone (http://{gone}): not delivered, and would be tried again: cannot connect"),
    ] {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
    for secret in [SECRET, "t0ken"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert_eq!((test(&["--receiver", "ops"]).0, takes.keys().len()), (Some(0), 2));
    let (code, text) = test(&["--receiver", "opps"]);
    assert!(
        code == Some(1) && text.contains("no receiver `opps`; there are ops, old, gone"),
        "{text}"
    );
}

#[test]
fn a_file_that_cannot_be_used_is_told_by_its_line_and_nothing_starts() {
    let dir = tempfile::tempdir().unwrap();
    let alerts = file(dir.path(), &[("ops", "127.0.0.1:9".parse().unwrap())]);
    let text = std::fs::read_to_string(&alerts).unwrap();
    std::fs::write(&alerts, text.replace("allow_private", "allow_privat")).unwrap();
    let said = format!("{}:6: unknown key `allow_privat`", alerts.display());
    let data = dir.path().join("data");
    let mut up = qoe();
    up.args(["up", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
    for command in [
        qoe().args(["alert", "test", "--alerts"]).arg(&alerts),
        qoe().args(["alert", "test"]).env("QOE_ALERTS", &alerts),
        up.arg("--alerts").arg(&alerts),
    ] {
        let (code, text) = told(command);
        assert!(code == Some(78) && text.contains(&said), "{code:?} {text}");
    }
    let (code, text) = told(qoe().args(["alert", "test"]));
    assert!(code == Some(1) && text.contains("--alerts FILE"), "{text}");
}

#[test]
fn what_was_told_is_listed_and_a_receiver_in_trouble_is_named_by_the_doctor() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    drop(Store::open(&data).unwrap());
    let command = |args: &[&str]| {
        let mut command = qoe();
        command.args(args).arg("--data-dir").arg(&data);
        told(&mut command)
    };
    assert_eq!(command(&["alert", "list"]), (Some(0), "no alerts\n".to_owned()));
    assert_eq!(command(&["doctor"]).0, Some(0));

    let mut writer = Writer::open(&data).unwrap();
    writer.put_alerts(&["ops", "chat", "phone"].map(|name| pending(name, name))).unwrap();
    let at_ms = server::clock::now_ms();
    let due_ms = at_ms + 60_000;
    for (message, fate) in [
        ("ops", Fate::Delivered),
        ("chat", Fate::Again { due_ms, why: "it answered 500".to_owned() }),
        ("phone", Fate::GivenUp { why: "it answered 404".to_owned() }),
    ] {
        writer.settle_alert(&Sent { message: message.to_owned(), at_ms, fate }).unwrap();
    }
    let (code, text) = command(&["doctor"]);
    assert_eq!(code, Some(1), "{text}");
    for said in [
        "Alerts that do not arrive:",
        "chat: 1 notice undelivered since ",
        "it answered 500",
        "phone: 1 notice given up",
    ] {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
    assert!(!text.contains("ops:"), "{text}");
    let (_, text) = command(&["doctor", "--json"]);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((json["alerts"].as_array().unwrap().len(), &json["well"]), (2, &false.into()));

    let (code, text) = command(&["alert", "list"]);
    assert!(code == Some(0) && text.lines().count() == 4, "{text}");
    let (_, text) = command(&["alert", "list", "--state", "given-up", "--json"]);
    let json: Value = serde_json::from_str(&text).unwrap();
    let only = &json["alerts"][0];
    assert_eq!(
        (&json["schema"], json["alerts"].as_array().unwrap().len()),
        (&"qoe.alerts/1".into(), 1)
    );
    assert_eq!(
        (&only["receiver"], &only["error"], &only["event"]),
        (&"phone".into(), &"it answered 404".into(), &"opened".into())
    );
}

#[test]
fn one_that_was_sent_when_the_program_died_is_sent_again_under_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    drop(Store::open(&data).unwrap());
    let receiver = Receiver::start(204);
    let alerts = file(dir.path(), &[("ops", receiver.addr)]);
    Writer::open(&data).unwrap().put_alerts(&[pending("ops", "0123456789abcdef")]).unwrap();
    let start = |crash: &str| {
        Server::start(&data, |command| {
            command.arg("--alerts").arg(&alerts).env("QOE_CRASH_AT", crash);
        })
    };
    let mut server = start("alert-sent");
    assert!(!server.wait().success());
    assert_eq!(receiver.keys(), ["0123456789abcdef"]);

    // Its minute is over: nobody else has it.
    let fate = Fate::Again { due_ms: 0, why: "it was in flight".to_owned() };
    let sent = Sent { message: "0123456789abcdef".to_owned(), at_ms: 0, fate };
    Writer::open(&data).unwrap().settle_alert(&sent).unwrap();
    let mut server = start("");
    eventually("it is sent again", || (receiver.keys().len() == 2).then_some(()));
    let delivered = || {
        let mut command = qoe();
        command.args(["alert", "list", "--json", "--data-dir"]).arg(&data);
        let json: Value = serde_json::from_str(&told(&mut command).1).unwrap();
        (json["alerts"][0]["state"] == "delivered").then_some(())
    };
    eventually("that is written down", delivered);
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(server.wait().success());
    assert_eq!(receiver.keys(), ["0123456789abcdef"; 2]);
}

/// From events to a receiver: an outage that goes on is found by the detector and told.
#[test]
fn an_outage_of_a_site_reaches_the_receiver() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let receiver = Receiver::start(204);
    let alerts = file(dir.path(), &[("ops", receiver.addr)]);
    let server = Server::start(&data, |command| {
        command.arg("--alerts").arg(&alerts);
    });
    let token = create_token(&data, "*", "ingest");
    let begin_ms = now_ms() / MINUTE_MS * MINUTE_MS - 111 * MINUTE_MS;
    for client in ["a", "b"] {
        let mut events = two_hours(client, begin_ms, false);
        // The last two minutes of all, up to the one before this.
        for event in events.iter_mut().rev().take(12) {
            event["error_stage"] = json!("dns");
        }
        let body = serde_json::to_string(&events).unwrap();
        assert_eq!(post(server.addr, &token, &body).unwrap().status, 202);
    }
    eventually("the receiver is told", || (!receiver.keys().is_empty()).then_some(()));
    let mut list = qoe();
    let (_, text) = told(list.args(["alert", "list"]).arg("--data-dir").arg(&data));
    assert!(text.contains("outage:dns") && text.contains("ops"), "{text}");
}

#[test]
fn of_several_diagnosers_one_tells_and_another_goes_on() {
    let site = Site::ready();
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(200);
    let alerts = file(dir.path(), &[("ops", receiver.addr)]);
    let start = || {
        let mut command = site.command(&["diagnoser", "--listen", "127.0.0.1:0"]);
        command.arg("--alerts").arg(&alerts);
        let server = Server::run(command);
        eventually("it is ready", || (ready(&server).status == 200).then_some(()));
        server
    };
    let database = PostgresSettings::parse(&site.database.url(), None).unwrap();
    let location = Location::from(database.accept_data_loss());
    let mut writer = Writer::open(&location).unwrap();
    let reader = Reader::open(&location).unwrap();
    let waiting = AlertQuery { state: Some(AlertState::Pending), limit: 9, ..Default::default() };
    let mut put = |numbers: std::ops::Range<u32>| {
        let row = |n: u32| AlertRow { seq: n, ..pending("ops", &format!("{n:016x}")) };
        writer.put_alerts(&numbers.map(row).collect::<Vec<_>>()).unwrap();
    };
    let all_of = |numbers: std::ops::Range<u32>| {
        eventually("all are told", || {
            let mut keys = receiver.keys();
            keys.sort();
            (keys == numbers.clone().map(|n| format!("{n:016x}")).collect::<Vec<_>>()).then_some(())
        });
        // Who dies before that is written down has them sent again.
        eventually("that is written down", || {
            reader.alerts(&waiting).unwrap().0.is_empty().then_some(())
        });
    };
    let (first, second) = (start(), start());
    put(0..5);
    all_of(0..5);
    // As kill -9 has it.
    drop(first);
    put(5..10);
    all_of(0..10);
    stops(second, "diagnoser");
    assert_eq!(receiver.keys().len(), 10);
}
