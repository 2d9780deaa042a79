//! What is simulated, as data.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::fault::{self, Fault, FaultKind, Scope, ScopeName};
use super::random::{Random, Stream};
use super::untidy::Untidy;

mod check;

pub use check::ScenarioError;

/// A fleet, what it measures, for how long, and what breaks. Plain data: the same value gives the
/// same events. What is read from a file wants [`Scenario::check`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Decides every random number.
    pub seed: u64,
    /// Start, milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Length, minutes.
    pub minutes: u32,
    /// Events a minute of each cell (a client and a target).
    pub per_minute: u32,
    /// Who measures.
    pub clients: Vec<Client>,
    /// What everyone measures: absolute http or https URLs. Over http there is no TLS, and for a
    /// literal address no look-up.
    pub targets: Vec<String>,
    /// What changes slowly for everyone.
    #[serde(default)]
    pub climate: Climate,
    /// What is untidy about the world, and no fault.
    #[serde(default)]
    pub untidy: Untidy,
    /// Cells whose latencies are given instead of drawn. The first that fits is taken.
    #[serde(default)]
    pub profiles: Vec<CellProfile>,
    /// What breaks. Faults may overlap.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

/// A probe, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// Its place; clients of a site share the path to each target.
    pub site: String,
    /// Its provider.
    pub isp: String,
    /// The address of the resolver it asks.
    pub resolver: String,
}

/// Slow change that is no fault. The default is none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Climate {
    /// Share by which round trips are longer at 21:00 UTC, less towards the night and the day.
    /// Throughput falls by half of it, at most by 15 %.
    pub evening_peak: f64,
    /// Factor on jitter, on spikes, and on the wander from minute to minute.
    pub noise: f64,
    /// Share by which round trips and server times grow an hour, compounding.
    pub drift_per_hour: f64,
}

impl Default for Climate {
    fn default() -> Self {
        Self { evening_peak: 0.0, noise: 1.0, drift_per_hour: 0.0 }
    }
}

/// Latencies that are known: medians that do not wander, with no failures but those of faults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellProfile {
    /// For this client; absent: for every client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// For this target.
    pub target: String,
    /// Median look-up, ms; absent: no look-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_ms: Option<f64>,
    /// Median round trip of the TCP handshake, ms.
    pub tcp_ms: f64,
    /// Median TLS handshake, ms; absent: no TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ms: Option<f64>,
    /// Median wait for the first byte, ms.
    pub ttfb_ms: f64,
    /// Median goodput, kbit/s; absent: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput_kbps: Option<f64>,
    /// Standard deviation of the logarithm of each: 0.1 is about 10 %.
    pub jitter: f64,
}

impl Scenario {
    /// A fleet of the benchmark's make: two clients a site, two sites an ISP, three resolvers for
    /// four sites. The start is moved back to a full minute. No faults.
    pub fn fleet(
        seed: u64,
        clients: u32,
        targets: u32,
        start_ms: i64,
        minutes: u32,
        per_minute: u32,
    ) -> Self {
        let sites = clients.div_ceil(2);
        let resolvers = (sites * 3).div_ceil(4).max(1);
        let client = |i: u32| {
            let site = i % sites.max(1);
            Client {
                id: format!("sim-{:04}", i + 1),
                site: format!("site-{}", site + 1),
                isp: format!("isp-{}", site / 2 + 1),
                resolver: resolver_address(site % resolvers),
            }
        };
        Self {
            seed,
            start_ms: start_ms - start_ms.rem_euclid(model::units::MINUTE_MS),
            minutes,
            per_minute,
            clients: (0..clients).map(client).collect(),
            targets: (1..=targets).map(|i| format!("https://service-{i}.example/")).collect(),
            climate: Climate::default(),
            untidy: Untidy::default(),
            profiles: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Has everyone measure these instead. Comes before what names a target.
    #[must_use]
    pub fn with_targets<T: Into<String>>(mut self, urls: impl IntoIterator<Item = T>) -> Self {
        self.targets = urls.into_iter().map(Into::into).collect();
        self
    }

    /// Has the world change slowly.
    #[must_use]
    pub fn with_climate(mut self, climate: Climate) -> Self {
        self.climate = climate;
        self
    }

    /// Has the world be less tidy.
    #[must_use]
    pub fn with_untidy(mut self, untidy: Untidy) -> Self {
        self.untidy = untidy;
        self
    }

    /// Gives cells their latencies.
    #[must_use]
    pub fn with_profile(mut self, profile: CellProfile) -> Self {
        self.profiles.push(profile);
        self
    }

    /// Adds a fault.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Adds faults one after the other, 8 to 20 minutes each, 20 to 35 apart and from the start,
    /// as many as end within the scenario. The seed decides; each kind comes once before any
    /// comes again.
    #[must_use]
    pub fn random_faults(mut self) -> Self {
        let mut random = Random::new(self.seed);
        let drawn = fault::random_faults(&self, random.at(Stream::of(&["faults"]), 0));
        self.faults.extend(drawn);
        self
    }

    /// The same from this minute on.
    #[must_use]
    pub fn random_faults_from(mut self, minute: u32) -> Self {
        let whole = self.minutes;
        self.minutes = whole.saturating_sub(minute);
        let known = self.faults.len();
        self = self.random_faults();
        self.minutes = whole;
        for fault in &mut self.faults[known..] {
            fault.from_minute += minute;
        }
        self
    }

    /// What a scope takes in, as (client, target, address); empty for what it does not know.
    pub fn reach(&self, scope: &ScopeName) -> BTreeSet<(String, String, String)> {
        let mut reach = BTreeSet::new();
        for target in &self.targets {
            for address in super::addresses(self, target) {
                for client in &self.clients {
                    if scope.holds(client, target, &address) {
                        reach.insert((client.id.clone(), target.clone(), address.clone()));
                    }
                }
            }
        }
        reach
    }

    /// First millisecond after the end.
    pub fn end_ms(&self) -> i64 {
        self.minute_ms(self.minutes)
    }

    /// How many events it holds, before any are lost or doubled.
    pub fn len(&self) -> u64 {
        let cells = self.clients.len() as u64 * self.targets.len() as u64;
        cells * u64::from(self.per_minute) * u64::from(self.minutes)
    }

    /// Whether it holds no event.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cells that a fault touches, as (client, target): those in its scope that have the
    /// stage it breaks.
    pub fn cells(&self, fault: &Fault) -> Vec<(&str, &str)> {
        self.clients
            .iter()
            .flat_map(|client| self.targets.iter().map(move |target| (client, target)))
            .filter(|(client, target)| {
                self.has_address(&fault.scope)
                    && fault.scope.holds(client, target)
                    && self.has_stage(client, target, fault.kind)
            })
            .map(|(client, target)| (client.id.as_str(), target.as_str()))
            .collect()
    }

    fn has_address(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Address { nth, .. } => *nth < self.untidy.addresses.max(1),
            _ => true,
        }
    }

    fn has_stage(&self, client: &Client, target: &str, broken: FaultKind) -> bool {
        let profile = self.profiles.iter().find(|profile| profile.holds(&client.id, target));
        let place = Place::of_or_usual(target);
        match broken {
            FaultKind::DnsDelay { .. } | FaultKind::DnsServfail { .. } => {
                profile.map_or(place.named, |profile| profile.dns_ms.is_some())
            }
            FaultKind::TlsDelay { .. } | FaultKind::Cert => {
                profile.map_or(place.tls, |profile| profile.tls_ms.is_some())
            }
            FaultKind::SlowDrip { .. }
            | FaultKind::RateLimit { .. }
            | FaultKind::Bufferbloat { .. } => {
                profile.is_none_or(|profile| profile.throughput_kbps.is_some())
            }
            _ => true,
        }
    }

    /// Start of a minute counted from the scenario's start, milliseconds since the Unix epoch.
    pub(super) fn minute_ms(&self, minute: u32) -> i64 {
        self.start_ms.saturating_add(i64::from(minute) * model::units::MINUTE_MS)
    }
}

impl CellProfile {
    /// Whether it is for this cell.
    pub(super) fn holds(&self, client: &str, target: &str) -> bool {
        self.target == target && self.client.as_deref().is_none_or(|id| id == client)
    }
}

/// What a target's URL says about the stages of its measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// A name, so there is a look-up.
    pub(super) named: bool,
    /// Over https.
    pub(super) tls: bool,
}

impl Place {
    pub(super) fn of(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        Some(Self { named: matches!(url.host()?, Host::Domain(_)), tls })
    }

    /// What is no URL counts as one over https: [`Scenario::check`] refuses it where it matters.
    pub(super) fn of_or_usual(url: &str) -> Self {
        Self::of(url).unwrap_or(Self { named: true, tls: true })
    }
}

/// Documentation addresses while they last.
fn resolver_address(i: u32) -> String {
    match i {
        0 => "192.0.2.53".to_owned(),
        1 => "198.51.100.53".to_owned(),
        2 => "203.0.113.53".to_owned(),
        _ => format!("10.53.{}.{}", i / 250 % 250, i % 250),
    }
}
