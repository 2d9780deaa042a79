//! `make dev` without containers: it comes up, starts again what dies, and leaves nothing behind; what
//! is in its way it says in a sentence.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use testbed::servers::free_port;

use super::{assert_good, prometheus, root, text};
use crate::http::get;
use crate::running::eventually;

/// A stack of a test's own, which is deleted with all that runs of it.
struct Stack {
    dir: TempDir,
    ports: Vec<(String, u16)>,
}

impl Stack {
    fn new() -> Self {
        let names = text(".env.example");
        let names = names.lines().filter(|line| line.contains("_PORT="));
        let names = names.map(|line| line.trim_start_matches('#').split('=').next().unwrap());
        let mut ports: Vec<(String, u16)> = Vec::new();
        for name in names {
            let free = std::iter::repeat_with(|| free_port().unwrap());
            let port = free.into_iter().find(|port| ports.iter().all(|(_, other)| other != port));
            ports.push((name.to_owned(), port.unwrap()));
        }
        Self { dir: tempfile::tempdir().unwrap(), ports }
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("python3");
        command.arg(root().join("scripts/dev")).args(args);
        command.env("DEV_MODE", "native").env("DEV_DIR", self.dir.path().join("dev"));
        command.env("DEV_ENV", self.env_file()).env("QOE", env!("CARGO_BIN_EXE_qoe"));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command.envs(self.ports.iter().map(|(name, port)| (name, port.to_string())));
        command
    }

    /// The one line that it ends with.
    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    }

    fn env_file(&self) -> std::path::PathBuf {
        self.dir.path().join(".env")
    }

    fn port(&self, name: &str) -> u16 {
        self.ports.iter().find(|(other, _)| other == name).unwrap().1
    }

    fn state(&self) -> Value {
        let state = fs::read(self.dir.path().join("dev/state.json")).unwrap();
        serde_json::from_slice(&state).unwrap()
    }

    fn ready(&self, role: &str) -> bool {
        let addr = ([127, 0, 0, 1], self.port(role)).into();
        get(addr, "/-/ready", "").is_ok_and(|answer| answer.status == 200)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.run(&["clean"]);
    }
}

fn pid(value: &Value) -> Pid {
    Pid::from_raw(i32::try_from(value["pid"].as_i64().unwrap()).unwrap())
}

/// Processes of the stack, by the name of it in their environment.
fn left(stack: &Stack) -> Vec<String> {
    let mark = format!("DEV_STACK_OF={}", stack.dir.path().join("dev").display());
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let marked = entries.filter(|entry| {
        let surroundings = fs::read(entry.path().join("environ")).unwrap_or_default();
        surroundings.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())
    });
    marked.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn it_comes_up_starts_again_what_dies_and_leaves_nothing() {
    let stack = Stack::new();
    let output = stack.run(&["up"]);
    assert_good(&output);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("natively: DEV_MODE=native says so"), "{said}");
    for role in ["INGEST_PORT", "AGGREGATOR_PORT", "DIAGNOSER_PORT", "API_PORT"] {
        let url = format!("http://127.0.0.1:{}", stack.port(role));
        assert!(said.contains(&url) && stack.ready(role), "{role}: {said}");
    }
    let env = stack.env_file();
    assert!(said.contains(env.to_str().unwrap()), "{said}");
    assert_eq!(fs::metadata(&env).unwrap().permissions().mode() & 0o777, 0o600);
    no_secret_shows(&stack, &said);

    // What the probe measures arrives.
    let token = fs::read_to_string(stack.dir.path().join("dev/native/secrets/read.token")).unwrap();
    eventually("windows are there", || {
        let addr = ([127, 0, 0, 1], stack.port("API_PORT")).into();
        let answer = get(addr, "/api/v1/windows", token.trim()).ok()?;
        answer.body.contains("https://target.test").then_some(())
    });

    // And the trace of one of them, from the probe to the store.
    eventually("a whole trace is there", || {
        let addr = ([127, 0, 0, 1], stack.port("OTLP_HTTP_PORT")).into();
        let list = get(addr, "/", "").ok()?.body;
        let ids = list.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
        let drawn = ids.filter_map(|id| Some(get(addr, &format!("/{id}"), "").ok()?.body));
        let steps = ["dns", "tls", "POST /v1/events", "send events", "count events"];
        let mut whole = drawn.filter(|drawn| steps.iter().all(|step| drawn.contains(step)));
        whole.next().map(drop)
    });

    let before = stack.state();
    if before["services"]["prometheus"].is_object() {
        let addr = ([127, 0, 0, 1], stack.port("PROMETHEUS_PORT")).into();
        let scraped = eventually("its Prometheus knows whom it scrapes", || {
            let told = prometheus::ask(addr, "/api/v1/targets", &[]).ok()?;
            told["activeTargets"].as_array().filter(|all| !all.is_empty()).cloned()
        });
        for role in ["ingest", "aggregator", "diagnoser", "api", "probe"] {
            let port = stack.port(&format!("{}_PORT", role.to_uppercase()));
            let url = format!("http://127.0.0.1:{port}/metrics");
            let is = |one: &&Value| one["labels"]["role"] == role && one["scrapeUrl"] == *url;
            assert_eq!(scraped.iter().filter(is).count(), 1, "{role}: {scraped:?}");
        }
    }

    kill(pid(&before["services"]["api"]), Signal::SIGKILL).unwrap();
    eventually("another api is there", || {
        let now = stack.state();
        let another = now["services"]["api"]["pid"] != before["services"]["api"]["pid"];
        (another && stack.ready("API_PORT")).then_some(())
    });
    assert!(String::from_utf8(stack.run(&["up"]).stdout).unwrap().contains("it runs already"));

    kill(pid(&before["supervisor"]), Signal::SIGKILL).unwrap();
    assert!(!left(&stack).is_empty());
    assert_good(&stack.run(&["down"]));
    assert_eq!(left(&stack), [""; 0]);
    for (name, port) in &stack.ports {
        assert!(TcpListener::bind(("127.0.0.1", *port)).is_ok(), "{name} is still taken");
    }
    assert_good(&stack.run(&["down"]));
}

/// Neither said, nor in a log, nor on a command line.
fn no_secret_shows(stack: &Stack, said: &str) {
    let env = fs::read_to_string(stack.env_file()).unwrap();
    let secrets: Vec<_> = env
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once('=').unwrap())
        .collect();
    assert_eq!(secrets.len(), 4);
    let logs = fs::read_dir(stack.dir.path().join("dev/logs")).unwrap();
    let logs = logs.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let commands = left(stack).into_iter().map(|pid| {
        let line = fs::read(Path::new("/proc").join(pid).join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).into_owned()
    });
    for text in logs.chain(commands).chain([said.to_owned()]) {
        for (name, secret) in &secrets {
            assert!(!text.contains(secret), "{name} shows in {text}");
        }
    }
}

#[test]
fn what_is_in_its_way_is_said_in_a_sentence() {
    let stack = Stack::new();
    let taken = TcpListener::bind(("127.0.0.1", stack.port("NATS_PORT"))).unwrap();
    let said = stack.refused(&["up"]);
    assert!(said.contains("(NATS)") && said.contains("make dev NATS_PORT="), "{said}");
    drop(taken);

    let good = fs::read_to_string(stack.env_file()).unwrap();
    let set = |text: &str| fs::write(stack.env_file(), text).unwrap();
    for (bad, why) in [
        (good.replace("NATS_PASSWORD=", "NATS_PASWORD="), "nobody knows NATS_PASWORD"),
        (
            good.lines().filter(|line| !line.starts_with("NATS")).collect::<Vec<_>>().join("\n"),
            "has no NATS_PASSWORD",
        ),
        (format!("{good}GRAFANA_ADMIN_PASSWORD=admin\n"), "will not do"),
        (format!("{good}nonsense\n"), "no NAME=VALUE"),
    ] {
        set(&bad);
        let said = stack.refused(&["up"]);
        assert!(said.contains(why), "{said}");
    }
    set(&good);
    fs::set_permissions(stack.env_file(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(stack.refused(&["up"]).contains("chmod 600"));
    fs::set_permissions(stack.env_file(), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(stack.refused(&["migrate-create", "No Name"]).contains("NAME="));
    assert!(stack.refused(&["migrate", "up"]).contains("make dev"));
}

/// A Docker whose engine answers, which notes what it is told and fails at `at` with `said`.
fn docker(stack: &Stack, at: &str, said: &str) -> Command {
    let bin = stack.dir.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> {told}\ncase \"$*\" in {at}) echo '{said}' >&2; exit 1;; esac\n",
        told = stack.dir.path().join("told").display()
    );
    fs::write(bin.join("docker"), script).unwrap();
    fs::set_permissions(bin.join("docker"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut up = stack.command(&["up"]);
    up.env("PATH", path).env_remove("DEV_MODE");
    up
}

#[test]
fn with_docker_it_says_what_is_in_the_way_and_shows_no_secret() {
    let stack = Stack::new();
    for (at, said, why) in [
        (
            "'compose run --rm --no-TTY migrate'",
            "password authentication failed for user qoe",
            "another POSTGRES_PASSWORD",
        ),
        (
            "'compose up --detach --wait postgres nats'",
            "database files are incompatible with server",
            "another PostgreSQL major version",
        ),
        (
            "'compose up --detach --wait postgres nats'",
            "Bind for 127.0.0.1:5432 failed: port is already allocated",
            "POSTGRES_PORT=15432",
        ),
        (
            "'compose build'",
            "no space left on device",
            "docker compose build failed: no space left",
        ),
    ] {
        let output = docker(&stack, at, said).output().unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(out.contains("with Docker: a Docker engine answers"), "{out}");
        assert!(err.contains(why) && err.lines().count() == 1, "{err}");
    }
    let told = fs::read_to_string(stack.dir.path().join("told")).unwrap();
    let env = fs::read_to_string(stack.env_file()).unwrap();
    let secrets = env.lines().filter_map(|line| line.split_once('=').map(|(_, secret)| secret));
    assert_eq!(secrets.clone().filter(|secret| told.contains(secret)).count(), 0, "{told}");
    let files = stack.dir.path().join("dev/docker/secrets");
    for file in ["database.url", "nats.login", "probe.token", "read.token"] {
        let mode = fs::metadata(files.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o440, "{file}");
    }
    let mut without = docker(&stack, "'compose version'", "unknown command: docker compose");
    let output = without.env("DEV_MODE", "docker").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("docker has no compose") && said.contains("DEV_MODE away"), "{said}");
}
