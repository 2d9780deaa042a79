//! A whole platform of real processes on this machine: the servers, the roles, and between them
//! lines that can be made bad.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use testbed::proxy::Proxy;
use testbed::servers::nats::{self, Nats};
use testbed::servers::postgres::{self, Database, Postgres};
use tokio::runtime::Handle;

use crate::plan::{AGGREGATORS, DIAGNOSERS, INGESTS, Part, To};

mod disk;
mod family;
mod role;

pub use disk::Disk;
use role::Role;

/// What the bus thinks its disk has: more than its streams may take.
const FILE_STORE: u64 = 8 << 30;

/// How long an aggregator is waited for: not a minute, so that more of what it leaves behind is
/// taken over in a run.
const TAKEOVER: &str = "10s";

/// The platform. Dropping it kills all of it.
pub struct Cluster {
    roles: BTreeMap<Part, Role>,
    database: Database,
    postgres: Postgres,
    nats: Nats,
    disk: Option<Disk>,
    qoe: PathBuf,
    /// Tokens to send and to read with.
    pub tokens: Tokens,
    pids: Pids,
}

/// Tokens for all clients.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// To send with.
    pub ingest: String,
    /// To read with.
    pub read: String,
}

/// The roles' process ids by name, for whoever watches them.
#[derive(Clone, Debug, Default)]
pub struct Pids(Arc<Mutex<BTreeMap<String, i32>>>);

impl Pids {
    /// As they are now.
    pub fn now(&self) -> BTreeMap<String, i32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, part: Part, pid: Option<i32>) {
        let mut pids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match pid {
            Some(pid) => pids.insert(part.to_string(), pid),
            None => pids.remove(&part.to_string()),
        };
    }
}

impl Cluster {
    /// Starts servers and roles; logs and all else goes below `dir`. `disk` is the bus's own, and
    /// `stream_bytes` is what it may keep of events.
    ///
    /// # Errors
    /// Where a program is missing or does not come up.
    pub fn start(
        qoe: &Path,
        dir: &Path,
        runtime: &Handle,
        disk: Option<Disk>,
        stream_bytes: u64,
    ) -> anyhow::Result<Self> {
        ensure!(qoe.is_file(), "there is no {}; build it: cargo build -p qoe", qoe.display());
        let store = disk.as_ref().map(|disk| disk.path().join("jetstream"));
        // What it may keep is said here, since it would refuse a stream its disk has no room for.
        let nats = Nats::start(&nats::Options {
            store,
            max_file_store: FILE_STORE,
            ..Default::default()
        })?;
        let settings = vec!["max_connections = 200".to_owned()];
        let postgres = Postgres::start(&postgres::Options { durable: true, settings })?;
        let database = postgres.create_database()?;
        let direct = dir.join("database.url");
        write_secret(&direct, &database.url())?;
        let mut cluster = Self {
            roles: BTreeMap::new(),
            database,
            postgres,
            nats,
            disk,
            qoe: qoe.to_owned(),
            tokens: Tokens { ingest: String::new(), read: String::new() },
            pids: Pids::default(),
        };
        let bytes = stream_bytes.to_string();
        let url = cluster.nats.url();
        let streams = ["migrate", "up", "--bus", &url, "--stream-max-bytes", &bytes];
        cluster.ask(&direct, &streams)?;
        let token = |scope| {
            let args = ["token", "create", "--client-id", "*", "--scope", scope];
            cluster.ask(&direct, &args)
        };
        cluster.tokens = Tokens { ingest: token("ingest")?, read: token("read")? };
        for part in parts() {
            let role = cluster.role(part, dir, runtime)?;
            cluster.roles.insert(part, role);
            cluster.start_role(part, None)?;
        }
        Ok(cluster)
    }

    /// A role and the lines to its servers.
    fn role(&self, part: Part, dir: &Path, runtime: &Handle) -> anyhow::Result<Role> {
        let line = |port| runtime.block_on(Proxy::start((Ipv4Addr::LOCALHOST, port).into()));
        let store = line(self.postgres.port())?;
        let through = |url: &str, port: u16, line: &Proxy| {
            url.replace(&format!("127.0.0.1:{port}"), &line.addr().to_string())
        };
        let file = dir.join(format!("{part}.url"));
        write_secret(&file, &through(&self.database.url(), self.postgres.port(), &store))?;
        let kind = match part {
            Part::Ingest(_) => "ingest",
            Part::Aggregator(_) => "aggregator",
            Part::Diagnoser(_) => "diagnoser",
            _ => "api",
        };
        let bus = match part {
            Part::Ingest(_) | Part::Aggregator(_) => Some(line(self.nats.port())?),
            _ => None,
        };
        let file = file.to_str().context("a folder with a plain name")?;
        let mut args: Vec<String> = [kind, "--database-file", file].map(ToOwned::to_owned).to_vec();
        if let Part::Aggregator(_) = part {
            args.extend(["--takeover", TAKEOVER].map(ToOwned::to_owned));
        }
        if let Some(bus) = &bus {
            args.extend(["--bus".to_owned(), format!("nats://{}", bus.addr())]);
        }
        Role::new(part, &self.qoe, args, dir, bus, store)
    }

    /// Runs a command of the program to its end.
    fn ask(&self, database: &Path, args: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.qoe);
        command.env_clear().args(args).arg("--database-file").arg(database);
        let output = command.output().with_context(|| format!("running qoe {}", args[0]))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "qoe {} failed: {said}", args.join(" "));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Where the roles are that listen: ingests, and the read API.
    pub fn ingests(&self) -> Vec<SocketAddr> {
        let ingests = self.roles.iter().filter(|(part, _)| matches!(part, Part::Ingest(_)));
        ingests.map(|(_, role)| role.addr()).collect()
    }

    /// Where a role listens.
    pub fn addr(&self, part: Part) -> Option<SocketAddr> {
        self.roles.get(&part).map(Role::addr)
    }

    /// Every role.
    pub fn roles(&self) -> impl Iterator<Item = Part> {
        self.roles.keys().copied()
    }

    /// The bus, not through a bad line.
    pub fn nats_url(&self) -> String {
        self.nats.url()
    }

    /// What the bus said of itself.
    pub fn nats_log(&self) -> PathBuf {
        self.nats.log()
    }

    /// The database server.
    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// The database, not through a bad line.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The roles' process ids.
    pub fn pids(&self) -> Pids {
        self.pids.clone()
    }

    /// The bus's own disk, where there is one.
    pub fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    /// The line from a role to a server.
    pub fn line(&self, part: Part, to: To) -> Option<&Proxy> {
        let role = self.roles.get(&part)?;
        match to {
            To::Nats => role.bus.as_ref(),
            To::Postgres => Some(&role.store),
        }
    }

    /// Starts a part that is down; a role may be told to die at a point.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn revive(&mut self, part: Part, crash_at: Option<&str>) -> anyhow::Result<()> {
        match part {
            Part::Nats => self.nats.restart(),
            Part::Postgres => self.postgres.restart(),
            role => self.start_role(role, crash_at),
        }
    }

    fn start_role(&mut self, part: Part, crash_at: Option<&str>) -> anyhow::Result<()> {
        let role = self.roles.get_mut(&part).context("a role")?;
        let pid = role.start(crash_at)?;
        self.pids.note(part, Some(pid));
        Ok(())
    }

    /// Kills a part and all processes of it.
    pub fn kill(&mut self, part: Part) {
        match part {
            Part::Nats => self.nats.kill(),
            Part::Postgres => {
                if let Some(pid) = self.postgres.pid() {
                    // As a machine's crash has it; what is left would keep a new one from starting.
                    family::signal(pid, Signal::SIGKILL);
                }
                self.postgres.kill();
            }
            role => {
                self.pids.note(role, None);
                if let Some(role) = self.roles.get_mut(&role) {
                    role.process = None;
                }
            }
        }
    }

    /// Sends a signal to a part, to every process of it.
    pub fn signal(&self, part: Part, signal: Signal) {
        match part {
            Part::Nats => self.nats.signal(signal),
            Part::Postgres => {
                if let Some(pid) = self.postgres.pid() {
                    family::signal(pid, signal);
                }
            }
            role => {
                if let Some(process) = self.roles.get(&role).and_then(|role| role.process.as_ref())
                {
                    process.signal(signal);
                }
            }
        }
    }

    /// Whether a part is not running.
    pub fn is_gone(&self, part: Part) -> bool {
        match part {
            Part::Nats => !self.nats.pid().is_some_and(family::is_alive),
            Part::Postgres => self.postgres.is_gone(),
            role => self.roles.get(&role).is_none_or(Role::is_gone),
        }
    }
}

fn parts() -> Vec<Part> {
    let ingests = (0..INGESTS).map(Part::Ingest);
    let aggregators = (0..AGGREGATORS).map(Part::Aggregator);
    let diagnosers = (0..DIAGNOSERS).map(Part::Diagnoser);
    ingests.chain(aggregators).chain(diagnosers).chain([Part::Api]).collect()
}

fn write_secret(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
    Ok(())
}
