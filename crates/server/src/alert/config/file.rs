//! Reading the text of a file of alerts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use serde::Deserialize;
use toml::Spanned;
use url::{Host, Url};

use super::{
    Config, Files, Kind, LabelFilter, MOST_MAINTENANCE, MOST_RECEIVERS, Policy, Receiver, Secret,
};
use crate::alert::address;
use crate::alert::maintenance::{Maintenance, Scope, When};
use crate::file::Wrong;
use crate::store::Severity;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub(super) struct File {
    incident_url: Option<Spanned<String>>,
    policy: FilePolicy,
    receivers: Vec<Spanned<FileReceiver>>,
    maintenance: Vec<Spanned<FileMaintenance>>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct FilePolicy {
    open_after: Option<Spanned<String>>,
    resolve_after: Option<Spanned<String>>,
    group_window: Option<Spanned<String>>,
    remind_every: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileReceiver {
    name: Spanned<String>,
    kind: Kind,
    url: Option<Spanned<String>>,
    url_file: Option<Spanned<String>>,
    secret_file: Option<Spanned<String>>,
    token_file: Option<Spanned<String>>,
    ca_file: Option<Spanned<String>>,
    min_severity: Option<Severity>,
    #[serde(default)]
    labels: Vec<Spanned<String>>,
    #[serde(default)]
    scopes: Vec<Spanned<String>>,
    #[serde(default)]
    allow_private: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMaintenance {
    name: Spanned<String>,
    days: Option<Vec<Spanned<String>>>,
    from: Spanned<String>,
    until: Option<Spanned<String>>,
    #[serde(rename = "for")]
    lasts: Option<Spanned<String>>,
    timezone: Option<Spanned<String>>,
    site: Option<String>,
    client: Option<String>,
    target: Option<String>,
}

const SCOPES: [&str; 8] =
    ["global", "target", "address", "isp", "site", "resolver", "client", "cell"];
/// Characters of what is said of a mistake: enough for the names of all keys.
const MOST_NAME: usize = 64;
/// A shorter secret could be tried out.
const LEAST_SECRET: usize = 16;
/// Stands for the id of an incident.
pub(in crate::alert) const INCIDENT: &str = "{id}";

pub(super) fn config(file: File, files: &Files<'_>) -> Result<Config, Wrong> {
    let incident_url = file.incident_url.map(|text| wrong_at(&text, incident_url)).transpose()?;
    let too_many = |place: Range<usize>, most: usize, what: &str| {
        (place, format!("there are more than {most} {what}"))
    };
    let mut known = BTreeMap::new();
    let mut receivers = Vec::new();
    for entry in file.receivers {
        let place = entry.span();
        if receivers.len() >= MOST_RECEIVERS {
            return Err(too_many(place, MOST_RECEIVERS, "receivers"));
        }
        let receiver = receiver(entry.get_ref(), place.clone(), files)?;
        if known.insert(receiver.name.clone(), ()).is_some() {
            return Err((place, format!("there is a receiver `{}` already", receiver.name)));
        }
        receivers.push(Arc::new(receiver));
    }
    let mut windows = Vec::new();
    for entry in file.maintenance {
        let place = entry.span();
        if windows.len() >= MOST_MAINTENANCE {
            return Err(too_many(place, MOST_MAINTENANCE, "maintenance windows"));
        }
        windows.push(maintenance(entry.into_inner(), place)?);
    }
    if receivers.is_empty() {
        return Err((0..0, "nobody is told: add [[receivers]] with name, kind and url".to_owned()));
    }
    Ok(Config { incident_url, policy: policy(&file.policy)?, receivers, maintenance: windows })
}

fn wrong_at<T>(
    text: &Spanned<String>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Wrong> {
    parse(text.get_ref()).map_err(|what| (text.span(), what))
}

fn incident_url(text: &str) -> Result<String, String> {
    let is_page = |url: Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    match text.parse().is_ok_and(is_page) && text.contains(INCIDENT) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "incident_url: {text:?} is no page of an incident; write https://HOST/PATH{INCIDENT}"
        )),
    }
}

fn policy(file: &FilePolicy) -> Result<Policy, Wrong> {
    let default = Policy::default();
    let hours = |n| Duration::from_hours(n);
    let within = |text: &Option<Spanned<String>>, what: &str, least, most, default: i64| {
        let Some(text) = text else { return Ok(default) };
        wrong_at(text, |text| span(text, what, least, most))
    };
    let zero = Duration::ZERO;
    let minute = Duration::from_mins(1);
    let open = within(&file.open_after, "open_after", zero, hours(24), default.open_after_ms)?;
    let resolve =
        within(&file.resolve_after, "resolve_after", zero, hours(24), default.resolve_after_ms)?;
    let most = Duration::from_mins(10);
    let group = within(&file.group_window, "group_window", zero, most, default.group_window_ms)?;
    let remind = match &file.remind_every {
        None => None,
        Some(text) => {
            Some(wrong_at(text, |text| span(text, "remind_every", 30 * minute, hours(720)))?)
        }
    };
    Ok(Policy {
        open_after_ms: open,
        resolve_after_ms: resolve,
        group_window_ms: group,
        remind_every_ms: remind,
    })
}

/// Milliseconds, as people write them.
fn span(text: &str, what: &str, least: Duration, most: Duration) -> Result<i64, String> {
    let span = humantime::parse_duration(text.trim())
        .map_err(|error| format!("{what}: {text:?} is no time ({error}); write 90s, 10m or 2h"))?;
    let told = humantime::format_duration;
    if span < least {
        return Err(format!("{what} is {} or more", told(least)));
    }
    if span > most {
        return Err(format!("{what} is {} at most", told(most)));
    }
    Ok(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}

fn receiver(
    file: &FileReceiver,
    place: Range<usize>,
    files: &Files<'_>,
) -> Result<Receiver, Wrong> {
    let name = wrong_at(&file.name, name)?;
    let secret = |text: &Option<Spanned<String>>| -> Result<Option<Secret>, Wrong> {
        text.as_ref().map(|text| wrong_at(text, |text| files.secret(text))).transpose()
    };
    let (at, url) = match (&file.url, &file.url_file) {
        (Some(url), None) => (url.span(), url.get_ref().clone()),
        (None, Some(named)) => (named.span(), wrong_at(named, |named| files.secret(named))?.0),
        _ => {
            let what = "either url or url_file (where the URL is a secret, as Slack's is)";
            return Err((place, format!("receiver `{name}` wants {what}")));
        }
    };
    let url = url_of(&url, file.allow_private).map_err(|what| (at, what))?;
    let signing = secret(&file.secret_file)?;
    match (file.kind, &signing) {
        (Kind::Webhook, None) => {
            let what = "wants secret_file, by which it knows that messages are ours; make one \
                        with: openssl rand -hex 32 > FILE; chmod 600 FILE";
            return Err((place, format!("receiver `{name}` {what}")));
        }
        (Kind::Webhook, Some(key)) if key.0.len() < LEAST_SECRET => {
            let what = format!("the secret of `{name}` has less than {LEAST_SECRET} characters");
            return Err((place, what));
        }
        (Kind::Slack | Kind::Alertmanager | Kind::Ntfy, Some(_)) => {
            let what = "secret_file is for kind = \"webhook\": others take token_file";
            return Err((place, format!("receiver `{name}`: {what}")));
        }
        _ => {}
    }
    let labels = file.labels.iter().map(|text| wrong_at(text, label)).collect::<Result<_, _>>()?;
    let scopes = file.scopes.iter().map(|text| wrong_at(text, scope)).collect::<Result<_, _>>()?;
    let ca_file = file.ca_file.as_ref();
    let ca_file = ca_file.map(|text| wrong_at(text, |text| files.path(text))).transpose()?;
    Ok(Receiver {
        name,
        kind: file.kind,
        url,
        secret: signing,
        token: secret(&file.token_file)?,
        ca_file,
        min_severity: file.min_severity.unwrap_or(Severity::Minor),
        labels,
        scopes,
        allow_private: file.allow_private,
    })
}

fn name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match text {
        _ if (1..=MOST_NAME).contains(&text.len()) && text.chars().all(good) => Ok(text.to_owned()),
        _ => Err(format!("name: 1 to {MOST_NAME} of a-z, A-Z, 0-9, `-`, `_` and `.` are wanted")),
    }
}

/// An address that a notice may go to, as far as it tells without asking for it. It is not quoted: it
/// may be a secret.
fn url_of(text: &str, allow_private: bool) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("url: not a URL: {error}"))?;
    let Some(host) = url.host() else { return Err("url: it names no host".to_owned()) };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("url: it holds a name or password; put a token into a file and name it with \
                    token_file"
            .to_owned());
    }
    let address = match host {
        Host::Domain(_) => None,
        Host::Ipv4(four) => Some(four.into()),
        Host::Ipv6(six) => Some(six.into()),
    };
    if let Some(address) = address {
        address::check(address, allow_private).map_err(|refused| format!("url: {refused}"))?;
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if allow_private => Ok(url),
        "http" => Err("url: everybody on the way could read and change it: write https, or say \
                       `allow_private = true` if it stands within your own network"
            .to_owned()),
        other => Err(format!("url: `{other}` is neither https nor http")),
    }
}

fn label(text: &str) -> Result<LabelFilter, String> {
    if text == "outage" {
        return Ok(LabelFilter::Outages);
    }
    text.parse().map(LabelFilter::One).map_err(|_| {
        format!("labels: there is no label {text:?}; write outage, dns-bound or another of docs/diagnosis.md")
    })
}

fn scope(text: &str) -> Result<String, String> {
    match SCOPES.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("scopes: {text:?} is none of {}", SCOPES.join(", "))),
    }
}

fn maintenance(file: FileMaintenance, place: Range<usize>) -> Result<Maintenance, Wrong> {
    let name = file.name.into_inner();
    let when = match (&file.days, &file.until, &file.lasts) {
        (None, Some(until), None) => {
            let from_ms = wrong_at(&file.from, |text| moment(text, "from"))?;
            let until_ms = wrong_at(until, |text| moment(text, "until"))?;
            if until_ms <= from_ms {
                return Err((until.span(), format!("maintenance `{name}` ends before it begins")));
            }
            if let Some(zone) = &file.timezone {
                let what = "timezone is for windows of each week; from and until have their own";
                return Err((zone.span(), what.to_owned()));
            }
            When::Once { from_ms, until_ms }
        }
        (Some(days), None, Some(lasts)) => {
            let days: Vec<_> =
                days.iter().map(|text| wrong_at(text, weekday)).collect::<Result<_, _>>()?;
            if days.is_empty() {
                return Err((
                    place,
                    format!("maintenance `{name}` is on no day; name some in days"),
                ));
            }
            let week = Duration::from_hours(7 * 24);
            let (from, lasts_ms) = (
                wrong_at(&file.from, time_of_day)?,
                wrong_at(lasts, |text| span(text, "for", Duration::from_mins(1), week))?,
            );
            let zone = file.timezone.as_ref().map(|text| wrong_at(text, zone)).transpose()?;
            When::Weekly { days, from, lasts_ms, zone: zone.unwrap_or(TimeZone::UTC) }
        }
        _ => {
            let what = "wants from and until (once), or days, from and for (each week)";
            return Err((place, format!("maintenance `{name}` {what}")));
        }
    };
    let scope = Scope { site: file.site, client: file.client, target: file.target };
    Ok(Maintenance { name, when, scope })
}

fn moment(text: &str, key: &str) -> Result<i64, String> {
    let moment = text.parse::<Timestamp>();
    moment
        .map(Timestamp::as_millisecond)
        .map_err(|_| format!("{key}: {text:?} is no moment; write 2026-11-28T22:00:00+01:00"))
}

fn time_of_day(text: &str) -> Result<Time, String> {
    text.parse().map_err(|_| format!("from: {text:?} is no time of a day; write 02:00"))
}

fn weekday(text: &str) -> Result<Weekday, String> {
    const DAYS: [(&str, Weekday); 7] = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let text = text.to_ascii_lowercase();
    let found = DAYS.iter().find(|(name, _)| *name == text || name[..3] == text);
    found
        .map(|(_, day)| *day)
        .ok_or_else(|| format!("days: {text:?} is no day; write mon or monday"))
}

fn zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| {
        format!(
            "timezone: {text:?} is not known here; write UTC or a name such as Europe/Berlin (the \
             system's tzdata has them)"
        )
    })
}
