//! Real NATS and PostgreSQL servers, each on a free port of loopback with a folder of its own, for
//! tests, benches and the chaos harness. Nothing of them outlives the process that started them.
//!
//! The programs are found in this order: on PATH, where Debian puts PostgreSQL, and in the folder
//! that `make servers` fills. A server that runs elsewhere can be named instead by
//! `QOE_TEST_NATS_URL` and `QOE_TEST_POSTGRES_URL`.

mod find;
pub mod guard;
pub mod nats;
pub mod postgres;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;

/// How long a server may take to come up on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Below the ports that Linux gives to outgoing connections: one of those could take the port
/// before the server does, or while it is down, even a connection to that very port.
const PORTS: Range<u16> = 20_000..32_000;

/// A port that was free a moment ago, and that no outgoing connection is given.
///
/// # Errors
/// Where none is free.
pub fn free_port() -> anyhow::Result<u16> {
    for _ in 0..1_000 {
        let port = rand::random_range(PORTS);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port of {PORTS:?} is free");
}

/// The program of this name that the servers here would be started from.
///
/// # Errors
/// Where there is none.
pub fn program(name: &str) -> anyhow::Result<std::path::PathBuf> {
    find::program(name, |_| true)
}

/// Waits until `ready` says so; the server's own log tells why it never was.
fn wait_until(what: &str, log: &Path, mut ready: impl FnMut() -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    while !ready() {
        if began.elapsed() > PATIENCE {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            bail!("{what} did not come up in {PATIENCE:?}; its log:\n{log}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn answers(port: u16) -> Option<TcpStream> {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&addr, Duration::from_secs(1)).ok()
}
