//! The headline over windows: by hand, and the same however the events were split.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

use super::near;
use crate::event::{ClientId, Event, SchemaVersion, Target, Timings};
use crate::score::{Band, Confidence, Limit, Profile, Qoe, Web};
use crate::stage::ErrorStage;
use crate::units::Micros;
use crate::window::Window;

fn event(failure: Option<ErrorStage>, ms: [Option<u64>; 4]) -> Event {
    let [dns, tcp, tls, ttfb] = ms.map(|ms| ms.map(|ms| Micros(ms * 1_000)));
    Event {
        version: SchemaVersion::V1_1,
        id: Uuid::from_u128(1),
        client: ClientId::trusted("c"),
        target: Target::trusted("https://t.example/"),
        ts_ms: 0,
        failure,
        timings: Timings { dns, tcp, tls, ttfb, total: None },
        throughput: None,
        troubled: false,
        gap: None,
        beside: None,
    }
}

fn window<'a>(events: impl IntoIterator<Item = &'a Event>) -> Window {
    let mut window = Window::default();
    events.into_iter().for_each(|event| window.fold(event));
    window
}

fn web(events: &[Event]) -> Qoe {
    Qoe::of(&window(events), &Profile::WEB).unwrap()
}

/// The document's four: 400, 1200 and 1800 ms, and a failure, with connects of `tcp` ms.
fn four(tcp: u64) -> Vec<Event> {
    let waited = |ms: u64| event(None, [None, Some(tcp), None, Some(ms - tcp)]);
    let failed = event(Some(ErrorStage::Tcp), [None; 4]);
    vec![waited(400), waited(1_200), waited(1_800), failed]
}

#[test]
fn the_headline_is_the_lesser_of_two() {
    let good_path = web(&four(20));
    near(good_path.score, 56.25, "web");
    assert_eq!((good_path.band, good_path.limited_by), (Band::Fair, Some(Limit::Failures)));
    assert_eq!((good_path.n, good_path.confidence), (4, Confidence::Low));
    near(good_path.availability.share, 0.75, "availability");

    let far = web(&four(75));
    near(far.score, 50.0, "net");
    assert_eq!((far.limited_by, far.n), (Some(Limit::LatencyP95), 3));
    near(far.parts.web.score, 56.25, "web");
    let net = far.parts.net.unwrap();
    near(net.excess.score, 100.0, "nothing over the quickest");
    assert!(net.throughput.is_none());
}

#[test]
fn what_holds_a_score_down_is_named() {
    let alike = |failure, ms| web(&vec![event(failure, ms); 40]);
    let cases = [
        (alike(None, [Some(1), Some(9), Some(20), Some(90)]), None),
        (alike(None, [Some(1_500), Some(9), Some(20), Some(90)]), Some(Limit::Dns)),
        (alike(None, [Some(1), Some(9), Some(1_500), Some(90)]), Some(Limit::Tls)),
        (alike(None, [Some(1), Some(9), Some(20), Some(1_500)]), Some(Limit::Ttfb)),
        (alike(None, [Some(1), Some(1_500), Some(20), Some(90)]), Some(Limit::LatencyP95)),
        (alike(Some(ErrorStage::Dns), [None; 4]), Some(Limit::Failures)),
    ];
    for (qoe, limit) in cases {
        assert_eq!((qoe.limited_by, qoe.n), (limit, 40), "{qoe:?}");
        assert_eq!(qoe.score < 100.0, limit.is_some());
    }
    let mut events = vec![event(None, [Some(1), Some(9), Some(20), Some(90)]); 99];
    events.push(event(None, [Some(1), Some(1_010), Some(20), Some(90)]));
    let lossy = web(&events);
    let net = lossy.parts.net.unwrap();
    assert_eq!((lossy.limited_by, net.loss.n), (Some(Limit::Loss), 101));
    near(net.loss.ratio, 1.0 / 101.0, "one SYN of 101");
    near(lossy.score, 50.9901, "0.990 % of a range from 0.5 to 1 %, weighted by half");
}

#[test]
fn absent_is_absent_and_not_0() {
    assert_eq!(Qoe::of(&Window::default(), &Profile::WEB), None);
    let aside = Event { troubled: true, ..event(None, [Some(1); 4]) };
    assert_eq!(Qoe::of(&window([&aside]), &Profile::WEB), None, "its probe was in trouble");
    let silent = event(None, [None; 4]);
    assert_eq!(Qoe::of(&window([&silent]), &Profile::WEB), None, "it says nothing of a wait");
    let outage = web(&[event(Some(ErrorStage::Dns), [None; 4])]);
    assert_eq!((outage.score, outage.parts.net), (0.0, None), "nothing is known of the path");
    assert_eq!(outage.rests_on(), ["first_byte"]);
    let transfer = web(&[event(Some(ErrorStage::Throughput), [Some(1); 4])]);
    assert_eq!((transfer.score, transfer.availability.share), (100.0, 1.0), "its page came");
}

#[test]
fn a_rate_counts_where_a_profile_demands_one() {
    let slow = Event {
        throughput: Some(crate::BitsPerSecond(3_000_000)),
        ..event(None, [Some(1), Some(9), Some(20), Some(90)])
    };
    let window = window([&slow]);
    assert_eq!(Qoe::of(&window, &Profile::WEB).unwrap().score, 100.0);
    let demanding = Profile { throughput_bps: Some(4_000_000), ..Profile::WEB };
    let qoe = Qoe::of(&window, &demanding).unwrap();
    assert_eq!((qoe.score, qoe.limited_by), (0.0, Some(Limit::Throughput)));
    assert_eq!(qoe.rests_on(), ["first_byte", "round_trip", "loss_proxy", "throughput"]);
}

#[test]
fn the_names_in_json_stand() {
    let json = serde_json::to_value(web(&four(75))).unwrap();
    assert_eq!(
        (&json["band"], &json["limited_by"], &json["confidence"]),
        (&"fair".into(), &"latency_p95".into(), &"low".into())
    );
    assert_eq!(json["parts"]["net"]["latency"]["p95_ms"], 75.0);
    assert_eq!(json["parts"]["web"]["failed"], 1);
}

fn any_event() -> impl Strategy<Value = Event> {
    let ms = || option::weighted(0.9, 0_u64..2_000);
    let failure = option::weighted(0.2, prop::sample::select(&ErrorStage::ALL[..]));
    (failure, [ms(), ms(), ms(), ms()], prop::bool::weighted(0.1))
        .prop_map(|(failure, ms, troubled)| Event { troubled, ..event(failure, ms) })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merged_windows_have_the_score_of_all_events(
        (events, shuffled) in vec(any_event(), 0..200)
            .prop_flat_map(|v| (Just(v.clone()), Just(v).prop_shuffle())),
        size in 1_usize..80,
    ) {
        let whole = window(&events);
        let mut merged = Window::default();
        for part in shuffled.chunks(size) {
            merged.merge(&window(part));
        }
        for profile in Profile::ALL {
            prop_assert_eq!(Qoe::of(&merged, &profile), Qoe::of(&whole, &profile));
        }
    }

    #[test]
    fn a_web_score_is_the_mean_of_its_events(events in vec(any_event(), 1..200)) {
        let alone: Vec<Web> = events.iter().filter_map(|event| Web::of(&window([event]))).collect();
        let Some(web) = Web::of(&window(&events)) else {
            prop_assert!(alone.is_empty());
            return Ok(());
        };
        prop_assert_eq!(web.n, alone.len() as u64);
        let mean = alone.iter().map(|one| one.score).sum::<f64>() / alone.len() as f64;
        // A bucket's middle is at most 1/128 off, and a wait that much longer costs 0.5 points.
        prop_assert!((web.score - mean).abs() < 0.5, "{} is not {mean}", web.score);
        prop_assert!((0.0..=100.0).contains(&web.score));
    }

    #[test]
    fn every_score_lies_within_its_bounds(events in vec(any_event(), 1..100)) {
        for profile in Profile::ALL {
            let Some(qoe) = Qoe::of(&window(&events), &profile) else { continue };
            prop_assert!((0.0..=100.0).contains(&qoe.score));
            prop_assert!(qoe.score <= qoe.parts.web.score);
            let share = qoe.availability;
            prop_assert!(share.low <= share.share && share.share <= share.high);
            prop_assert_eq!(qoe.limited_by.is_none(), qoe.score == 100.0);
        }
    }
}
