//! The fleet simulator against what it promises.

use std::collections::{BTreeMap, HashSet};

use model::decode::{Limits, Media, decode};
use model::wire::WireEvent;
use model::{ErrorStage, Minute};
use sha2::{Digest, Sha256};
use testbed::load::write_ndjson;
use testbed::simulate::{
    CellProfile, Climate, Fault, FaultKind, Scenario, Scope, Truth, events, truths,
};

const START_MS: i64 = 1_700_000_040_000;

fn fleet() -> Scenario {
    Scenario::fleet(3, 8, 6, START_MS, 60, 6)
}

fn digest(scenario: &Scenario) -> String {
    let mut lines = Vec::new();
    write_ndjson(&mut lines, events(scenario)).unwrap();
    Sha256::digest(&lines).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_seed_gives_the_same_bytes_everywhere() {
    // Changes only with the model itself: say so in the changelog, for it makes other fleets of
    // the seeds that people have noted.
    assert_eq!(digest(&fleet().random_faults()), "b5181193ad9840f6");
    assert_ne!(digest(&Scenario { seed: 4, ..fleet() }), digest(&fleet()));
}

#[test]
fn events_are_ordered_by_time_and_every_cell_has_its_number_in_each_window() {
    let scenario = fleet();
    let sent: Vec<_> = events(&scenario).collect();
    assert_eq!(sent.len() as u64, scenario.len());
    assert!(sent.is_sorted_by_key(|event| event.ts_ms));
    let mut windows: BTreeMap<(Minute, &str, &str), u32> = BTreeMap::new();
    for event in &sent {
        let cell = (Minute::of_ms(event.ts_ms), event.client_id.as_str(), event.target.as_str());
        *windows.entry(cell).or_default() += 1;
    }
    assert_eq!(windows.len(), 60 * 48);
    assert!(windows.values().all(|n| *n == 6));
    assert_eq!(windows.keys().next().unwrap().0, Minute::of_ms(START_MS));
    let jittered: HashSet<_> = sent.iter().map(|event| event.ts_ms % 10_000).collect();
    assert!(jittered.len() > 5_000, "{}", jittered.len());
}

#[test]
fn ids_are_unique_and_carry_the_time() {
    let ids: HashSet<_> = events(&fleet())
        .map(|event| {
            assert_eq!(event.event_id.get_version_num(), 7);
            let stamp = event.event_id.get_timestamp().unwrap().to_unix();
            let ms = stamp.0 as i64 * 1000 + i64::from(stamp.1) / 1_000_000;
            assert_eq!(ms, event.ts_ms);
            event.event_id
        })
        .collect();
    assert_eq!(ids.len() as u64, fleet().len());
}

#[test]
fn length_costs_nothing_until_it_is_reached() {
    let endless = Scenario { minutes: u32::MAX, ..fleet() };
    assert_eq!(events(&endless).size_hint().0 as u64, endless.len());
    let first: Vec<_> = events(&endless).take(1_000).collect();
    assert_eq!(first, events(&fleet()).take(1_000).collect::<Vec<_>>());
}

#[test]
fn another_client_or_target_changes_nothing_about_the_others() {
    let larger = Scenario::fleet(3, 8, 9, START_MS, 20, 6);
    let mut smaller = Scenario { minutes: 20, ..fleet() };
    let clients = smaller.clients.split_off(5);
    let of_smaller = |event: &WireEvent| {
        smaller.targets.contains(&event.target)
            && !clients.iter().any(|client| client.id == event.client_id)
    };
    let expected: Vec<_> = events(&larger).filter(of_smaller).collect();
    assert_eq!(events(&smaller).collect::<Vec<_>>(), expected);
}

#[test]
fn the_contract_accepts_every_event() {
    let scenario = fleet().random_faults().with_fault(Fault {
        kind: FaultKind::Cert,
        scope: Scope::Global,
        from_minute: 50,
        minutes: 2,
    });
    let sent: Vec<_> = events(&scenario).collect();
    for batch in sent.chunks(5_000) {
        let mut lines = Vec::new();
        write_ndjson(&mut lines, batch.iter().cloned()).unwrap();
        let decoded = decode(&lines, Media::Ndjson, scenario.end_ms(), &Limits::default()).unwrap();
        assert_eq!(decoded.rejected, []);
        assert_eq!(decoded.events.len(), batch.len());
        for ((_, event), sent) in decoded.events.iter().zip(batch) {
            assert_eq!((event.id, event.ts_ms), (sent.event_id, sent.ts_ms));
            assert_eq!(event.failure, sent.error_stage);
            let total = event.timings.total.map(model::Micros::as_ms);
            assert_eq!(total, sent.timings.total_ms, "whole microseconds survive");
        }
    }
}

/// Of each stage that has a value.
fn medians(sent: &[WireEvent]) -> [f64; 5] {
    let median = |value: fn(&WireEvent) -> Option<f64>| {
        let mut values: Vec<f64> = sent.iter().filter_map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    [
        median(|e| e.timings.dns_ms),
        median(|e| e.timings.tcp_ms),
        median(|e| e.timings.tls_ms),
        median(|e| e.timings.http_ttfb_ms),
        median(|e| e.throughput_kbps),
    ]
}

#[test]
fn without_faults_each_stage_is_near_the_median_of_its_model() {
    // Many of each, as a median of eight lines says little about the model.
    let sent: Vec<_> = events(&Scenario::fleet(11, 200, 40, START_MS, 3, 2)).collect();
    // Access 12 and resolver 3 and 0.8; access and core 18 and jitter 1.2; handshake 3; server 60.
    let model = [16.0, 33.0, 37.0, 96.0, 80_000.0];
    for (measured, expected) in medians(&sent).into_iter().zip(model) {
        let factor = measured / expected;
        assert!((0.7..1.5).contains(&factor), "{measured} for {expected}");
    }
    let failed = sent.iter().filter(|event| event.error_stage.is_some()).count();
    let share = failed as f64 / sent.len() as f64;
    // Five stages at 0.04 to 0.06 %, and a few connections that met too many lost SYNs.
    assert!((0.001..0.005).contains(&share), "{share}");
    let spread: HashSet<_> = sent.iter().filter_map(|event| event.error_stage).collect();
    assert!(spread.len() >= 5, "{spread:?}");
}

#[test]
fn a_given_profile_gives_its_medians_and_nothing_else() {
    let target = "https://localhost:8443/";
    let profile = CellProfile {
        client: Some("sim-0001".into()),
        target: target.into(),
        dns_ms: Some(0.3),
        tcp_ms: 0.1,
        tls_ms: Some(1.2),
        ttfb_ms: 0.5,
        throughput_kbps: Some(2e6),
        jitter: 0.1,
    };
    let mut scenario =
        Scenario::fleet(5, 2, 1, START_MS, 60, 20).with_targets([target]).with_profile(profile);
    let of = |scenario: &Scenario, client: &str| -> Vec<WireEvent> {
        events(scenario).filter(|event| event.client_id == client).collect()
    };
    let given = of(&scenario, "sim-0001");
    assert!(given.iter().all(|event| event.error_stage.is_none()));
    for (measured, median) in medians(&given).into_iter().zip([0.3, 0.1, 1.2, 0.5, 2e6]) {
        assert!((measured / median - 1.0).abs() < 0.02, "{measured} for {median}");
    }
    assert!(medians(&of(&scenario, "sim-0002"))[1] > 1.0, "the others are drawn");
    scenario.profiles[0].tls_ms = None;
    scenario.profiles[0].throughput_kbps = None;
    let bare = of(&scenario, "sim-0001");
    assert!(bare.iter().all(|e| e.timings.tls_ms.is_none() && e.throughput_kbps.is_none()));
}

#[test]
fn the_climate_moves_everyone_slowly() {
    let medians_in = |climate, hour: i64| {
        let start = START_MS - START_MS % 86_400_000 + hour * 3_600_000;
        medians(&events(&Scenario { start_ms: start, climate, ..fleet() }).collect::<Vec<_>>())
    };
    let climate = Climate { evening_peak: 0.6, ..Climate::default() };
    let (noon, evening) = (medians_in(climate, 10), medians_in(climate, 20));
    assert!((1.3..1.7).contains(&(evening[1] / noon[1])), "{noon:?} {evening:?}");
    assert!(evening[4] < noon[4] * 0.95);
    let drift = Climate { drift_per_hour: 0.5, ..Climate::default() };
    let (calm, drifting) = (medians_in(Climate::default(), 10), medians_in(drift, 10));
    assert!((1.1..1.4).contains(&(drifting[3] / calm[3])), "{calm:?} {drifting:?}");
}

/// Whether the events of the cells it touches show a fault, given them without it and with it.
type Effect = fn(&[WireEvent], &[WireEvent]) -> bool;

/// Faults of every kind.
fn kinds() -> [(FaultKind, Changes, Effect); 13] {
    use FaultKind as K;
    [
        (K::DnsDelay { add_ms: 200.0 }, Changes::Dns, |a, b| shifted(a, b, [200.0, 0.0, 0.0, 0.0])),
        (K::PathDelay { add_ms: 80.0 }, Changes::Path, |a, b| {
            shifted(a, b, [0.0, 80.0, 80.0, 80.0])
        }),
        (K::TlsDelay { add_ms: 90.0 }, Changes::Tls, |a, b| shifted(a, b, [0.0, 0.0, 90.0, 0.0])),
        (K::ServerDelay { add_ms: 300.0 }, Changes::Ttfb, |a, b| {
            shifted(a, b, [0.0, 0.0, 0.0, 300.0])
        }),
        (K::ServerTail { share: 0.3, from_ms: 500.0, to_ms: 2000.0 }, Changes::Ttfb, |_, b| {
            near(share(b, |e| e.timings.http_ttfb_ms > Some(500.0)), 0.3)
        }),
        (K::SynLoss { share: 0.4 }, Changes::Tcp, |_, b| {
            near(share(b, |e| e.timings.tcp_ms.is_none_or(|ms| ms > 1_000.0)), 0.4)
        }),
        (K::SlowDrip { factor: 0.3 }, Changes::Rate, |a, b| {
            near(medians(b)[4] / medians(a)[4], 0.3)
        }),
        (K::RateLimit { factor: 0.3 }, Changes::Rate, |a, b| medians(b)[4] < 0.4 * medians(a)[4]),
        (K::Loss { share: 0.04 }, Changes::Path, |a, b| medians(b)[4] < 0.7 * medians(a)[4]),
        (K::DnsServfail { share: 0.8 }, Changes::Fails, |_, b| fails(b, ErrorStage::Dns, 0.8)),
        (K::OutageTcp { share: 0.7 }, Changes::Fails, |_, b| fails(b, ErrorStage::Tcp, 0.7)),
        (K::Http5xx { share: 0.6 }, Changes::Fails, |_, b| fails(b, ErrorStage::Http, 0.6)),
        (K::Cert, Changes::Fails, |_, b| fails(b, ErrorStage::Tls, 1.0)),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Changes {
    Dns,
    Tcp,
    Path,
    Tls,
    Ttfb,
    Rate,
    Fails,
}

/// The median of each stage is up by this much, where it is not 0 exactly.
fn shifted(before: &[WireEvent], after: &[WireEvent], by_ms: [f64; 4]) -> bool {
    let (before, after) = (medians(before), medians(after));
    (0..4).all(|i| (after[i] - before[i] - by_ms[i]).abs() < 0.002)
}

fn share(sent: &[WireEvent], what: impl Fn(&WireEvent) -> bool) -> f64 {
    sent.iter().filter(|event| what(event)).count() as f64 / sent.len() as f64
}

fn fails(sent: &[WireEvent], stage: ErrorStage, expected: f64) -> bool {
    near(share(sent, |event| event.error_stage == Some(stage)), expected)
}

/// Of some 500 samples.
fn near(measured: f64, expected: f64) -> bool {
    (measured - expected).abs() < 0.08
}

fn touched(truth: &Truth, event: &WireEvent) -> bool {
    (truth.from_ms..truth.to_ms).contains(&event.ts_ms)
        && truth
            .cells
            .iter()
            .any(|(client, target)| *client == event.client_id && *target == event.target)
}

#[test]
fn each_fault_changes_what_it_breaks_in_its_cells_and_time_and_nothing_else() {
    let quiet = fleet();
    let before: Vec<_> = events(&quiet).collect();
    let client = &quiet.clients[2];
    let scopes = [
        (Scope::Global, 48),
        (Scope::Site(client.site.clone()), 12),
        (Scope::Isp(client.isp.clone()), 24),
        (Scope::Resolver(client.resolver.clone()), 12),
        (Scope::Client(client.id.clone()), 6),
        (Scope::Target(quiet.targets[1].clone()), 8),
        (Scope::Cell { client: client.id.clone(), target: quiet.targets[1].clone() }, 1),
    ];
    for (i, (kind, changes, effect)) in kinds().into_iter().enumerate() {
        let (scope, cells) = scopes[i % scopes.len()].clone();
        // Long enough for some 500 samples of the smallest scope.
        let (from_minute, minutes) = (8, 48);
        let fault = Fault { kind, scope, from_minute, minutes };
        let broken = quiet.clone().with_fault(fault);
        let truth = &truths(&broken)[0];
        assert_eq!(truth.cells.len(), cells, "{kind:?}");
        assert_eq!(truth.from_ms, START_MS + 8 * 60_000);
        assert_eq!(truth.to_ms, START_MS + 56 * 60_000);
        assert_eq!(truth.kind, kind.name());

        let (mut was, mut is) = (Vec::new(), Vec::new());
        for (before, after) in before.iter().zip(events(&broken)) {
            if touched(truth, before) {
                untouched_stages(changes, before, &after);
                was.push(before.clone());
                is.push(after);
            } else {
                assert_eq!(*before, after, "{kind:?}");
            }
        }
        assert_eq!(was.len(), cells * 48 * 6);
        assert!(effect(&was, &is), "{kind:?}: {:?} {:?}", medians(&was), medians(&is));
    }
}

/// Whatever is measured in both is equal where the fault has no business.
fn untouched_stages(changes: Changes, before: &WireEvent, after: &WireEvent) {
    let same = |of: fn(&WireEvent) -> Option<f64>| {
        let (a, b) = (of(before), of(after));
        assert!(a.is_none() || b.is_none() || a == b, "{changes:?}: {before:?} {after:?}");
    };
    if changes != Changes::Dns {
        same(|e| e.timings.dns_ms);
    }
    if !matches!(changes, Changes::Tcp | Changes::Path) {
        same(|e| e.timings.tcp_ms);
    }
    if !matches!(changes, Changes::Tls | Changes::Path) {
        same(|e| e.timings.tls_ms);
    }
    if !matches!(changes, Changes::Ttfb | Changes::Path) {
        same(|e| e.timings.http_ttfb_ms);
    }
    if !matches!(changes, Changes::Rate | Changes::Path) {
        same(|e| e.throughput_kbps);
    }
    if !matches!(changes, Changes::Fails | Changes::Tcp) {
        assert_eq!(before.error_stage, after.error_stage, "{changes:?}");
    }
    let place = |e: &WireEvent| (e.event_id, e.ts_ms, e.client_id.clone(), e.target.clone());
    assert_eq!(place(before), place(after));
}

#[test]
fn labels_are_the_classic_ones_and_absent_below_their_floors() {
    use FaultKind as K;
    let label = |kind: FaultKind| kind.label().map(|label| label.to_string());
    for (kind, expected) in [
        (K::DnsDelay { add_ms: 60.0 }, Some("dns-bound")),
        (K::DnsDelay { add_ms: 14.0 }, None),
        (K::PathDelay { add_ms: 25.0 }, Some("handshake-bound")),
        (K::PathDelay { add_ms: 9.0 }, None),
        (K::TlsDelay { add_ms: 60.0 }, Some("handshake-bound")),
        (K::SynLoss { share: 0.15 }, Some("handshake-bound")),
        (K::ServerDelay { add_ms: 120.0 }, Some("server-bound")),
        (K::ServerDelay { add_ms: 29.0 }, None),
        (K::ServerTail { share: 0.3, from_ms: 500.0, to_ms: 2e3 }, Some("server-bound")),
        (K::SlowDrip { factor: 0.5 }, Some("throughput-bound")),
        (K::RateLimit { factor: 0.8 }, None),
        (K::Loss { share: 0.02 }, Some("throughput-bound")),
        (K::DnsServfail { share: 0.5 }, Some("outage:dns")),
        (K::OutageTcp { share: 1.0 }, Some("outage:tcp")),
        (K::Cert, Some("outage:tls")),
        (K::Http5xx { share: 0.9 }, Some("outage:http")),
        (K::Http5xx { share: 0.3 }, None),
    ] {
        assert_eq!(label(kind).as_deref(), expected, "{kind:?}");
    }
}

#[test]
fn truths_go_through_json() {
    let truths = truths(&fleet().random_faults());
    assert!(!truths.is_empty());
    let json = serde_json::to_string(&truths).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Truth>>(&json).unwrap(), truths);
}
