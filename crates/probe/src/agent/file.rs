//! The agent's file: a target each with what is particular to it, and above them what holds for all.
//! Reading it is a function of its text.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};
use toml::Spanned;
use url::Url;

use super::values;
use super::{Target, Transfers};
use crate::family::Families;
use crate::target::{parse_resolver, parse_target};

/// More is no list that a person wrote, and more than one process measures well.
pub(super) const MOST_TARGETS: usize = 1_000;
/// A thousand targets with all that can be said of each have less.
const MOST_BYTES: usize = 1 << 20;

/// Characters of what is said of a mistake: enough for the names of all keys.
const MOST_TOLD: usize = 500;

/// What a file says. Absent is "not said".
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    #[serde(deserialize_with = "url")]
    pub(super) ingest: Option<Url>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    #[serde(deserialize_with = "resolver")]
    pub(super) resolver: Option<SocketAddr>,
    #[serde(deserialize_with = "interval")]
    pub(super) interval: Option<Duration>,
    #[serde(deserialize_with = "timeout")]
    pub(super) timeout: Option<Duration>,
    #[serde(deserialize_with = "families")]
    pub(super) ip: Option<Families>,
    pub(super) throughput: Option<bool>,
    #[serde(deserialize_with = "throughput_every")]
    pub(super) throughput_every: Option<Duration>,
    #[serde(deserialize_with = "echoes")]
    pub(super) echo: Option<u16>,
    #[serde(deserialize_with = "load_every")]
    pub(super) load_every: Option<Duration>,
    #[serde(deserialize_with = "daily_bytes")]
    pub(super) daily_bytes: Option<u64>,
    pub(super) load_on_metered: Option<bool>,
    pub(super) metrics: Option<SocketAddr>,
    #[serde(deserialize_with = "share")]
    pub(super) trace_share: Option<f64>,
    pub(super) spool: Option<PathBuf>,
    #[serde(deserialize_with = "spool_bytes")]
    pub(super) spool_bytes: Option<u64>,
    #[serde(deserialize_with = "spool_age")]
    pub(super) spool_age: Option<Duration>,
    pub(super) client_id: Option<String>,
    pub(super) label: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    target: Vec<Entry>,
}

/// A target, as it is written.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Entry {
    url: Spanned<Address>,
    #[serde(default, deserialize_with = "interval")]
    interval: Option<Duration>,
    #[serde(default, deserialize_with = "timeout")]
    timeout: Option<Duration>,
    #[serde(default, deserialize_with = "families")]
    ip: Option<Families>,
    throughput: Option<bool>,
    #[serde(default, deserialize_with = "throughput_every")]
    throughput_every: Option<Duration>,
    #[serde(default, deserialize_with = "echoes")]
    echo: Option<u16>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(try_from = "String")]
struct Address(Url);

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_target(&text).map(Self).map_err(|error| error.to_string())
    }
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read at all.
    #[error("cannot read the targets from {}: {why}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says, or that it is too long.
        why: io::Error,
    },
    /// What it holds can't be used.
    #[error("{}:{}: {}", path.display(), fault.line, fault.what)]
    Holds {
        /// The file.
        path: PathBuf,
        /// What, and where.
        fault: Fault,
    },
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1.
    pub(super) line: usize,
    what: String,
}

/// Reads a file.
///
/// # Errors
/// It can't be read, is too long, or holds what can't be used.
pub(super) fn load(path: &Path) -> Result<File, FileError> {
    let unread = |why| FileError::Read { path: path.to_owned(), why };
    let mut bytes = Vec::new();
    // One byte more than it may have tells that it has more.
    let limit = MOST_BYTES as u64 + 1;
    fs::File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(unread)?;
    if bytes.len() > MOST_BYTES {
        return Err(unread(io::Error::other("it has more than 1 MiB")));
    }
    let text = String::from_utf8(bytes).map_err(|error| unread(io::Error::other(error)))?;
    read(&text).map_err(|fault| FileError::Holds { path: path.to_owned(), fault })
}

/// Reads the text of a file.
///
/// # Errors
/// The first thing in it that can't be used.
pub(super) fn read(text: &str) -> Result<File, Fault> {
    let at = |offset: usize, what: String| Fault { line: line(text, offset), what };
    let file: File = toml::from_str(text)
        .map_err(|error| at(error.span().map_or(0, |span| span.start), told(error.message())))?;
    let mut known = BTreeMap::new();
    for (number, entry) in file.target.iter().enumerate() {
        let offset = entry.url.span().start;
        if number >= MOST_TARGETS {
            return Err(at(offset, too_many()));
        }
        let url = &entry.url.get_ref().0;
        if let Some(before) = known.insert(url.as_str(), offset) {
            let before = line(text, before);
            return Err(at(offset, format!("{url} is measured already by line {before}")));
        }
    }
    Ok(file)
}

/// What is said where there are too many.
pub(super) fn too_many() -> String {
    format!("a probe measures {MOST_TARGETS} targets at most; share them among several")
}

impl File {
    /// What it names, in its order. A target that wants transfers and does not say how often has
    /// them at `every`.
    pub(super) fn targets(&self, every: Duration) -> Vec<Target> {
        self.target.iter().map(|entry| entry.target(every)).collect()
    }
}

impl Entry {
    fn target(&self, every: Duration) -> Target {
        let throughput = match (self.throughput, self.throughput_every) {
            (Some(false), _) => Some(Transfers::Never),
            (_, Some(own)) => Some(Transfers::Every(own)),
            (Some(true), None) => Some(Transfers::Every(every)),
            (None, None) => None,
        };
        Target {
            interval: self.interval,
            timeout: self.timeout,
            families: self.ip,
            throughput,
            echo: self.echo,
            ..Target::from(self.url.get_ref().0.clone())
        }
    }
}

/// The parser's words in ours, with the way out of the two mistakes that are made most. They quote the
/// file, which may hold anything: what is told is one line of some length.
fn told(message: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let message: String = message.chars().take(MOST_TOLD).map(printable).collect();
    let Some(unknown) = message.strip_prefix("unknown field ") else { return message };
    let below = unknown.contains("expected one of `url`");
    let way_out = if below { "; what holds for all stands above the first [[target]]" } else { "" };
    format!("unknown key {unknown}{way_out}")
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// A text, or a number that is taken as one.
struct Text;

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a number")
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_i64<E>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

fn parsed<'de, D: Deserializer<'de>, T>(
    from: D,
    parse: fn(&str) -> Result<T, String>,
) -> Result<Option<T>, D::Error> {
    let text = from.deserialize_any(Text)?;
    parse(&text).map(Some).map_err(D::Error::custom)
}

fn url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    parsed(from, |text| Url::parse(text).map_err(|error| format!("not a URL: {error}")))
}

fn resolver<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    parsed(from, parse_resolver)
}

fn interval<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    parsed(from, values::interval)
}

fn timeout<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    parsed(from, values::timeout)
}

fn families<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Families>, D::Error> {
    parsed(from, values::families)
}

fn throughput_every<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    parsed(from, values::throughput_every)
}

fn echoes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    parsed(from, values::echoes)
}

fn load_every<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    parsed(from, values::load_every)
}

fn daily_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    parsed(from, values::daily_bytes)
}

fn share<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    parsed(from, values::share)
}

fn spool_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    parsed(from, values::spool_bytes)
}

fn spool_age<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    parsed(from, values::spool_age)
}

#[cfg(test)]
mod tests;
