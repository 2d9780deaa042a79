//! The agent's flags and environment, for `qoe-probe` and `qoe probe` alike.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use url::Url;

use super::{Bounds, Config, Ingest, LoadPlan, Target};
use crate::echo::EchoOptions;
use crate::family::Families;
use crate::identity::{self, Identity};
use crate::measure::Options;
use crate::target::{parse_resolver, parse_target};

/// Measure targets on a schedule and ship the events.
#[derive(clap::Args, Clone, Debug)]
pub struct Agent {
    /// What to measure: an http or https URL, and after a space its own interval ("https://a.example/
    /// 30s"). Can be given many times
    #[arg(long = "target", value_name = "URL", env = "QOE_PROBE_TARGET", value_delimiter = ',', required = true, value_parser = parse_watched)]
    pub targets: Vec<Target>,

    /// Time from one measurement of a target to its next, 1 s or more
    #[arg(long, value_name = "TIME", env = "QOE_PROBE_INTERVAL", default_value = "10s", value_parser = humantime::parse_duration)]
    pub interval: Duration,

    /// The server that takes the events
    #[arg(long, value_name = "URL", env = "QOE_PROBE_INGEST")]
    pub ingest: Url,

    /// File that holds the token. A token is never given as an argument, where others see it
    #[arg(long, value_name = "FILE", env = "QOE_PROBE_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,

    /// Certificates (PEM) to trust beside the built-in ones
    #[arg(long, value_name = "FILE", env = "QOE_PROBE_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// The resolver to ask, with or without port, instead of the system's
    #[arg(long, value_name = "ADDR", env = "QOE_PROBE_RESOLVER", value_parser = parse_resolver)]
    pub resolver: Option<SocketAddr>,

    /// Limit for one measurement, throughput not counted
    #[arg(long, value_name = "TIME", env = "QOE_PROBE_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,

    /// Never measure throughput
    #[arg(long, env = "QOE_PROBE_NO_THROUGHPUT")]
    pub no_throughput: bool,

    /// Time from one throughput measurement of a target (1 MiB) to its next; 0s for every time
    #[arg(long, value_name = "TIME", env = "QOE_PROBE_THROUGHPUT_EVERY", default_value = "5m", value_parser = humantime::parse_duration)]
    pub throughput_every: Duration,

    /// Address family: 4, 6, both (an event each), or happy (whichever connects first)
    #[arg(long, value_name = "FAMILY", env = "QOE_PROBE_IP", default_value = "happy")]
    pub ip: Families,

    /// With each measurement send N echoes for loss and jitter, by ICMP where that is allowed
    #[arg(long, value_name = "N", env = "QOE_PROBE_ECHO", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub echo: Option<u16>,

    /// Load the line at random about so often, for throughput both ways and latency under load
    /// [default: never]
    #[arg(long, value_name = "TIME", env = "QOE_PROBE_LOAD_EVERY", value_parser = humantime::parse_duration)]
    pub load_every: Option<Duration>,

    /// Bytes that loading the line may move in a day, both ways and all targets together
    #[arg(long, value_name = "BYTES", env = "QOE_PROBE_DAILY_BYTES", default_value = "100MiB")]
    pub daily_bytes: bytesize::ByteSize,

    /// Load the line also where it is a mobile network's
    #[arg(long, env = "QOE_PROBE_LOAD_ON_METERED")]
    pub load_on_metered: bool,

    /// Folder that events wait in until the server has them; one probe each [default:
    /// $XDG_STATE_HOME/qoe/spool]
    #[arg(long, value_name = "DIR", env = "QOE_PROBE_SPOOL")]
    pub spool: Option<PathBuf>,

    /// Bytes on disk that may wait there, 1 MiB or more; beyond, the oldest are lost [default:
    /// 64 MiB]
    #[arg(long, value_name = "BYTES", env = "QOE_PROBE_SPOOL_BYTES", value_parser = parse_spool_bytes)]
    pub spool_bytes: Option<u64>,

    /// How old they may grow there, 1 minute or more; a server takes none older than a week
    #[arg(long, value_name = "TIME", env = "QOE_PROBE_SPOOL_AGE", default_value = "7d", value_parser = parse_spool_age)]
    pub spool_age: Duration,

    /// Name of this probe instead of the one made at the first start
    #[arg(long, value_name = "ID", env = "QOE_PROBE_CLIENT_ID")]
    pub client_id: Option<String>,

    /// What you call this place; or KEY=VALUE for a free label. Can be given many times
    #[arg(long = "label", value_name = "LABEL", env = "QOE_PROBE_LABEL", value_delimiter = ',')]
    pub labels: Vec<String>,
}

impl Agent {
    /// Checks the flags, reads the token and the client id.
    pub fn into_config(self) -> anyhow::Result<Config> {
        ensure!(self.interval >= Duration::from_secs(1), "--interval must be 1 s or more");
        ensure!(!self.timeout.is_zero(), "--timeout must not be 0");
        ensure!(
            self.load_every.is_none_or(|every| every >= Duration::from_secs(60)),
            "--load-every must be 1 min or more: a test takes most of one"
        );
        let client_id = match self.client_id {
            Some(id) => id,
            None => identity::client_id(None).context("cannot make a client id")?,
        };
        let mut identity = Identity::named(client_id);
        (identity.user_label, identity.labels) = split_labels(self.labels)?;
        Ok(Config {
            targets: self.targets,
            interval: self.interval,
            throughput_every: (!self.no_throughput).then_some(self.throughput_every),
            options: Options {
                resolver: self.resolver,
                ca_file: self.ca_file.clone(),
                timeout: self.timeout,
                families: self.ip,
                ..Options::default()
            },
            echo: self.echo.map(|count| EchoOptions { count, ..EchoOptions::default() }),
            load: self.load_every.map(|every| LoadPlan {
                every,
                daily_bytes: self.daily_bytes.as_u64(),
                on_metered: self.load_on_metered,
            }),
            identity,
            ingest: Some(Ingest {
                url: self.ingest,
                token: self.token_file.as_deref().map(read_token).transpose()?,
                ca_file: self.ca_file,
            }),
            bounds: Bounds {
                bytes: self.spool_bytes.unwrap_or(Bounds::default().bytes),
                age: self.spool_age,
            },
            spool: self.spool.or_else(|| Some(identity::default_state_dir()?.join("spool"))),
        })
    }
}

/// A URL, which holds no space, and perhaps an interval.
fn parse_watched(text: &str) -> Result<Target, String> {
    let text = text.trim();
    let (url, interval) = match text.split_once(char::is_whitespace) {
        None => (text, None),
        Some((url, interval)) => {
            let parsed = humantime::parse_duration(interval.trim())
                .map_err(|error| format!("the interval {interval:?}: {error}"))?;
            if parsed < Duration::from_secs(1) {
                return Err(format!("the interval {interval:?}: must be 1 s or more"));
            }
            (url, Some(parsed))
        }
    };
    let url = parse_target(url).map_err(|error| error.to_string())?;
    Ok(Target { url, interval })
}

/// A spool is made of 32 files, each of which holds more than the largest event.
const LEAST_BYTES: u64 = 1 << 20;
const LEAST_AGE: Duration = Duration::from_mins(1);

/// A number of bytes, with or without a unit of 1,024.
fn parse_spool_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => return Err("the units are KiB, MiB and GiB".to_owned()),
    };
    let number: u64 = digits.trim().parse().map_err(|_| "not a number of bytes".to_owned())?;
    match number.checked_mul(1 << unit) {
        Some(bytes) if bytes >= LEAST_BYTES => Ok(bytes),
        Some(_) => Err("a spool needs 1 MiB or more".to_owned()),
        None => Err("too large".to_owned()),
    }
}

fn parse_spool_age(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(age) if age >= LEAST_AGE => Ok(age),
        Ok(_) => Err("a spool keeps events for 1 minute or more".to_owned()),
        Err(error) => Err(error.to_string()),
    }
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

    #[test]
    fn the_bounds_of_a_spool_are_read_and_nonsense_is_refused() {
        for (text, bytes) in
            [("1048576", 1 << 20), ("64MiB", 64 << 20), ("2 g", 2 << 30), ("2048k", 2 << 20)]
        {
            assert_eq!(parse_spool_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "1023KiB", "-1", "1.5MiB", "64 MB", "MiB", "99999999999999999G"] {
            assert!(parse_spool_bytes(text).is_err(), "{text}");
        }
        assert_eq!(parse_spool_age("2d"), Ok(Duration::from_hours(48)));
        for text in ["", "0s", "59s", "7"] {
            assert!(parse_spool_age(text).is_err(), "{text}");
        }
    }
}
