//! Servers come up, keep what they have through a crash, and are gone with who started them.

use std::time::{Duration, Instant};

use testbed::servers::nats::{self, Nats};
use testbed::servers::postgres::{Options, Postgres};

#[test]
fn nats_comes_back_on_the_same_port() {
    let mut nats = Nats::start(&nats::Options::default()).unwrap();
    let (url, first) = (nats.url(), nats.pid());
    nats.restart().unwrap();
    assert_eq!(nats.url(), url);
    assert_ne!(nats.pid(), first);
}

#[test]
fn databases_are_apart() {
    let server = Postgres::shared().unwrap();
    let [one, other] = [(); 2].map(|()| server.create_database().unwrap());
    one.connect().unwrap().batch_execute("CREATE TABLE t (n int)").unwrap();
    assert!(other.connect().unwrap().query("SELECT * FROM t", &[]).is_err());
}

#[test]
fn what_postgres_committed_survives_a_crash() {
    let mut server = Postgres::start(&Options::default()).unwrap();
    let database = server.create_database().unwrap();
    let mut client = database.connect().unwrap();
    client.batch_execute("CREATE TABLE t AS SELECT 7 AS n").unwrap();
    server.kill();
    // A backend answers until it has noticed that its postmaster is gone.
    let deadline = Instant::now() + Duration::from_secs(60);
    while client.query_one("SELECT 1", &[]).is_ok() {
        assert!(Instant::now() < deadline, "it still answers");
    }
    server.restart().unwrap();
    let row = database.connect().unwrap().query_one("SELECT n FROM t", &[]).unwrap();
    assert_eq!(row.get::<_, i32>(0), 7);
}
