//! The fleet that a seed and a scenario stand for: what each cell's path is like, and how it
//! wanders from minute to minute.

use std::collections::{BTreeMap, HashMap};

use model::wire::NetworkContext;

use super::measure::{Given, Modelled, Moment, Path, Strain};
use super::random::{Random, Stream};
use super::scenario::{Place, Scenario};

/// Correlation of a wandering factor from one minute to the next.
const WANDER_KEPT: f64 = 0.97;
/// Deviation of the wander's logarithm over a long time: round trips, server times, rates.
const WANDER_RTT: f64 = 0.033;
const WANDER_SERVER: f64 = 0.064;
const WANDER_RATE: f64 = 0.08;
/// Throughput in the evening falls by no more than this.
const EVENING_RATE: f64 = 0.15;

/// The whole fleet as it is at one minute.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) clients: Vec<ClientText>,
    pub(super) targets: Vec<TargetText>,
    pub(super) cells: Vec<Cell>,
    wanders: Vec<Wander>,
    climate: Moment,
}

/// What each event of a client says about it.
#[derive(Clone, Debug)]
pub(super) struct ClientText {
    pub(super) id: String,
    pub(super) resolver: String,
    pub(super) context: NetworkContext,
    pub(super) labels: BTreeMap<String, String>,
}

/// What each event of a target says about it.
#[derive(Clone, Debug)]
pub(super) struct TargetText {
    pub(super) url: String,
    pub(super) address: String,
    pub(super) address_family: u8,
    pub(super) certificate_days: u32,
}

/// A client and a target.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) client: u32,
    pub(super) target: u32,
    pub(super) path: Path,
    pub(super) strain: Strain,
    pub(super) schedule: Stream,
    pub(super) events: Stream,
    /// Places of the three wandering factors.
    rtt: u32,
    server: u32,
    rate: u32,
}

/// A factor that wanders: its logarithm is an autoregression of first order around 0.
#[derive(Clone, Debug)]
struct Wander {
    stream: Stream,
    sigma: f64,
    log: f64,
}

impl World {
    pub(super) fn new(scenario: &Scenario, random: &mut Random) -> Self {
        let mut wanders = Wanders::default();
        let noise = scenario.climate.noise;
        let mut cells = Vec::with_capacity(scenario.clients.len() * scenario.targets.len());
        for (c, client) in (0..).zip(&scenario.clients) {
            let line = Line::draw(random, client);
            for (t, target) in (0..).zip(&scenario.targets) {
                let given = scenario.profiles.iter().find(|p| p.holds(&client.id, target));
                let path = match given {
                    Some(profile) => Path::Given(Given {
                        dns_ms: profile.dns_ms,
                        tcp_ms: profile.tcp_ms,
                        tls_ms: profile.tls_ms,
                        ttfb_ms: profile.ttfb_ms,
                        bps: profile.throughput_kbps.map(|kbps| kbps * 1e3),
                        jitter: profile.jitter,
                    }),
                    None => Path::Modelled(line.to(random, &client.site, target)),
                };
                cells.push(Cell {
                    client: c,
                    target: t,
                    path,
                    strain: Strain::default(),
                    schedule: Stream::of(&["schedule", &client.id, target]),
                    events: Stream::of(&["events", &client.id, target]),
                    rtt: wanders.place(&["path", &client.site, target], WANDER_RTT * noise),
                    server: wanders.place(&["server", target], WANDER_SERVER * noise),
                    rate: wanders.place(&["line", &client.id], WANDER_RATE * noise),
                });
            }
        }
        Self {
            clients: scenario.clients.iter().map(|c| ClientText::draw(random, c)).collect(),
            targets: scenario.targets.iter().map(|url| TargetText::draw(random, url)).collect(),
            cells,
            wanders: wanders.all,
            climate: Moment { rtt: 1.0, server: 1.0, rate: 1.0, noise },
        }
    }

    /// Moves on to a minute; minutes are taken one after the other from 0.
    pub(super) fn advance(&mut self, scenario: &Scenario, random: &mut Random, minute: u32) {
        for wander in &mut self.wanders {
            let z = random.at(wander.stream, u64::from(minute)).normal();
            wander.log = if minute == 0 {
                wander.sigma * z
            } else {
                let fresh = libm::sqrt(1.0 - WANDER_KEPT * WANDER_KEPT) * wander.sigma;
                WANDER_KEPT * wander.log + fresh * z
            };
        }
        let climate = &scenario.climate;
        let evening = evening(scenario.minute_ms(minute));
        let grown = libm::pow(1.0 + climate.drift_per_hour, f64::from(minute) / 60.0);
        self.climate.rtt = (1.0 + climate.evening_peak * evening) * grown;
        self.climate.server = grown;
        self.climate.rate = 1.0 - EVENING_RATE.min(climate.evening_peak / 2.0) * evening;

        let faults = &scenario.faults;
        // Faults begin and end with a minute: between those nothing changes.
        let turns = faults
            .iter()
            .any(|f| minute == f.from_minute || minute == f.from_minute.saturating_add(f.minutes));
        if turns {
            for cell in &mut self.cells {
                let client = &scenario.clients[cell.client as usize];
                let target = &scenario.targets[cell.target as usize];
                cell.strain = Strain::default();
                for fault in faults {
                    let age = minute.checked_sub(fault.from_minute);
                    if age.is_some_and(|age| age < fault.minutes)
                        && fault.scope.holds(client, target)
                    {
                        cell.strain.add(fault.kind);
                    }
                }
            }
        }
    }

    /// How the minute stands for a cell.
    pub(super) fn moment(&self, cell: &Cell) -> Moment {
        let wander = |place: u32| libm::exp(self.wanders[place as usize].log);
        Moment {
            rtt: self.climate.rtt * wander(cell.rtt),
            server: self.climate.server * wander(cell.server),
            rate: self.climate.rate * wander(cell.rate),
            noise: self.climate.noise,
        }
    }
}

/// A client's line, and its way to its resolver.
struct Line {
    access_ms: f64,
    access_bps: f64,
    loss: f64,
    resolver_ms: f64,
    miss_share: f64,
}

impl Line {
    fn draw(random: &mut Random, client: &super::Client) -> Self {
        let own = random.at(Stream::of(&["client", &client.id]), 0);
        let access_ms = own.log_normal(12.0, 0.5);
        let access_bps = own.log_normal(80e6, 0.7);
        let loss = random.at(Stream::of(&["site", &client.site]), 0).log_normal(2e-4, 0.8);
        let resolver = random.at(Stream::of(&["resolver", &client.resolver]), 0);
        Self {
            access_ms,
            access_bps,
            loss,
            resolver_ms: access_ms + resolver.log_normal(3.0, 0.5),
            miss_share: resolver.between(0.08, 0.25),
        }
    }

    /// The path to a target; clients of a site have the part beyond their lines in common.
    fn to(&self, random: &mut Random, site: &str, target: &str) -> Modelled {
        let core_ms = random.at(Stream::of(&["core", site, target]), 0).log_normal(18.0, 0.8);
        let server = random.at(Stream::of(&["target", target]), 0);
        let place = Place::of_or_usual(target);
        Modelled {
            resolver_ms: place.named.then_some(self.resolver_ms),
            miss_share: self.miss_share,
            rtt_ms: self.access_ms + core_ms,
            tls: place.tls,
            server_ms: server.log_normal(60.0, 0.6),
            server_sigma: server.between(0.25, 0.45),
            access_bps: self.access_bps,
            loss: self.loss,
            failing: server.between(4e-4, 6e-4),
        }
    }
}

impl ClientText {
    fn draw(random: &mut Random, client: &super::Client) -> Self {
        let interface = match random.at(Stream::of(&["interface", &client.id]), 0).unit() {
            u if u < 0.5 => "wifi",
            u if u < 0.9 => "ethernet",
            _ => "cellular",
        };
        let labels = [("isp", &client.isp), ("resolver", &client.resolver), ("site", &client.site)];
        Self {
            id: client.id.clone(),
            resolver: client.resolver.clone(),
            context: NetworkContext {
                interface_type: interface.to_owned(),
                vpn_enabled: false,
                user_label: None,
            },
            labels: labels.map(|(name, value)| (name.to_owned(), value.clone())).into(),
        }
    }
}

impl TargetText {
    fn draw(random: &mut Random, url: &str) -> Self {
        let own = random.at(Stream::of(&["address", url]), 0);
        let certificate_days = own.whole(20, 89);
        let literal = url::Url::parse(url).ok().and_then(|url| match url.host()? {
            url::Host::Ipv4(ip) => Some(std::net::IpAddr::from(ip)),
            url::Host::Ipv6(ip) => Some(std::net::IpAddr::from(ip)),
            url::Host::Domain(_) => None,
        });
        // 203.0.113.0/24 is for documentation.
        let drawn = || std::net::IpAddr::from([203, 0, 113, 1 + (own.bits() % 254) as u8]);
        let address = literal.unwrap_or_else(drawn);
        Self {
            url: url.to_owned(),
            address: address.to_string(),
            address_family: if address.is_ipv4() { 4 } else { 6 },
            certificate_days,
        }
    }
}

/// The wandering factors, one for each name.
#[derive(Default)]
struct Wanders {
    all: Vec<Wander>,
    places: HashMap<Stream, u32>,
}

impl Wanders {
    fn place(&mut self, names: &[&str], sigma: f64) -> u32 {
        let stream = Stream::of(&[&["wander"], names].concat());
        *self.places.entry(stream).or_insert_with(|| {
            self.all.push(Wander { stream, sigma, log: 0.0 });
            // Far fewer than cells, and those are counted in u32 too.
            u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX)
        })
    }
}

/// 1 at 21:00 UTC, near 0 eight hours from it.
fn evening(ts_ms: i64) -> f64 {
    const DAY_MS: i64 = 86_400_000;
    const PEAK_MS: i64 = 21 * 3_600_000;
    // Hours from the peak, -12 to 12.
    let from_peak = (ts_ms - PEAK_MS + DAY_MS / 2).rem_euclid(DAY_MS) - DAY_MS / 2;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of half a day")]
    let hours = from_peak as f64 / 3.6e6;
    libm::exp(-(hours / 3.5) * (hours / 3.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_evening_peaks_at_nine() {
        let at = |hour: i64| evening(hour * 3_600_000);
        assert!((at(21) - 1.0).abs() < 1e-12);
        assert!(at(20) > 0.9 && at(22) > 0.9 && (at(20) - at(22)).abs() < 1e-12);
        assert!(at(9) < 1e-4 && at(3) < at(1) && at(45) == at(21));
    }
}
