//! Faults by chance, of the kinds, magnitudes and scopes of the benchmark.

use super::{Fault, FaultKind, Scope, Shape};
use crate::simulate::random::Random;
use crate::simulate::scenario::Scenario;

/// A kind of scope that a random fault may have.
#[derive(Clone, Copy)]
enum Where {
    Global,
    Site,
    Resolver,
    Client,
    Target,
    Cell,
}

/// What random faults are drawn from: kinds, magnitudes and scopes of the benchmark.
type Draw = (fn(&mut Random) -> FaultKind, &'static [Where]);
const DRAWS: [Draw; 14] = {
    use FaultKind as K;
    use Where::{Cell, Client, Global, Resolver, Site, Target};
    [
        (|r| K::DnsDelay { add_ms: ms(r, 60.0, 400.0) }, &[Resolver, Client]),
        (|r| K::DnsServfail { share: share(r, 0.5, 1.0) }, &[Resolver, Target]),
        (|r| K::SynLoss { share: share(r, 0.15, 0.5) }, &[Site, Target, Client]),
        (|r| K::PathDelay { add_ms: ms(r, 25.0, 150.0) }, &[Site, Client, Cell]),
        (|r| K::TlsDelay { add_ms: ms(r, 60.0, 300.0) }, &[Target]),
        (|r| K::ServerDelay { add_ms: ms(r, 120.0, 800.0) }, &[Target]),
        (|_| K::ServerTail { share: 0.3, from_ms: 500.0, to_ms: 2000.0 }, &[Target]),
        (|r| K::SlowDrip { factor: share(r, 0.1, 0.5) }, &[Target]),
        (|r| K::RateLimit { factor: share(r, 0.2, 0.6) }, &[Client, Site]),
        (|r| K::Loss { share: share(r, 0.01, 0.04) }, &[Site, Client, Cell]),
        (|r| K::OutageTcp { share: share(r, 0.5, 1.0) }, &[Target, Site, Global]),
        (|r| K::Http5xx { share: share(r, 0.3, 1.0) }, &[Target, Site, Global]),
        (|_| K::Cert, &[Target, Site, Global]),
        (|r| K::Bufferbloat { add_ms: ms(r, 100.0, 400.0) }, &[Client, Site]),
    ]
};

fn ms(random: &mut Random, low: f64, high: f64) -> f64 {
    libm::round(random.between(low, high))
}

fn share(random: &mut Random, low: f64, high: f64) -> f64 {
    libm::round(random.between(low, high) * 1000.0) / 1000.0
}

/// Faults one after the other, every kind once before any comes again.
pub(in super::super) fn random_faults(scenario: &Scenario, random: &mut Random) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut deck: Vec<Draw> = Vec::new();
    let mut minute = 0;
    if scenario.clients.is_empty() || scenario.targets.is_empty() {
        return faults;
    }
    loop {
        if deck.is_empty() {
            deck.extend(DRAWS);
        }
        let from_minute = minute + random.whole(20, 35);
        let minutes = random.whole(8, 20);
        minute = from_minute + minutes;
        if minute > scenario.minutes {
            return faults;
        }
        let (kind, scopes) = deck.swap_remove(random.index(deck.len()));
        let kind = kind(random);
        let scope = random_scope(scenario, random, scopes);
        faults.push(Fault { kind, scope, from_minute, minutes, shape: Shape::Steady });
    }
}

fn random_scope(scenario: &Scenario, random: &mut Random, scopes: &[Where]) -> Scope {
    let scope = scopes[random.index(scopes.len())];
    // A client is drawn for its site or resolver too, so that each counts by its size.
    let client = &scenario.clients[random.index(scenario.clients.len())];
    let target = &scenario.targets[random.index(scenario.targets.len())];
    match scope {
        Where::Global => Scope::Global,
        Where::Site => Scope::Site(client.site.clone()),
        Where::Resolver => Scope::Resolver(client.resolver.clone()),
        Where::Client => Scope::Client(client.id.clone()),
        Where::Target => Scope::Target(target.clone()),
        Where::Cell => Scope::Cell { client: client.id.clone(), target: target.clone() },
    }
}
