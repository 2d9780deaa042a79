//! A thousand targets every ten seconds by one `qoe-probe run`, with a real server behind it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context as _, ensure};

use super::process::Running;
use super::target::Target;
use crate::ingest::Server;
use crate::netns;
use crate::table::Ratio;
use crate::usage;

const TARGETS: usize = 1_000;

/// How long it runs: three rounds, and the first is spread over its interval.
const LENGTH: Duration = Duration::from_secs(35);

/// Runs it and prints what it says of itself at its end.
pub(crate) fn many(program: &Path) -> anyhow::Result<Vec<Ratio>> {
    if let Some(why) = netns::missing() {
        println!("many: skipped, {why}");
        return Ok(Vec::new());
    }
    if !netns::inside() {
        netns::run(&["many".to_owned(), super::named(program)])?;
        return Ok(Vec::new());
    }
    let (target, server) = (Target::start()?, Server::start()?);
    let token = target.scratch().join("token");
    fs::write(&token, server.token()).context("writing a token")?;
    let urls: Vec<String> = (0..TARGETS).map(|nth| format!("{}?{nth}", target.url())).collect();
    let mut command = Command::new(program);
    command.args(["run", "--interval=10s", "--no-throughput", "--ip=4", "--ingest"]);
    command.arg(format!("http://{}/", server.addr())).arg("--token-file").arg(&token);
    command.arg("--ca-file").arg(target.ca_file());
    command.arg("--spool").arg(target.scratch().join("spool")).args(["--client-id", "many"]);
    command.env("QOE_PROBE_TARGET", urls.join(","));
    command.env("NO_COLOR", "1").env("XDG_STATE_HOME", target.scratch());
    command.stderr(Stdio::piped());
    let mut running = Running::start(command, "qoe-probe run")?;
    let log = running.child().stderr.take().context("no log of qoe-probe")?;
    thread::sleep(LENGTH);
    let (memory, cpu) = (usage::of(running.id())?.rss_mib, running.cpu()?);
    let reading = thread::spawn(move || {
        BufReader::new(log).lines().map_while(Result::ok).collect::<Vec<_>>()
    });
    running.interrupt()?;
    let log = reading.join().unwrap_or_default();
    let told = log.iter().rfind(|line| line.contains("measured=")).context("it told nothing")?;
    let number = |name: &str| -> anyhow::Result<u64> {
        let rest = told.split_once(name).with_context(|| format!("it did not tell {name}"))?.1;
        Ok(rest.split(' ').next().unwrap_or(rest).parse()?)
    };
    let (measured, missed) = (number("measured=")?, number("missed=")?);
    println!(
        "{TARGETS} targets every 10 s for {} s: {measured} measured, {missed} ticks missed, \
         {} set aside for trouble of the probe's own, {} shipped; {memory:.1} MiB, {:.0} % of a core",
        LENGTH.as_secs(),
        number("troubled=")?,
        number("shipped=")?,
        cpu.as_secs_f64() / LENGTH.as_secs_f64() * 100.0,
    );
    server.stop_and_count(number("shipped=")?)?;
    ensure!(missed == 0, "{missed} ticks were missed");
    Ok(Vec::new())
}
