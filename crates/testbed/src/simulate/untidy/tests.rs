//! What is untidy, each alone, as the events show it.

use std::collections::{BTreeMap, HashSet};

use model::wire::WireEvent;

use super::Untidy;
use crate::simulate::{Fault, FaultKind, Scenario, Scope, Shape, addresses, events};

const OFF: Untidy = Untidy {
    stub_hits: 0.0,
    dns_resends: 0.0,
    tls12: 0.0,
    wifi_bursts_per_hour: 0.0,
    handovers_per_hour: 0.0,
    route_flaps_per_day: 0.0,
    deploys_per_day: 0.0,
    nightly_jobs: 0.0,
    weekend: 0.0,
    late: 0.0,
    clocks: 0.0,
    missing: 0.0,
    doubled: 0.0,
    throughput_every: 0,
    addresses: 0,
    resolver_changes: 0.0,
};

/// 4 clients, 2 targets, 3 hours from a Saturday's midnight: 2,880 events.
fn scenario(untidy: Untidy) -> Scenario {
    Scenario::fleet(1, 4, 2, 1_704_499_200_000, 180, 2).with_untidy(untidy)
}

fn of(untidy: Untidy) -> Vec<WireEvent> {
    events(&scenario(untidy)).collect()
}

/// The median of a figure of the events that have it.
fn median(events: &[WireEvent], figure: impl Fn(&WireEvent) -> Option<f64>) -> f64 {
    let mut all: Vec<f64> = events.iter().filter_map(figure).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

#[test]
fn all_of_it_is_off_by_default() {
    assert_eq!(OFF, Untidy::default());
    assert!(of(OFF).iter().all(|event| event.recv_ts_ms.is_none()));
}

#[test]
fn samples_are_missing_and_doubled() {
    let usual = of(OFF);
    let missing = of(Untidy { missing: 0.1, ..OFF });
    assert!((2_500..2_680).contains(&missing.len()), "{}", missing.len());
    // What arrives is what it was.
    let ids: HashSet<_> = usual.iter().map(|event| event.event_id).collect();
    assert!(missing.iter().all(|event| ids.contains(&event.event_id)));

    let doubled = of(Untidy { doubled: 0.1, ..OFF });
    let ids: HashSet<_> = doubled.iter().map(|event| event.event_id).collect();
    assert_eq!(ids.len(), usual.len());
    assert!((3_080..3_260).contains(&doubled.len()), "{}", doubled.len());
}

#[test]
fn what_is_late_comes_in_the_order_it_arrives() {
    let late = of(Untidy { late: 1.0, ..OFF });
    assert_eq!(late.len(), 2_880);
    assert!(late.is_sorted_by_key(|event| event.recv_ts_ms));
    let delay_s = |event: &WireEvent| (event.recv_ts_ms.unwrap() - event.ts_ms) / 1_000;
    let most = late.iter().map(delay_s).max().unwrap();
    assert!((60..=1_210).contains(&most), "{most} s");
    assert!(late.iter().filter(|event| delay_s(event) < 20).count() > 2_000);
}

#[test]
fn clocks_are_off_by_one_to_two_minutes_and_arrivals_are_not() {
    for event in of(Untidy { clocks: 1.0, ..OFF }) {
        let off_s = (event.recv_ts_ms.unwrap() - event.ts_ms) as f64 / 1_000.0;
        assert!((45.0..135.0).contains(&off_s.abs()), "{off_s} s");
    }
}

#[test]
fn throughput_is_measured_now_and_then() {
    let all = of(Untidy { throughput_every: 5, ..OFF });
    let some = all.iter().filter(|event| event.throughput_kbps.is_some());
    assert!((570..=576).contains(&some.count()), "a fifth of 2,880, less what fails");
    assert!(all.iter().all(|e| e.throughput_kbps.is_some() == e.latency.is_some()));
}

#[test]
fn the_older_handshake_takes_another_round_trip() {
    let (new, old) = (of(OFF), of(Untidy { tls12: 1.0, ..OFF }));
    assert!(old.iter().all(|e| e.tls_version.as_deref().is_none_or(|v| v == "1.2")));
    let more = median(&old, |e| e.timings.tls_ms) - median(&new, |e| e.timings.tls_ms);
    let trip = median(&new, |e| e.timings.tcp_ms);
    assert!((0.6 * trip..1.4 * trip).contains(&more), "{more} {trip}");
}

#[test]
fn a_cache_in_the_client_hides_its_resolver() {
    let fault = Fault {
        kind: FaultKind::DnsDelay { add_ms: 500.0 },
        scope: Scope::Global,
        from_minute: 0,
        minutes: 180,
        shape: Shape::Steady,
    };
    let scenario = scenario(Untidy { stub_hits: 0.3, dns_resends: 0.1, ..OFF });
    let all: Vec<_> = events(&scenario.with_fault(fault)).collect();
    let share = |low: f64, high: f64| {
        let within = |e: &&WireEvent| e.timings.dns_ms.is_some_and(|ms| ms >= low && ms < high);
        all.iter().filter(within).count() as f64 / all.len() as f64
    };
    assert!((0.25..0.35).contains(&share(0.0, 2.0)), "{}", share(0.0, 2.0));
    assert!((0.55..0.70).contains(&share(500.0, 1_500.0)));
    // One in ten of those that are asked.
    assert!((0.05..0.09).contains(&share(1_500.0, 9_000.0)), "{}", share(1_500.0, 9_000.0));
}

#[test]
fn a_fault_of_one_address_touches_what_goes_there() {
    let target = scenario(OFF).targets[0].clone();
    let scenario = scenario(Untidy { addresses: 2, ..OFF }).with_fault(Fault {
        kind: FaultKind::Cert,
        scope: Scope::Address { target: target.clone(), nth: 1 },
        from_minute: 0,
        minutes: 180,
        shape: Shape::Steady,
    });
    assert_eq!(scenario.check(), Ok(()));
    let both = addresses(&scenario, &target);
    let mut seen: BTreeMap<_, [u32; 2]> = BTreeMap::new();
    for event in events(&scenario).filter(|event| event.target == target) {
        let Some(address) = event.remote_addr else { continue };
        let expired = event.error_type.as_deref() == Some("tls.cert.date_invalid");
        seen.entry(address).or_default()[usize::from(expired)] += 1;
    }
    let [good, bad] = [&both[0], &both[1]].map(|address| seen[address]);
    assert!(good[0] > 600 && good[1] == 0 && bad[1] > 600 && bad[0] < 10, "{good:?} {bad:?}");
}

#[test]
fn what_comes_and_goes_moves_the_round_trip_and_the_server() {
    let tcp = |e: &WireEvent| e.timings.tcp_ms;
    let slow = |untidy, least: f64| {
        let (usual, all) = (of(OFF), of(untidy));
        let more = usual.iter().zip(&all).filter(|(a, b)| {
            assert_eq!(a.event_id, b.event_id);
            tcp(b).zip(tcp(a)).is_some_and(|(b, a)| b - a > least)
        });
        more.count()
    };
    // A client on Wi-Fi is in a burst for about 28 s of two minutes.
    let bursts = slow(Untidy { wifi_bursts_per_hour: 30.0, ..OFF }, 5.0);
    assert!(bursts > 100 && bursts < 1_200, "{bursts}");
    // A route of 3 to 8 ms more is there for about half of half of the time.
    let routes = slow(Untidy { route_flaps_per_day: 24.0, ..OFF }, 2.9);
    assert!(routes > 200 && routes < 2_000, "{routes}");
    let gaps = slow(Untidy { handovers_per_hour: 30.0, ..OFF }, 900.0);
    assert!(gaps > 0 && gaps < 200, "{gaps}");

    let ttfb = |e: &WireEvent| e.timings.http_ttfb_ms;
    let (usual, weekend) = (of(OFF), of(Untidy { weekend: 0.5, ..OFF }));
    assert!(median(&weekend, ttfb) < 0.85 * median(&usual, ttfb), "it is Saturday");
    let (usual, deploys) = (of(OFF), of(Untidy { deploys_per_day: 12.0, ..OFF }));
    let moved = usual.iter().zip(&deploys).filter(|(a, b)| ttfb(a) != ttfb(b)).count();
    assert!(moved > 500, "{moved}");
}

#[test]
fn servers_are_slow_each_night_and_some_rest_on_saturday() {
    let usual = of(OFF);
    let nightly = of(Untidy { nightly_jobs: 1.0, ..OFF });
    // Minutes of the night in which the server of a target is slower: 40 from about 01:00 on, and none.
    let slower = |target: &str| -> Vec<i64> {
        let both = usual.iter().zip(&nightly).filter(|(a, _)| a.target == target);
        let slower = both.filter(|(a, b)| a.timings.http_ttfb_ms < b.timings.http_ttfb_ms);
        slower.map(|(a, _)| (a.ts_ms - usual[0].ts_ms) / 60_000).collect()
    };
    let first = slower("https://service-1.example/");
    let (from, to) = (first[0], first[first.len() - 1]);
    assert!((60..66).contains(&from) && (38..=40).contains(&(to - from)), "{from} {to}");
    assert!(first.len() > 290, "{}", first.len());
    assert!(slower("https://service-2.example/").is_empty(), "it is Saturday");
}

#[test]
fn a_client_is_given_another_resolver_once() {
    let all = of(Untidy { resolver_changes: 1.0, ..OFF });
    let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in all {
        let Some(resolver) = event.dns_server else { continue };
        assert_eq!(event.labels["resolver"], resolver);
        let asked = asked.entry(event.client_id).or_default();
        if asked.last() != Some(&resolver) {
            asked.push(resolver);
        }
    }
    assert_eq!(asked.values().map(Vec::len).collect::<Vec<_>>(), [2; 4]);
}
