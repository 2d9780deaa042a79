//! A PostgreSQL server, and a database of its own for each test.

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ::postgres::{Client, NoTls};
use anyhow::{Context, anyhow, bail};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use tempfile::TempDir;
use uuid::Uuid;

use super::guard::{Guarded, RunAs};
use super::{find, free_port, wait_until};

/// The oldest version whose SQL will do.
const OLDEST: u32 = 15;
/// The role that owns everything.
const USER: &str = "qoe";

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether a commit is on disk before it is acknowledged; tests that crash nothing are quicker
    /// without.
    pub durable: bool,
    /// Lines for postgresql.conf.
    pub settings: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { durable: true, settings: Vec::new() }
    }
}

/// A PostgreSQL server. Dropping it kills it and deletes its folder.
#[derive(Debug)]
pub struct Postgres {
    program: PathBuf,
    dir: Option<TempDir>,
    run_as: Option<RunAs>,
    port: u16,
    /// Where it listens, with the superuser's password and without a database.
    url: String,
    process: Option<Guarded>,
    /// Whether nobody will drop this, so that the process must delete the folder.
    forgotten: bool,
}

/// A database of its own. Dropping it drops it, whoever is still connected.
#[derive(Debug)]
pub struct Database {
    server_url: String,
    name: String,
}

impl Postgres {
    /// The server that all tests of this process share. Not durable: a test that needs that starts
    /// one of its own.
    ///
    /// # Errors
    /// Where it does not start; each caller is told.
    pub fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceLock<Result<Postgres, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let settings = vec!["max_connections = 200".to_owned()];
            let options = Options { durable: false, settings };
            let started = match env::var("QOE_TEST_POSTGRES_URL") {
                Ok(url) => Ok(Self::elsewhere(&url)),
                Err(_) => Self::start_as(&options, true),
            };
            started.map_err(|error| format!("{error:#}"))
        });
        shared.as_ref().map_err(|error| anyhow!(error.clone()))
    }

    /// A server that runs already.
    fn elsewhere(url: &str) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        let program = PathBuf::new();
        Self { program, dir: None, run_as: None, port: 0, url, process: None, forgotten: false }
    }

    /// Makes a cluster, starts a server on it, and returns when it takes queries.
    ///
    /// # Errors
    /// Where there is no program, or it does not come up.
    pub fn start(options: &Options) -> anyhow::Result<Self> {
        Self::start_as(options, false)
    }

    fn start_as(options: &Options, forgotten: bool) -> anyhow::Result<Self> {
        let dir = TempDir::with_prefix("qoe-postgres-")?;
        let run_as = unprivileged()?;
        let initdb = find::program("initdb", is_new_enough)?;
        let bin = initdb.parent().context("a program is in a folder")?;
        // It refuses to run as root, and another user can't reach below root's home.
        let bin = match run_as {
            Some(user) if !reachable(bin) => copied(bin, dir.path(), user)?,
            _ => bin.to_owned(),
        };
        let port = free_port()?;
        let password = Uuid::new_v4().simple().to_string();
        let data = dir.path().join("data");
        let password_file = dir.path().join("password");
        fs::write(&password_file, &password)?;
        if let Some(RunAs { uid, gid }) = run_as {
            for path in [dir.path(), &password_file] {
                chown(path, Some(uid), Some(gid))?;
            }
        }
        let mut init = Command::new(bin.join("initdb"));
        init.arg("-D").arg(&data).args(["-U", USER, "-E", "UTF8", "--locale=C", "--no-sync"]);
        init.arg("--auth=scram-sha-256").arg("--pwfile").arg(&password_file).current_dir("/");
        if let Some(RunAs { uid, gid }) = run_as {
            use std::os::unix::process::CommandExt;
            init.uid(uid).gid(gid);
        }
        let made = init.output().context("running initdb")?;
        if !made.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        fs::remove_file(&password_file)?;

        let mut settings = fs::read_to_string(data.join("postgresql.conf"))?;
        let mut set = |line: &str| settings.extend(["\n", line]);
        set(&format!("port = {port}"));
        set("listen_addresses = '127.0.0.1'");
        set("unix_socket_directories = ''");
        if !options.durable {
            set("fsync = off");
            set("synchronous_commit = off");
            set("full_page_writes = off");
        }
        options.settings.iter().for_each(|line| set(line));
        fs::write(data.join("postgresql.conf"), settings + "\n")?;

        let url = format!("postgres://{USER}:{password}@127.0.0.1:{port}");
        let program = bin.join("postgres");
        let dir = Some(dir);
        let mut postgres = Self { program, dir, run_as, port, url, process: None, forgotten };
        postgres.restart()?;
        Ok(postgres)
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(Guarded::pid)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends it a signal: SIGINT for a fast shutdown, SIGQUIT for an immediate one.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// Whether it is gone, after a signal.
    pub fn is_gone(&self) -> bool {
        self.process.as_ref().is_none_or(Guarded::is_gone)
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port with what it kept; one that still runs is killed first.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        let dir = self.dir.as_ref().context("a server elsewhere is not ours to restart")?;
        let log = dir.path().join("postgres.log");
        let data = dir.path().join("data");
        let data = data.to_str().context("a folder with a plain name")?;
        let remove = self.forgotten.then_some(dir.path());
        let args = ["-D", data];
        self.process = Some(Guarded::start(&self.program, &args, &log, self.run_as, remove)?);
        let url = format!("{}/postgres", self.url);
        wait_until("postgres", &log, || Client::connect(&url, NoTls).is_ok())
    }

    /// Makes an empty database.
    ///
    /// # Errors
    /// Where the server refuses.
    pub fn create_database(&self) -> anyhow::Result<Database> {
        let database = Database {
            server_url: self.url.clone(),
            name: format!("qoe_test_{}", Uuid::new_v4().simple()),
        };
        database.administer(&format!("CREATE DATABASE {}", database.name))?;
        Ok(database)
    }
}

impl Database {
    /// The URL to connect to it with, password included.
    pub fn url(&self) -> String {
        format!("{}/{}", self.server_url, self.name)
    }

    /// Connects to it. Blocks.
    ///
    /// # Errors
    /// Where the server refuses.
    pub fn connect(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.url(), NoTls)?)
    }

    /// Connects to it as another role than the one that owns everything. Blocks.
    ///
    /// # Errors
    /// Where the server refuses.
    pub fn connect_as(&self, role: &str, password: &str) -> anyhow::Result<Client> {
        let mut config: ::postgres::Config = self.url().parse()?;
        Ok(config.user(role).password(password).connect(NoTls)?)
    }

    fn administer(&self, statement: &str) -> anyhow::Result<()> {
        // The client brings a runtime of its own, which must not meet the caller's.
        let url = format!("{}/postgres", self.server_url);
        std::thread::scope(|scope| {
            let work = scope.spawn(|| Client::connect(&url, NoTls)?.batch_execute(statement));
            work.join().map_err(|_| anyhow!("the client panicked"))?.context("asking PostgreSQL")
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server that was killed has taken it along.
        let _ = self.administer(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

/// Whom to run as, where we are root.
fn unprivileged() -> anyhow::Result<Option<RunAs>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok()?);
    let user = user.context("PostgreSQL refuses to run as root, and there is no user nobody")?;
    Ok(Some(RunAs { uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
}

/// Whether anyone may enter every folder above a path.
fn reachable(path: &Path) -> bool {
    path.ancestors()
        .all(|folder| fs::metadata(folder).is_ok_and(|meta| meta.permissions().mode() & 0o1 == 0o1))
}

/// Copies an installation, the libraries beside it included, for a user, and gives its `bin`.
fn copied(bin: &Path, to: &Path, user: RunAs) -> anyhow::Result<PathBuf> {
    let install = bin.parent().context("bin is in an installation")?;
    let package = install.parent().context("an installation is in a package")?;
    let to = to.join("program");
    fs::create_dir(&to)?;
    let libs = package.with_extension("libs");
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(package);
    if libs.is_dir() {
        copy.arg(libs);
    }
    if !copy.arg(&to).status()?.success() {
        bail!("can't copy {}", package.display());
    }
    let name = package.file_name().context("a package has a name")?;
    // Whoever owns it can delete it.
    let RunAs { uid, gid } = user;
    let owned = Command::new("chown").arg("-R").arg(format!("{uid}:{gid}")).arg(&to).status()?;
    if !owned.success() {
        bail!("can't hand {} over", to.display());
    }
    Ok(to.join(name).join("pginstall/bin"))
}

/// `initdb (PostgreSQL) 18.6`.
fn is_new_enough(program: &Path) -> bool {
    let Ok(output) = Command::new(program).arg("--version").output() else { return false };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split(") ").nth(1).and_then(|rest| rest.split(['.', ' ']).next());
    version.and_then(|major| major.trim().parse().ok()).is_some_and(|major: u32| major >= OLDEST)
}
