//! The fleet that a seed and a scenario stand for: what each cell's path is like, and how it
//! wanders from minute to minute.

use std::collections::{BTreeMap, HashMap};

use model::wire::NetworkContext;

use super::measure::{Given, Modelled, Moment, Path, Strain};
use super::random::{Random, Stream};
use super::scenario::{Place, Scenario};
use super::untidy::{Untidy, Weather};

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
    /// Absent in a tidy world.
    pub(super) weather: Option<Weather>,
    moves: Vec<Move>,
}

/// A client that is given another resolver.
#[derive(Clone, Debug)]
struct Move {
    minute: u32,
    client: u32,
    resolver: String,
    resolver_ms: f64,
    miss_share: f64,
}

/// What each event of a client says about it.
#[derive(Clone, Debug)]
pub(super) struct ClientText {
    pub(super) id: String,
    pub(super) resolver: String,
    pub(super) context: NetworkContext,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) tls_version: &'static str,
}

/// What each event of a target says about it.
#[derive(Clone, Debug)]
pub(super) struct TargetText {
    pub(super) url: String,
    /// One or more.
    pub(super) addresses: Vec<String>,
    pub(super) address_family: u8,
    pub(super) certificate_days: u32,
}

/// A client and a target.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) client: u32,
    pub(super) target: u32,
    pub(super) path: Path,
    /// By which of the target's addresses.
    pub(super) strains: [Strain; 2],
    pub(super) schedule: Stream,
    pub(super) rough: Stream,
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
        let mut moves = Vec::new();
        let noise = scenario.climate.noise;
        let untidy = &scenario.untidy;
        let mut cells = Vec::with_capacity(scenario.clients.len() * scenario.targets.len());
        for (c, client) in (0..).zip(&scenario.clients) {
            let line = Line::draw(random, client, untidy);
            moves.extend(Move::draw(random, scenario, c, &line));
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
                    strains: [Strain::default(); 2],
                    schedule: Stream::of(&["schedule", &client.id, target]),
                    rough: Stream::of(&["rough", &client.id, target]),
                    events: Stream::of(&["events", &client.id, target]),
                    rtt: wanders.place(&["path", &client.site, target], WANDER_RTT * noise),
                    server: wanders.place(&["server", target], WANDER_SERVER * noise),
                    rate: wanders.place(&["line", &client.id], WANDER_RATE * noise),
                });
            }
        }
        let text = |client| ClientText::draw(random, client, untidy);
        let clients: Vec<_> = scenario.clients.iter().map(text).collect();
        let weather = (!untidy.is_off()).then(|| {
            let wireless = clients.iter().map(|c| c.context.interface_type == "wifi");
            Weather::new(scenario, random, &wireless.collect::<Vec<_>>())
        });
        let target = |url: &String| TargetText::draw(random, url, untidy.addresses);
        Self {
            targets: scenario.targets.iter().map(target).collect(),
            clients,
            weather,
            moves,
            cells,
            wanders: wanders.all,
            climate: Moment { noise, ..Moment::USUAL },
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
        let now_ms = scenario.minute_ms(minute);
        let calm = if is_weekend(now_ms) { 1.0 - scenario.untidy.weekend } else { 1.0 };
        let evening = evening(now_ms) * calm;
        let grown = libm::pow(1.0 + climate.drift_per_hour, f64::from(minute) / 60.0);
        self.climate.rtt = (1.0 + climate.evening_peak * evening) * grown;
        self.climate.server = grown * calm;
        self.climate.rate = 1.0 - EVENING_RATE.min(climate.evening_peak / 2.0) * evening;

        if let Some(weather) = &mut self.weather {
            weather.advance(random, now_ms);
        }
        self.change_resolvers(minute);
        // Faults change with a minute: between those nothing does.
        if scenario.faults.iter().any(|fault| fault.turns(minute)) {
            self.strain(scenario, minute);
        }
    }

    fn strain(&mut self, scenario: &Scenario, minute: u32) {
        let now = |fault: &'_ super::Fault| fault.at(minute);
        let faults: Vec<_> =
            scenario.faults.iter().filter_map(|f| Some((&f.scope, now(f)?))).collect();
        for cell in &mut self.cells {
            let client = &scenario.clients[cell.client as usize];
            let target = &scenario.targets[cell.target as usize];
            cell.strains = [Strain::default(); 2];
            for (scope, kind) in faults.iter().filter(|(scope, _)| scope.holds(client, target)) {
                for (address, strain) in cell.strains.iter_mut().enumerate() {
                    if scope.holds_address(address) {
                        strain.add(*kind);
                    }
                }
            }
        }
    }

    fn change_resolvers(&mut self, minute: u32) {
        for change in self.moves.iter().filter(|change| change.minute == minute) {
            let client = &mut self.clients[change.client as usize];
            client.resolver.clone_from(&change.resolver);
            client.labels.insert("resolver".to_owned(), change.resolver.clone());
            for cell in self.cells.iter_mut().filter(|cell| cell.client == change.client) {
                if let Path::Modelled(path) = &mut cell.path {
                    path.resolver_ms = path.resolver_ms.map(|_| change.resolver_ms);
                    path.miss_share = change.miss_share;
                }
            }
        }
    }

    /// How it stands for a cell, given by its place, at a time of the minute.
    pub(super) fn moment(&self, place: u32, ts_ms: i64) -> Moment {
        let cell = &self.cells[place as usize];
        let wander = |place: u32| libm::exp(self.wanders[place as usize].log);
        let mut moment = Moment {
            rtt: self.climate.rtt * wander(cell.rtt),
            server: self.climate.server * wander(cell.server),
            rate: self.climate.rate * wander(cell.rate),
            ..self.climate
        };
        if let Some(weather) = &self.weather {
            let at = [place, cell.client, cell.target].map(|place| place as usize);
            weather.weigh(&mut moment, at, ts_ms);
        }
        moment
    }
}

/// A client's line, and its way to its resolver.
struct Line {
    access_ms: f64,
    access_bps: f64,
    loss: f64,
    resolver_ms: f64,
    miss_share: f64,
    stub_share: f64,
    resends: (f64, f64),
    tls_trips: u8,
}

impl Move {
    /// To the resolver of the next client that has another one.
    fn draw(random: &mut Random, scenario: &Scenario, client: u32, line: &Line) -> Option<Self> {
        let own = &scenario.clients[client as usize];
        let drawn = random.at(Stream::of(&["moves to", &own.id]), 0);
        let (moves, when) = (drawn.unit() < scenario.untidy.resolver_changes, drawn.unit());
        let mut others = scenario.clients.iter().cycle().skip(client as usize);
        let other = others
            .by_ref()
            .take(scenario.clients.len())
            .find(|other| moves && other.resolver != own.resolver)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1")]
        let minute = (f64::from(scenario.minutes) * (0.3 + 0.6 * when)) as u32;
        let (beyond_ms, miss_share) = resolver(random, &other.resolver);
        Some(Self {
            minute,
            client,
            resolver: other.resolver.clone(),
            resolver_ms: line.access_ms + beyond_ms,
            miss_share,
        })
    }
}

/// The round trip to a resolver beyond the client's line, and the share it has to ask others for.
fn resolver(random: &mut Random, address: &str) -> (f64, f64) {
    let own = random.at(Stream::of(&["resolver", address]), 0);
    (own.log_normal(3.0, 0.5), own.between(0.08, 0.25))
}

impl Line {
    fn draw(random: &mut Random, client: &super::Client, untidy: &Untidy) -> Self {
        let own = random.at(Stream::of(&["client", &client.id]), 0);
        let access_ms = own.log_normal(12.0, 0.5);
        let access_bps = own.log_normal(80e6, 0.7);
        let loss = random.at(Stream::of(&["site", &client.site]), 0).log_normal(2e-4, 0.8);
        let (beyond_ms, miss_share) = resolver(random, &client.resolver);
        let resend_ms = random.at(Stream::of(&["resend", &client.id]), 0).unit();
        let tls12 = has_tls12(random, client, untidy);
        Self {
            access_ms,
            access_bps,
            loss,
            resolver_ms: access_ms + beyond_ms,
            miss_share,
            stub_share: untidy.stub_hits,
            resends: (untidy.dns_resends, if resend_ms < 0.5 { 1_000.0 } else { 5_000.0 }),
            tls_trips: if tls12 { 2 } else { 1 },
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
            stub_share: self.stub_share,
            resends: self.resends,
            rtt_ms: self.access_ms + core_ms,
            tls_trips: if place.tls { self.tls_trips } else { 0 },
            server_ms: server.log_normal(60.0, 0.6),
            server_sigma: server.between(0.25, 0.45),
            access_bps: self.access_bps,
            loss: self.loss,
            failing: server.between(4e-4, 6e-4),
        }
    }
}

impl ClientText {
    fn draw(random: &mut Random, client: &super::Client, untidy: &Untidy) -> Self {
        let tls12 = has_tls12(random, client, untidy);
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
            tls_version: if tls12 { "1.2" } else { "1.3" },
        }
    }
}

impl TargetText {
    fn draw(random: &mut Random, url: &str, addresses: u32) -> Self {
        let own = random.at(Stream::of(&["address", url]), 0);
        let certificate_days = own.whole(20, 89);
        let literal = url::Url::parse(url).ok().and_then(|url| match url.host()? {
            url::Host::Ipv4(ip) => Some(std::net::IpAddr::from(ip)),
            url::Host::Ipv6(ip) => Some(std::net::IpAddr::from(ip)),
            url::Host::Domain(_) => None,
        });
        let last = 1 + (own.bits() % 254) as u8;
        // Both nets are for documentation.
        let drawn = [[203, 0, 113, last], [198, 51, 100, last]].map(std::net::IpAddr::from);
        let address = literal.unwrap_or(drawn[0]);
        let second = (addresses > 1 && literal.is_none()).then(|| drawn[1].to_string());
        Self {
            url: url.to_owned(),
            addresses: std::iter::once(address.to_string()).chain(second).collect(),
            address_family: if address.is_ipv4() { 4 } else { 6 },
            certificate_days,
        }
    }
}

fn has_tls12(random: &mut Random, client: &super::Client, untidy: &Untidy) -> bool {
    random.at(Stream::of(&["tls version", &client.id]), 0).unit() < untidy.tls12
}

/// The addresses a target of the scenario has, the usual one first.
pub fn addresses(scenario: &Scenario, target: &str) -> Vec<String> {
    let mut random = Random::new(scenario.seed);
    TargetText::draw(&mut random, target, scenario.untidy.addresses).addresses
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

/// Whether it is Saturday or Sunday in UTC. The epoch began on a Thursday.
pub(super) fn is_weekend(ts_ms: i64) -> bool {
    matches!((ts_ms.div_euclid(86_400_000) + 3).rem_euclid(7), 5 | 6)
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
    fn the_weekend_is_saturday_and_sunday() {
        // 3 January 1970 was a Saturday.
        let days = (0..7).filter(|day| is_weekend(day * 86_400_000));
        assert_eq!(days.collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn the_evening_peaks_at_nine() {
        let at = |hour: i64| evening(hour * 3_600_000);
        assert!((at(21) - 1.0).abs() < 1e-12);
        assert!(at(20) > 0.9 && at(22) > 0.9 && (at(20) - at(22)).abs() < 1e-12);
        assert!(at(9) < 1e-4 && at(3) < at(1) && at(45) == at(21));
    }
}
