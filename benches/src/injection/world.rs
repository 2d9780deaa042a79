//! What a fault is injected into: two network namespaces with the link between them. Beyond it are the two
//! targets, the server, and a client that is well; before it are three clients.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use testbed::servers::guard::Guarded;

use super::faults::{self, Fault, How, Seen};
use super::pass::{Ask, ask};
use crate::link;
use crate::probing::process::Running;

/// Behind the link.
const BRANCH: [&str; 3] = ["branch-1", "branch-2", "branch-3"];
/// Before it.
const OFFICE: &str = "office-1";

/// Their names, their addresses, and where their faults are switched.
const TARGETS: [(&str, &str, &str); 2] =
    [("shop.test", "10.99.0.2", "127.0.0.1:8473"), ("bank.test", "10.99.0.3", "127.0.0.1:8474")];
const RESOLVER: &str = "10.99.0.2:53";
const SERVER: &str = "127.0.0.1:8460";

/// How long a program may take to come up on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that runs. It ends with this value; what was measured stays in its folder.
pub(super) struct World {
    /// Ended in this order.
    _probes: Vec<Guarded>,
    _servers: Vec<Guarded>,
    link: Link,
    seen: Seen,
    dir: PathBuf,
    token: String,
}

/// The emulator, which takes the namespaces down when its input ends.
struct Link(Running);

impl Drop for Link {
    fn drop(&mut self) {
        _ = self.0.child().wait();
    }
}

impl World {
    /// Starts everything, with all of it well.
    pub(super) fn start(qoe: &Path, dir: &Path, number: usize, seen: Seen) -> anyhow::Result<Self> {
        let dir = dir.join(number.to_string());
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        // A device's name has 15 characters at most.
        let pid = std::process::id();
        let (near, far) = (format!("qoe{number}a{pid}"), format!("qoe{number}b{pid}"));
        let script = dir.join("link.py");
        fs::write(&script, link::EMULATOR)?;
        let mut command = Command::new("python3");
        command.arg(&script).args([&near, &far]);
        let (emulator, line) = link::started(command, "the link emulator")?;
        let mut link = Link(emulator);
        ensure!(line.trim() == "ready", "the link emulator did not start");
        link.set(seen.link())?;
        let (_, second, _) = TARGETS[1];
        let mut command = Command::new("ip");
        command.args(["-n", &far, "address", "add", &format!("{second}/24"), "dev", &far]);
        ensure!(command.status().context("running ip")?.success(), "no second address");

        let places = Places { qoe, dir: &dir, far: &far, seen };
        let mut servers = places.targets()?;
        servers.push(places.run(
            &far,
            qoe,
            "up",
            &["up", "--listen", SERVER, "--data-dir", text(&dir.join("data"))?],
        )?);
        let this = env::current_exe().context("finding this program")?;
        let socket = dir.join("server.sock");
        let socket = text(&socket)?;
        servers.push(places.run(&far, &this, "pass-out", &["pass", socket, SERVER])?);
        servers.push(places.run(&near, &this, "pass-in", &["pass", SERVER, socket])?);
        for (name, _, control) in TARGETS {
            let path = dir.join(format!("{name}.sock"));
            servers.push(places.run(
                &far,
                &this,
                "pass-control",
                &["pass", text(&path)?, control],
            )?);
        }
        let token = patiently("the server's token", || {
            let token = fs::read_to_string(dir.join("data/local-read.token"))?;
            ask(
                Path::new(socket),
                "GET",
                "/api/v1/incidents",
                &Ask { token: Some(token.trim()), body: "" },
            )?;
            Ok(token.trim().to_owned())
        })?;
        let mut world =
            Self { _probes: Vec::new(), _servers: servers, link, seen, token, dir: dir.clone() };
        for (name, ..) in TARGETS {
            let well = faults::well("https");
            patiently("the test target", || world.switch(name, "https", &well))?;
        }
        world.mend()?;
        let branch = match seen {
            Seen::Idle => &BRANCH[..],
            Seen::Loaded => &BRANCH[..1],
        };
        let clients = branch.iter().map(|client| (*client, "branch", &near));
        for (client, site, namespace) in clients.chain([(OFFICE, "office", &far)]) {
            world._probes.push(places.probe(client, site, namespace)?);
        }
        Ok(world)
    }

    /// Breaks one thing.
    pub(super) fn inject(&mut self, fault: &Fault) -> anyhow::Result<()> {
        match &fault.how {
            How::Target(listener, change) => {
                self.switch(TARGETS[0].0, listener, &faults::broken(listener, change))
            }
            How::Link(line) => self.link.set(line),
        }
    }

    /// Has everything well again.
    pub(super) fn mend(&mut self) -> anyhow::Result<()> {
        for listener in ["dns", "https"] {
            self.switch(TARGETS[0].0, listener, &faults::well(listener))?;
        }
        self.link.set(self.seen.link())
    }

    /// Every incident since then.
    pub(super) fn incidents(&self, from_ms: i64) -> anyhow::Result<Vec<Value>> {
        let path = format!("/api/v1/incidents?from={from_ms}&limit=1000");
        let token = Some(self.token.as_str());
        let answer = ask(&self.dir.join("server.sock"), "GET", &path, &Ask { token, body: "" })?;
        Ok(answer["incidents"].as_array().context("no incidents in the answer")?.clone())
    }

    fn switch(&self, target: &str, listener: &str, faults: &Value) -> anyhow::Result<()> {
        let socket = self.dir.join(format!("{target}.sock"));
        let more = Ask { token: None, body: &faults.to_string() };
        ask(&socket, "PUT", &format!("/faults/{listener}"), &more).map(drop)
    }
}

impl Link {
    fn set(&mut self, line: &str) -> anyhow::Result<()> {
        let input = self.0.child().stdin.as_mut().context("no input of the link emulator")?;
        writeln!(input, "{line}").context("changing the link")
    }
}

/// Where things are.
struct Places<'a> {
    qoe: &'a Path,
    dir: &'a Path,
    far: &'a str,
    seen: Seen,
}

impl Places<'_> {
    /// A program in a namespace; what it says of its troubles goes to a file.
    fn run(
        &self,
        namespace: &str,
        program: &Path,
        log: &str,
        args: &[&str],
    ) -> anyhow::Result<Guarded> {
        let all = [&["netns", "exec", namespace, text(program)?], args].concat();
        Guarded::run(Path::new("ip"), &all, &self.dir.join(format!("{log}.log")))
            .with_context(|| format!("starting {log}"))
    }

    /// Each has an address of its own; the first is the resolver of all.
    fn targets(&self) -> anyhow::Result<Vec<Guarded>> {
        let mut servers = Vec::new();
        for (name, address, control) in TARGETS {
            let (https, ca) = (format!("{address}:443"), self.dir.join(format!("{name}.pem")));
            let dns = format!("{address}:53");
            let names = TARGETS.map(|(name, address, _)| format!("{name}={address}"));
            let mut args = vec!["target", "--http", "127.0.0.1:0", "--echo", "127.0.0.1:0"];
            args.extend(["--https", &https, "--dns", &dns, "--control", control]);
            args.extend(["--ca-out", text(&ca)?]);
            args.extend(names.iter().flat_map(|name| ["--name", name]));
            servers.push(self.run(self.far, self.qoe, name, &args)?);
        }
        let mut both = String::new();
        for (name, ..) in TARGETS {
            let path = self.dir.join(format!("{name}.pem"));
            both += &patiently("the test target's certificate", || {
                let pem = fs::read_to_string(&path)?;
                ensure!(pem.contains("END CERTIFICATE"), "{} is not whole", path.display());
                Ok(pem)
            })?;
        }
        fs::write(self.dir.join("ca.pem"), both)?;
        Ok(servers)
    }

    fn probe(&self, client: &str, site: &str, namespace: &str) -> anyhow::Result<Guarded> {
        let data = self.dir.join("data");
        let mut create = Command::new(self.qoe);
        create.args(["token", "create", "--client-id", client, "--data-dir"]).arg(&data);
        let made = create.stderr(Stdio::inherit()).output().context("making a token")?;
        ensure!(made.status.success(), "making a token: {}", made.status);
        let path = |name: &str| self.dir.join(format!("{client}.{name}"));
        fs::write(path("token"), made.stdout)?;
        let quoted = |path: PathBuf| Value::from(path.to_string_lossy()).to_string();
        let mut config = format!(
            "ingest = \"http://{SERVER}/\"\ntoken_file = {}\nca_file = {}\nresolver = \"{RESOLVER}\"\n\
             interval = \"2s\"\ntimeout = \"3s\"\nip = \"4\"\nthroughput_every = \"6s\"\nspool = {}\n\
             client_id = \"{client}\"\nlabels = {{ site = \"{site}\" }}\n",
            quoted(path("token")),
            quoted(self.dir.join("ca.pem")),
            quoted(path("spool")),
        );
        let measured = match self.seen {
            Seen::Idle => &TARGETS[..],
            Seen::Loaded => {
                if namespace != self.far {
                    config = format!("load_every = \"1m\"\ndaily_bytes = \"100GiB\"\n{config}");
                }
                &TARGETS[..1]
            }
        };
        for (name, ..) in measured {
            config += &format!("[[target]]\nurl = \"https://{name}/health\"\n");
        }
        let file = path("toml");
        fs::write(&file, config)?;
        self.run(namespace, self.qoe, client, &["probe", "--config", text(&file)?])
    }
}

/// Again and again, until it can be done.
fn patiently<T>(what: &str, mut action: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        match action() {
            Ok(done) => return Ok(done),
            Err(error) if began.elapsed() > PATIENCE => {
                return Err(error).with_context(|| format!("waiting for {what}"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
