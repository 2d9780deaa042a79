//! The agent's flags and environment, for `qoe-probe` and `qoe probe` alike.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use url::Url;

use super::file::{self, File};
use super::values;
use super::{Bounds, Config, Ingest, LoadPlan, Target};
use crate::echo::EchoOptions;
use crate::family::Families;
use crate::identity::{self, Identity};
use crate::measure::Options;
use crate::target::{parse_resolver, parse_target};

/// Measure targets on a schedule and ship the events.
#[derive(clap::Args, Clone, Debug)]
pub struct Agent {
    /// File of targets (TOML), with what is particular to each, and all that flags can say. Flags
    /// stand over it, targets add up
    #[arg(long, value_name = "FILE", env = "QOE_PROBE_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,

    /// What to measure: an http or https URL, and after a space its own interval ("https://a.example/
    /// 30s"). Can be given many times
    #[arg(long = "target", value_name = "URL", env = "QOE_PROBE_TARGET", value_delimiter = ',', required_unless_present = "config", value_parser = parse_watched)]
    pub targets: Vec<Target>,

    /// Time from one measurement of a target to its next, 1 s or more [default: 10s]
    #[arg(long, value_name = "TIME", env = "QOE_PROBE_INTERVAL", value_parser = values::interval)]
    pub interval: Option<Duration>,

    /// The server that takes the events
    #[arg(long, value_name = "URL", env = "QOE_PROBE_INGEST", required_unless_present = "config")]
    pub ingest: Option<Url>,

    /// File that holds the token. A token is never given as an argument, where others see it
    #[arg(long, value_name = "FILE", env = "QOE_PROBE_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,

    /// Certificates (PEM) to trust beside the built-in ones
    #[arg(long, value_name = "FILE", env = "QOE_PROBE_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// The resolver to ask, with or without port, instead of the system's
    #[arg(long, value_name = "ADDR", env = "QOE_PROBE_RESOLVER", value_parser = parse_resolver)]
    pub resolver: Option<SocketAddr>,

    /// Limit for one measurement, throughput not counted [default: 10s]
    #[arg(long, value_name = "TIME", env = "QOE_PROBE_TIMEOUT", value_parser = values::timeout)]
    pub timeout: Option<Duration>,

    /// Never measure throughput
    #[arg(long, env = "QOE_PROBE_NO_THROUGHPUT")]
    pub no_throughput: bool,

    /// Time from one throughput measurement of a target (1 MiB) to its next; 0s for every time
    /// [default: 5m]
    #[arg(long, value_name = "TIME", env = "QOE_PROBE_THROUGHPUT_EVERY", value_parser = values::throughput_every)]
    pub throughput_every: Option<Duration>,

    /// Address family: 4, 6, both (an event each), or happy (whichever connects first) [default:
    /// happy]
    #[arg(long, value_name = "FAMILY", env = "QOE_PROBE_IP")]
    pub ip: Option<Families>,

    /// With each measurement send N echoes for loss and jitter, by ICMP where that is allowed
    #[arg(long, value_name = "N", env = "QOE_PROBE_ECHO", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub echo: Option<u16>,

    /// Load the line at random about so often, for throughput both ways and latency under load
    /// [default: never]
    #[arg(long, value_name = "TIME", env = "QOE_PROBE_LOAD_EVERY", value_parser = values::load_every)]
    pub load_every: Option<Duration>,

    /// Bytes that loading the line may move in a day, both ways and all targets together [default:
    /// 100MiB]
    #[arg(long, value_name = "BYTES", env = "QOE_PROBE_DAILY_BYTES", value_parser = values::daily_bytes)]
    pub daily_bytes: Option<u64>,

    /// Load the line also where it is a mobile network's, or NetworkManager says that it is metered
    #[arg(long, env = "QOE_PROBE_LOAD_ON_METERED")]
    pub load_on_metered: bool,

    /// Share of the measurements whose traces the servers keep, 0 to 1 [default: 0]
    #[arg(long, value_name = "SHARE", env = "QOE_PROBE_TRACE_SHARE", value_parser = values::share)]
    pub trace_share: Option<f64>,

    /// Tell Prometheus how the probe fares, at http://ADDR/metrics [default: nowhere]
    #[arg(long, value_name = "ADDR", env = "QOE_PROBE_METRICS")]
    pub metrics: Option<SocketAddr>,

    /// Folder that events wait in until the server has them; one probe each [default:
    /// $XDG_STATE_HOME/qoe/spool]
    #[arg(long, value_name = "DIR", env = "QOE_PROBE_SPOOL")]
    pub spool: Option<PathBuf>,

    /// Bytes on disk that may wait there, 1 MiB or more; beyond, the oldest are lost [default:
    /// 64 MiB]
    #[arg(long, value_name = "BYTES", env = "QOE_PROBE_SPOOL_BYTES", value_parser = values::spool_bytes)]
    pub spool_bytes: Option<u64>,

    /// How old they may grow there, 1 minute or more; a server takes none older than a week
    /// [default: 7d]
    #[arg(long, value_name = "TIME", env = "QOE_PROBE_SPOOL_AGE", value_parser = values::spool_age)]
    pub spool_age: Option<Duration>,

    /// Name of this probe instead of the one made at the first start
    #[arg(long, value_name = "ID", env = "QOE_PROBE_CLIENT_ID")]
    pub client_id: Option<String>,

    /// What you call this place; or KEY=VALUE for a free label. Can be given many times
    #[arg(long = "label", value_name = "LABEL", env = "QOE_PROBE_LABEL", value_delimiter = ',')]
    pub labels: Vec<String>,
}

const INTERVAL: Duration = Duration::from_secs(10);
const THROUGHPUT_EVERY: Duration = Duration::from_mins(5);
const DAILY_BYTES: u64 = 100 << 20;

impl Agent {
    /// Checks the flags, reads the file, the token and the client id.
    ///
    /// # Errors
    /// What was given can't be used; a [`super::FileError`] where it stands in the file.
    pub fn into_config(self) -> anyhow::Result<Config> {
        let file = self.config.as_deref().map(file::load).transpose()?.unwrap_or_default();
        self.over(file)
    }

    /// What flags and file say together.
    fn over(self, file: File) -> anyhow::Result<Config> {
        let every = self.throughput_every.or(file.throughput_every).unwrap_or(THROUGHPUT_EVERY);
        let mut targets = targets(file.targets(every), self.targets)?;
        if self.no_throughput {
            targets.iter_mut().for_each(|target| target.throughput = None);
        }
        let ingest = self.ingest.or(file.ingest);
        let ingest =
            ingest.context("no server is named: give --ingest URL, or `ingest` in the file")?;
        let client_id = match self.client_id.or(file.client_id) {
            Some(id) => id,
            None => identity::client_id(None).context("cannot make a client id")?,
        };
        let mut identity = Identity::named(client_id);
        let (user_label, labels) = split_labels(self.labels)?;
        identity.user_label = user_label.or(file.label);
        identity.labels = file.labels;
        identity.labels.extend(labels);
        let defaults = Options::default();
        let ca_file = self.ca_file.or(file.ca_file);
        let token_file = self.token_file.or(file.token_file);
        let throughput = !self.no_throughput && file.throughput.unwrap_or(true);
        Ok(Config {
            targets,
            interval: self.interval.or(file.interval).unwrap_or(INTERVAL),
            throughput_every: throughput.then_some(every),
            options: Options {
                resolver: self.resolver.or(file.resolver),
                ca_file: ca_file.clone(),
                timeout: self.timeout.or(file.timeout).unwrap_or(defaults.timeout),
                families: self.ip.or(file.ip).unwrap_or_default(),
                ..defaults
            },
            echo: self.echo.or(file.echo).and_then(echoes),
            load: self.load_every.or(file.load_every).map(|every| LoadPlan {
                every,
                daily_bytes: self.daily_bytes.or(file.daily_bytes).unwrap_or(DAILY_BYTES),
                on_metered: self.load_on_metered || file.load_on_metered.unwrap_or(false),
            }),
            identity,
            metrics: self.metrics.or(file.metrics),
            trace_share: self.trace_share.or(file.trace_share).unwrap_or(0.0),
            ingest: Some(Ingest {
                url: ingest,
                token: token_file.as_deref().map(read_token).transpose()?,
                ca_file,
            }),
            bounds: Bounds {
                bytes: self.spool_bytes.or(file.spool_bytes).unwrap_or(Bounds::default().bytes),
                age: self.spool_age.or(file.spool_age).unwrap_or(Bounds::default().age),
            },
            spool: self
                .spool
                .or(file.spool)
                .or_else(|| Some(identity::default_state_dir()?.join("spool"))),
        })
    }
}

/// So many echoes; none for 0.
pub(super) fn echoes(count: u16) -> Option<EchoOptions> {
    (count > 0).then(|| EchoOptions { count, ..EchoOptions::default() })
}

/// Those of the file and those of the flags, each once.
fn targets(of_file: Vec<Target>, of_flags: Vec<Target>) -> anyhow::Result<Vec<Target>> {
    let all: Vec<Target> = of_file.into_iter().chain(of_flags).collect();
    ensure!(!all.is_empty(), "nothing to measure: give --target URL, or a [[target]] in the file");
    ensure!(all.len() <= file::MOST_TARGETS, "{}", file::too_many());
    let mut known = BTreeSet::new();
    if let Some(twice) = all.iter().find(|target| !known.insert(target.url.as_str())) {
        bail!("{} is named twice; name it once, by --target or in the file", twice.url);
    }
    Ok(all)
}

/// A URL, which holds no space, and perhaps an interval.
fn parse_watched(text: &str) -> Result<Target, String> {
    let text = text.trim();
    let (url, interval) = match text.split_once(char::is_whitespace) {
        None => (text, None),
        Some((url, interval)) => (url, Some(values::interval(interval)?)),
    };
    let url = parse_target(url).map_err(|error| error.to_string())?;
    Ok(Target { interval, ..Target::from(url) })
}

fn read_token(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the token from {}", path.display()))?;
    let token = text.trim();
    ensure!(
        !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()),
        "{} does not hold a token",
        path.display()
    );
    Ok(token.to_owned())
}

fn split_labels(given: Vec<String>) -> anyhow::Result<(Option<String>, BTreeMap<String, String>)> {
    let mut user_label = None;
    let mut labels = BTreeMap::new();
    for text in given {
        match text.split_once('=') {
            Some((key, value)) => {
                let known = labels.insert(key.to_owned(), value.to_owned());
                ensure!(known.is_none(), "label `{key}` is given twice");
            }
            None if user_label.is_none() => user_label = Some(text),
            None => bail!("--label names this place twice; use KEY=VALUE for free labels"),
        }
    }
    Ok((user_label, labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_may_have_an_interval_of_its_own() {
        let of = |text| parse_watched(text).map(|t| (t.url.to_string(), t.interval));
        let a = "https://a.example/".to_owned();
        assert_eq!(of("https://a.example/"), Ok((a.clone(), None)));
        let own = Some(Duration::from_secs(90));
        assert_eq!(of(" https://a.example/  1m 30s "), Ok((a, own)));
        for wrong in ["https://a.example/ 0s", "https://a.example/ soon", "ftp://a.example/ 30s"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    fn agent(flags: &[&str]) -> Agent {
        use clap::{Args as _, FromArgMatches as _};
        let command = Agent::augment_args(clap::Command::new("probe"));
        let matches = command.try_get_matches_from([&["probe"], flags].concat()).unwrap();
        Agent::from_arg_matches(&matches).unwrap()
    }

    fn config(flags: &[&str], file: &str) -> anyhow::Result<Config> {
        // The file that is named is not read here.
        agent(&[&["--config", "x", "--client-id", "c"], flags].concat())
            .over(file::read(file).unwrap())
    }

    const FILE: &str = "ingest = 'http://a.example/'\ninterval = '20s'\ntimeout = '2s'\nip = 4\n\
        throughput = false\necho = 3\nload_every = '1h'\nlabel = 'here'\nlabels = { k = 'v', l = 'w' }\n\
        spool = '/s'\nspool_age = '1d'\n[[target]]\nurl = 'http://t.example/'\ninterval = '7s'\n";

    #[test]
    fn a_file_alone_is_enough() {
        let c = config(&[], FILE).unwrap();
        assert_eq!((c.targets.len(), c.interval), (1, Duration::from_secs(20)));
        assert_eq!(c.options.timeout, Duration::from_secs(2));
        assert_eq!((c.throughput_every, c.echo.unwrap().count), (None, 3));
        assert_eq!(c.load.unwrap().daily_bytes, DAILY_BYTES);
        assert_eq!((c.identity.user_label.as_deref(), c.identity.labels.len()), (Some("here"), 2));
        assert_eq!((c.spool, c.bounds.age), (Some("/s".into()), Duration::from_hours(24)));
        assert_eq!(c.ingest.unwrap().url.as_str(), "http://a.example/");
    }

    #[test]
    fn flags_stand_over_the_file_and_targets_add_up() {
        let flags = [
            "--interval=5s",
            "--ip=both",
            "--ingest=http://b.example/",
            "--label=there",
            "--label=k=x",
            "--target=http://u.example/ 9s",
        ];
        let c = config(&flags, FILE).unwrap();
        assert_eq!(c.interval, Duration::from_secs(5));
        assert_eq!(c.options.families, Families::Both);
        assert_eq!(c.options.timeout, Duration::from_secs(2), "not said by a flag");
        assert_eq!(c.identity.user_label.as_deref(), Some("there"));
        assert_eq!(c.identity.labels["k"], "x");
        assert_eq!(c.ingest.unwrap().url.as_str(), "http://b.example/");
        let intervals = c.targets.iter().map(|target| target.interval.unwrap().as_secs());
        assert_eq!(intervals.collect::<Vec<_>>(), [7, 9], "what a target says of itself stands");
    }

    #[test]
    fn never_is_for_all_targets() {
        let file = "ingest = 'http://a/'\n[[target]]\nurl = 'a'\nthroughput_every = '1m'\n";
        let c = config(&["--no-throughput"], file).unwrap();
        assert_eq!((c.throughput_every, c.targets[0].throughput), (None, None));
        let c = config(&[], file).unwrap();
        assert!(c.throughput_every.is_some() && c.targets[0].throughput.is_some());
    }

    #[test]
    fn what_is_missing_twice_or_too_much_is_told_with_the_way_out() {
        let said = |flags: &[&str], file: &str| config(flags, file).unwrap_err().to_string();
        assert!(said(&[], "").contains("--target"));
        assert!(said(&["--target=a"], "").contains("--ingest"));
        let twice = said(&["--target=http://t.example/ 9s"], FILE);
        assert!(twice.contains("http://t.example/ is named twice"), "{twice}");
        let many: Vec<Target> = (0..=file::MOST_TARGETS)
            .map(|n| parse_watched(&format!("http://a/{n}")).unwrap())
            .collect();
        assert!(targets(vec![], many).unwrap_err().to_string().contains("1000 targets at most"));
    }
}
