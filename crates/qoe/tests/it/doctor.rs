//! What `qoe doctor` says of servers that keep what they confirm, of some that do not, and of some
//! that are not there.

use std::process::{Command, Output};

use serde_json::Value;
use testbed::servers::nats::{self, Nats};
use testbed::servers::postgres::{self, Postgres};

use crate::running::{create_token, qoe};
use crate::site::Site;

fn told(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = String::from_utf8(stdout).unwrap();
    (status.code(), text + &String::from_utf8(stderr).unwrap())
}

fn json(mut command: Command) -> (Option<i32>, Value) {
    let output = command.arg("--json").output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["schema"], "qoe.doctor/1");
    assert_eq!(found["well"], output.status.success());
    (output.status.code(), found)
}

#[test]
fn a_single_server_of_each_that_syncs_is_well() {
    let durable = Postgres::start(&postgres::Options::default()).unwrap();
    let database = durable.create_database().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let url = dir.path().join("database.url");
    std::fs::write(&url, database.url()).unwrap();
    let nats = Nats::start(&nats::Options::default()).unwrap();
    let command = |name: &[&str]| {
        let mut command = qoe();
        command.args(name).args(["--bus", &nats.url(), "--database-file"]).arg(&url);
        command
    };
    let doctor = || {
        let mut command = command(&["doctor"]);
        command.args(["--bus-monitor", &nats.monitor_url()]);
        command
    };
    let (code, text) = told(doctor());
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("QOE_EVENTS is missing") && text.contains("there are no tables"),
        "{text}"
    );

    assert!(command(&["migrate", "up"]).status().unwrap().success());
    let (code, text) = told(doctor());
    assert_eq!(code, Some(0), "{text}");
    for said in
        ["sync_interval       ok  always", "fsync               ok  on", "21days", "lag", "Nothing"]
    {
        let said = said.replace("21days", "= 21 d; ids kept 22 d");
        assert!(text.contains(&said), "{said} is not in\n{text}");
    }
    assert!(text.contains("QOE_EVENTS is kept on one server"), "{text}");
    let password = database.url();
    let password = password.split([':', '@']).nth(2).unwrap();
    assert!(!text.contains(password), "{text}");

    let (_, found) = json(doctor());
    assert_eq!(
        (&found["risks"], &found["unreachable"]),
        (&Value::from([(); 0]), &Value::from([(); 0]))
    );
    assert_eq!((&found["bus"]["sync"], &found["store"]["fsync"]), (&"always".into(), &"on".into()));
    assert_eq!(found["horizon"]["ids_seconds"], 22 * 86_400);

    // Ids that are forgotten too early count events twice.
    let mut early = doctor();
    early.args(["--keep-ids", "20d"]);
    let (code, text) = told(early);
    assert!(code == Some(1) && text.contains("kept for 20 d"), "{text}");
    let mut by_setting = command(&["doctor"]);
    by_setting.env("QOE_BUS_MONITOR", nats.monitor_url());
    assert_eq!(told(by_setting).0, Some(0));
    let mut by_setting = command(&["doctor"]);
    by_setting.env("QOE_BUS_MONITOR", "nats:8222");
    let (code, text) = told(by_setting);
    assert!(code == Some(1) && text.contains("bus_monitor: write http://HOST:8222"), "{text}");
    // Without the monitoring port nobody says when NATS syncs.
    let (code, text) = told(command(&["doctor"]));
    assert!(code == Some(1) && text.contains("--bus-monitor"), "{text}");
}

#[test]
fn a_server_with_little_room_is_named_with_the_way_out() {
    let small = nats::Options { max_file_store: 1 << 30, ..Default::default() };
    let nats = Nats::start(&small).unwrap();
    let site = Site::new();
    let made = |more: &[&str]| {
        let mut command = qoe();
        command.args(["migrate", "up", "--allow-data-loss", "--bus", &nats.url()]);
        command.arg("--database-file").arg(site.database_file()).args(more);
        told(command)
    };
    let (code, text) = made(&[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no 8589934592 bytes") && text.contains("--stream-max-bytes"), "{text}");
    let (code, text) = made(&["--stream-max-bytes", "768MiB"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("QOE_DLQ: the server has no 536870912 bytes"), "{text}");
    let (code, text) = made(&["--stream-max-bytes", "512MiB", "--dead-letters-max-bytes", "64MiB"]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_server_that_syncs_later_is_not() {
    let nats = Nats::start(&nats::Options { sync_always: false, ..Default::default() }).unwrap();
    let site = Site::new();
    let mut made = site.command(&["migrate", "up", "--stream-max-bytes", "64MiB"]);
    assert!(made.status().unwrap().success());
    let mut made = qoe();
    made.args(["migrate", "up", "--allow-data-loss", "--stream-max-bytes", "64MiB"]);
    made.args(["--bus", &nats.url(), "--database-file"]).arg(site.database_file());
    assert!(made.status().unwrap().success());

    let mut bus_alone = qoe();
    bus_alone.args(["doctor", "--bus", &nats.url(), "--bus-monitor", &nats.monitor_url()]);
    let (code, text) = told(bus_alone);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("sync_interval    weak  120 s"), "{text}");
    let said = "sync_interval is 120 s: a power cut will lose up to that much";
    assert!(text.contains(said) && !text.contains("PostgreSQL"), "{text}");

    let mut database_alone = qoe();
    database_alone.arg("doctor").arg("--database-file").arg(site.database_file());
    let (code, found) = json(database_alone);
    assert_eq!((code, &found["bus"]), (Some(1), &Value::Null));
    let risks = found["risks"].as_array().unwrap();
    assert_eq!(risks.len(), 2, "{risks:#?}");
    assert!(risks[0].as_str().unwrap().starts_with("fsync is off"), "{risks:#?}");
    assert!(risks[1].as_str().unwrap().starts_with("full_page_writes is off"), "{risks:#?}");
    // Those who allow it do not even set it on for themselves.
    let (_, found) = json(site.command(&["doctor"]));
    assert!(found["risks"].to_string().contains("--allow-data-loss leaves it so"), "{found}");
}

#[test]
fn what_is_not_there_is_told_beside_the_rest() {
    let mut site = Site::ready();
    site.nats.kill();
    let (code, text) = told(site.command(&["doctor"]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("not reached") && text.contains("fsync"), "{text}");
    site.nats.restart().unwrap();
    std::fs::write(site.database_file(), "postgres://u:s3cret@127.0.0.1:1/nowhere").unwrap();
    let (code, found) = json(site.command(&["doctor"]));
    assert_eq!((code, &found["bus"]["streams"][0]["discard"]), (Some(1), &"new".into()));
    assert_eq!(found["store"]["at"], "postgres://127.0.0.1:1/nowhere");
    assert!(!found.to_string().contains("s3cret"), "{found}");
    std::fs::write(site.database_file(), "nonsense").unwrap();
    let (code, text) = told(site.command(&["doctor"]));
    assert!(code == Some(1) && text.contains("database.url"), "{text}");
}

#[test]
fn the_store_of_one_machine_is_well_where_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let doctor = || {
        let mut command = qoe();
        command.args(["doctor", "--data-dir"]).arg(&dir);
        command
    };
    let (code, text) = told(doctor());
    assert!(code == Some(1) && text.contains("not reached"), "{text}");
    assert!(!dir.exists(), "it changes nothing");
    create_token(&dir, "c", "ingest");
    let (code, text) = told(doctor());
    assert!(code == Some(0) && text.contains("synchronous   ok  full"), "{text}");
    assert!(text.contains("qoe backup"), "{text}");
}

#[test]
fn whom_a_topology_names_and_nobody_has_seen_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (data, topology) = (dir.path().join("data"), dir.path().join("topology.toml"));
    create_token(&data, "c", "ingest");
    std::fs::write(&topology, "[[clients]]\nid = 'c'\n[[clients]]\nid = 'berlln'\n").unwrap();
    let doctor = || {
        let mut command = qoe();
        command.args(["doctor", "--data-dir"]).arg(&data).arg("--topology").arg(&topology);
        command
    };
    let (code, text) = told(doctor());
    assert!(
        code == Some(0) && text.contains("2 clients of which nothing was ever counted"),
        "{text}"
    );
    assert!(text.contains("berlln, c"), "{text}");
    assert_eq!(json(doctor()).1["topology_unseen"], serde_json::json!(["berlln", "c"]));
    std::fs::write(&topology, "[[client]]\n").unwrap();
    let (code, text) = told(doctor());
    assert!(code == Some(78) && text.contains("topology.toml:1"), "{text}");
}
