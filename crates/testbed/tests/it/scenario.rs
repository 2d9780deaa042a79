//! Scenarios as data: written, read, and refused.

use testbed::simulate::{
    CellProfile, Climate, Fault, FaultKind, Scenario, ScenarioError, Scope, truths,
};

const START_MS: i64 = 1_700_000_040_000;

fn scenario() -> Scenario {
    let target = "https://127.0.0.1:8443/".to_owned();
    Scenario::fleet(3, 4, 2, START_MS, 600, 6)
        .with_targets(["https://service-1.example/", &target])
        .with_climate(Climate { evening_peak: 0.5, ..Climate::default() })
        .with_profile(CellProfile {
            client: None,
            target,
            dns_ms: None,
            tcp_ms: 0.2,
            tls_ms: Some(1.5),
            ttfb_ms: 0.4,
            throughput_kbps: Some(1e6),
            jitter: 0.1,
        })
        .with_fault(fault(FaultKind::Cert, Scope::Global))
        .random_faults()
}

fn fault(kind: FaultKind, scope: Scope) -> Fault {
    Fault { kind, scope, from_minute: 10, minutes: 10 }
}

#[test]
fn a_scenario_goes_through_json_and_toml() {
    let scenario = scenario();
    assert_eq!(scenario.check(), Ok(()));
    let json = serde_json::to_string(&scenario).unwrap();
    assert_eq!(serde_json::from_str::<Scenario>(&json).unwrap(), scenario);
    let toml = toml::to_string(&scenario).unwrap();
    assert_eq!(toml::from_str::<Scenario>(&toml).unwrap(), scenario);
}

/// What a person would write by hand.
const BY_HAND: &str = r#"
seed = 7
start_ms = 1700000040000
minutes = 60
per_minute = 6
targets = ["https://shop.example/"]

[[clients]]
id = "a"
site = "lisbon"
isp = "one"
resolver = "192.0.2.53"

[[faults]]
kind = { dns_delay = { add_ms = 200 } }
scope = { resolver = "192.0.2.53" }
from_minute = 30
minutes = 12

[[faults]]
kind = "cert"
scope = "global"
from_minute = 45
minutes = 5
"#;

#[test]
fn a_person_can_write_one() {
    let scenario: Scenario = toml::from_str(BY_HAND).unwrap();
    assert_eq!(scenario.check(), Ok(()));
    assert_eq!(scenario.faults[0].kind, FaultKind::DnsDelay { add_ms: 200.0 });
    assert_eq!(scenario.faults[1].scope, Scope::Global);
    assert_eq!(scenario.climate, Climate::default());
}

#[test]
fn unknown_keys_are_refused_by_name() {
    for (known, unknown) in [
        ("minutes = 60", "minutes = 60\nspeed = 1"),
        ("site = \"lisbon\"", "site = \"lisbon\"\nspeed = 1"),
        ("add_ms = 200", "add_ms = 200, speed = 1"),
        ("from_minute = 30", "from_minute = 30\nspeed = 1"),
    ] {
        let text = BY_HAND.replacen(known, unknown, 1);
        let error = toml::from_str::<Scenario>(&text).unwrap_err().to_string();
        assert!(error.contains("speed"), "{error}");
    }
}

#[test]
fn what_makes_no_sense_is_said() {
    type Break = fn(&mut Scenario);
    let cases: [(Break, &str); 15] = [
        (|s| s.per_minute = 0, "per_minute is 0, not 1 to 6000"),
        (|s| s.start_ms = -1, "start_ms or its end is out of range"),
        (|s| s.start_ms = i64::MIN, "start_ms or its end is out of range"),
        (|s| s.start_ms = i64::MAX, "start_ms or its end is out of range"),
        (|s| s.clients[1].id = s.clients[0].id.clone(), "client \"sim-0001\" is named twice"),
        (
            |s| s.targets[1] = s.targets[0].clone(),
            "target \"https://service-1.example/\" is named twice",
        ),
        (|s| s.targets[0] = "shop".into(), "target \"shop\" is not an absolute http or https URL"),
        (
            |s| s.targets[0] = "ftp://shop/".into(),
            "target \"ftp://shop/\" is not an absolute http or https URL",
        ),
        (|s| s.climate.noise = f64::NAN, "climate: noise is out of range"),
        (
            |s| s.profiles[0].target = "https://other/".into(),
            "profile 0: no cell has its client and target",
        ),
        (|s| s.profiles[0].tcp_ms = -1.0, "profile 0: tcp_ms is out of range"),
        (
            |s| s.faults[0].scope = Scope::Site("x".into()),
            "fault 0 (cert): its scope holds no cell",
        ),
        (
            |s| s.faults[0].minutes = 0,
            "fault 0 (cert): lasts from minute 10 to 10, the scenario 600 minutes",
        ),
        (
            |s| s.faults[0].from_minute = u32::MAX,
            "fault 0 (cert): lasts from minute 4294967295 to 4294967305, the scenario 600 minutes",
        ),
        (
            |s| s.faults[0].kind = FaultKind::Loss { share: 1.5 },
            "fault 0 (loss): a magnitude is out of range",
        ),
    ];
    for (break_it, expected) in cases {
        let mut scenario = scenario();
        break_it(&mut scenario);
        assert_eq!(scenario.check().unwrap_err().to_string(), expected);
        // And is simulated as far as it goes, without a panic.
        scenario.minutes = 20;
        _ = (testbed::simulate::events(&scenario).count(), truths(&scenario));
    }
}

#[test]
fn a_fault_of_a_stage_that_is_not_there_is_for_nobody() {
    let mut scenario =
        Scenario::fleet(3, 2, 1, START_MS, 60, 6).with_targets(["http://192.0.2.1/"]);
    let without = testbed::simulate::events(&scenario).collect::<Vec<_>>();
    assert!(without.iter().all(|e| e.timings.dns_ms.is_none() && e.timings.tls_ms.is_none()));
    for kind in [FaultKind::DnsDelay { add_ms: 100.0 }, FaultKind::Cert] {
        scenario.faults = vec![fault(kind, Scope::Global)];
        assert_eq!(scenario.check(), Err(ScenarioError::FaultForNobody(0, kind.name())));
        assert_eq!(truths(&scenario)[0].cells, []);
        assert_eq!(testbed::simulate::events(&scenario).collect::<Vec<_>>(), without);
    }
}

#[test]
fn random_faults_follow_each_other_and_every_kind_comes_once_before_any_comes_again() {
    let scenario = Scenario::fleet(3, 8, 6, START_MS, 2_000, 6).random_faults();
    assert_eq!(scenario.check(), Ok(()));
    let mut end = 0;
    for fault in &scenario.faults {
        assert!((20..=35).contains(&(fault.from_minute - end)), "{fault:?}");
        assert!((8..=20).contains(&fault.minutes), "{fault:?}");
        end = fault.from_minute + fault.minutes;
    }
    assert!(scenario.minutes - end < 35 + 20);
    for kinds in scenario.faults.chunks_exact(13) {
        let kinds: std::collections::BTreeSet<_> = kinds.iter().map(|f| f.kind.name()).collect();
        assert_eq!(kinds.len(), 13);
    }
    assert_eq!(
        scenario.faults,
        Scenario::fleet(3, 8, 6, START_MS, 2_000, 1).random_faults().faults
    );
    assert_ne!(
        scenario.faults,
        Scenario::fleet(4, 8, 6, START_MS, 2_000, 6).random_faults().faults
    );
}
