//! The whole way without a network: simulated events, windows, the diagnosis of this issue, and
//! the score of what it told.

use std::collections::BTreeMap;

use model::Minute;
use model::decode::{Limits, Media, decode};
use model::diagnosis::{CellWindow, diagnose, runs};
use model::window::Window;
use testbed::load::write_ndjson;
use testbed::score::{Observed, Score, Told, score};
use testbed::simulate::{Fault, FaultKind, Scenario, Scope, events, truths};

/// What the classic rules tell of a scenario, scored.
fn scored(scenario: &Scenario) -> Score {
    let now = scenario.end_ms() + 600_000;
    let mut cells: BTreeMap<(String, String), BTreeMap<Minute, Window>> = BTreeMap::new();
    let mut sent = events(scenario);
    loop {
        let mut lines = Vec::new();
        if write_ndjson(&mut lines, sent.by_ref().take(10_000)).unwrap() == 0 {
            break;
        }
        let limits = Limits { max_age_ms: i64::MAX, ..Limits::default() };
        for (_, event) in decode(&lines, Media::Ndjson, now, &limits).unwrap().events {
            let cell = (event.client.as_str().to_owned(), event.target.as_str().to_owned());
            let windows = cells.entry(cell).or_default();
            windows.entry(event.minute()).or_default().fold(&event);
        }
    }
    let mut told = Vec::new();
    for ((client, target), windows) in cells {
        let windows: Vec<_> =
            windows.into_iter().map(|(start, window)| CellWindow { start, window }).collect();
        told.extend(runs(&diagnose(&windows, now)).into_iter().map(|run| Told {
            client: client.clone(),
            target: target.clone(),
            label: run.label,
            from_ms: run.since.start_ms(),
            to_ms: run.last.end_ms(),
        }));
    }
    score(&truths(scenario), &told, &Observed::of(scenario))
}

/// The history that a demonstration shows: one loud fault of each label, on all clients.
#[test]
fn loud_faults_are_named_and_scored_so() {
    let target = "https://service-1.example/";
    let kinds = [
        FaultKind::DnsDelay { add_ms: 200.0 },
        FaultKind::TlsDelay { add_ms: 200.0 },
        FaultKind::ServerDelay { add_ms: 600.0 },
        FaultKind::SlowDrip { factor: 0.1 },
        FaultKind::OutageTcp { share: 1.0 },
        FaultKind::Cert,
    ];
    let mut scenario = Scenario::fleet(3, 4, 1, 1_700_000_040_000, 240, 10);
    scenario = (0..).zip(kinds).fold(scenario, |scenario, (i, kind)| {
        let scope = Scope::Target(target.into());
        scenario.with_fault(Fault { kind, scope, from_minute: 40 + 32 * i, minutes: 10 })
    });
    assert_eq!(scenario.check(), Ok(()));
    let score = scored(&scenario);
    assert_eq!(score.recall, Some(1.0), "{}", score.table());
    assert!(score.precision > Some(0.8), "{}", score.table());
}
