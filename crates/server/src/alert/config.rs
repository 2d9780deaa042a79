//! The file of alerts: who is told what, when it is not told, and a few rules for all.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::diagnosis::Label;
use url::Url;

use super::maintenance::Maintenance;
use crate::file::{FileError, read_bounded};
use crate::store::{IncidentRow, Severity};

mod file;

pub(super) use file::INCIDENT;
#[cfg(test)]
mod tests;

/// What a file of alerts says, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where people look at an incident, whose id takes the place of `{id}`, if that was said.
    pub incident_url: Option<String>,
    /// Rules for all receivers.
    pub policy: Policy,
    /// Who is told; names are unlike.
    pub receivers: Vec<Arc<Receiver>>,
    /// When nothing is told.
    pub maintenance: Vec<Maintenance>,
}

/// When something is told, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long an incident must have lasted; outages are told at once.
    pub open_after_ms: i64,
    /// How long it must have been over.
    pub resolve_after_ms: i64,
    /// How long the first notice of a message waits for others.
    pub group_window_ms: i64,
    /// How often one that goes on is told again; `None` for never.
    pub remind_every_ms: Option<i64>,
}

/// Who is told.
#[derive(Clone, PartialEq)]
pub struct Receiver {
    /// Its name, in tables and logs.
    pub name: String,
    /// What it understands.
    pub kind: Kind,
    /// Where it is. Of some kinds its path is a secret, so it is never shown whole.
    pub url: Url,
    /// What messages to it are signed with.
    pub secret: Option<Secret>,
    /// What is shown to it as a bearer token.
    pub token: Option<Secret>,
    /// Certificates to trust beside the built-in ones, PEM.
    pub ca_file: Option<PathBuf>,
    /// What is less bad is not told.
    pub min_severity: Severity,
    /// These labels alone; all where it is empty. `outage` stands for the outages of every stage.
    pub labels: Vec<LabelFilter>,
    /// Incidents of these kinds of scope alone; all where it is empty.
    pub scopes: Vec<String>,
    /// Whether it may stand within one's own network.
    pub allow_private: bool,
}

/// What a receiver understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Our own JSON, signed.
    Webhook,
    /// What Slack takes, and Mattermost, and Rocket.Chat.
    Slack,
    /// The second interface of Prometheus' Alertmanager.
    Alertmanager,
    /// A topic of ntfy.
    Ntfy,
}

/// What no log, no argument and no error shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A label, or the outages of every stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelFilter {
    /// One.
    One(Label),
    /// Any outage.
    Outages,
}

/// More is no file that a person wrote.
const MOST_BYTES: u64 = 1 << 20;
/// A task each.
const MOST_RECEIVERS: usize = 50;
const MOST_MAINTENANCE: usize = 1_000;
/// No secret is longer.
const MOST_SECRET_BYTES: u64 = 4 << 10;

impl Config {
    /// Reads a file. Files that it names stand beside it unless their path is whole;
    /// `credential:NAME` is one in `credentials`, the directory that systemd hands over.
    ///
    /// # Errors
    /// It can't be read, or holds what can't be used: which line, and the way out.
    pub fn load(path: &Path, credentials: Option<&Path>) -> Result<Self, FileError> {
        let beside = path.parent().unwrap_or(Path::new("."));
        let files = Files { beside, credentials };
        crate::file::load("the alerts", path, MOST_BYTES, |file| file::config(file, &files))
    }
}

/// Where the files are that a file of alerts names.
struct Files<'a> {
    beside: &'a Path,
    credentials: Option<&'a Path>,
}

impl Files<'_> {
    fn path(&self, named: &str) -> Result<PathBuf, String> {
        match (named.strip_prefix("credential:"), self.credentials) {
            (None, _) => Ok(self.beside.join(named)),
            (Some(name), Some(dir)) if !name.is_empty() && !name.contains('/') => {
                Ok(dir.join(name))
            }
            (Some(name), Some(_)) => Err(format!("`{name}` is no name of a credential")),
            (Some(name), None) => Err(format!(
                "there are no credentials here: systemd hands them over with \
                 LoadCredential={name}:/path; or name a file"
            )),
        }
    }

    fn secret(&self, named: &str) -> Result<Secret, String> {
        let path = self.path(named)?;
        let failed = |why| format!("cannot read {}: {why}", path.display());
        let text = read_bounded(&path, MOST_SECRET_BYTES).map_err(failed)?;
        warn_if_readable(&path);
        match text.trim() {
            "" => Err(format!("{} is empty", path.display())),
            text if text.chars().any(char::is_control) => {
                Err(format!("{} holds more than one line", path.display()))
            }
            text => Ok(Secret(text.to_owned())),
        }
    }
}

/// A secret that everybody can read is none.
fn warn_if_readable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if let Ok(meta) = path.metadata()
        && meta.permissions().mode() & 0o007 != 0
    {
        tracing::warn!("everybody can read {0}; run: chmod o= {0}", path.display());
    }
}

impl Secret {
    /// Itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Receiver {
    /// Whether it is to be told of such an incident.
    pub fn wants(&self, incident: &IncidentRow) -> bool {
        let label = |filter: &LabelFilter| match filter {
            LabelFilter::One(label) => *label == incident.label,
            LabelFilter::Outages => matches!(incident.label, Label::Outage(_)),
        };
        incident.severity >= self.min_severity
            && (self.labels.is_empty() || self.labels.iter().any(label))
            && (self.scopes.is_empty() || self.scopes.contains(&incident.scope_type))
    }

    /// Where it is, without what may be secret of that.
    pub fn shown(&self) -> String {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.url.scheme(), self.url.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("url", &self.shown())
            .field("secret", &self.secret)
            .field("token", &self.token)
            .field("min_severity", &self.min_severity)
            .field("labels", &self.labels)
            .field("scopes", &self.scopes)
            .field("allow_private", &self.allow_private)
            .finish_non_exhaustive()
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            open_after_ms: 3 * 60_000,
            resolve_after_ms: 2 * 60_000,
            group_window_ms: 30_000,
            remind_every_ms: None,
        }
    }
}
