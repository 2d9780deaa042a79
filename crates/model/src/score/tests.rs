//! Every formula against numbers that were computed by others, or by hand.

mod merging;

use std::time::Duration;

use super::aim::{self, Aim, Inputs};
use super::bloat::{self, Grade};
use super::qoo::{self, Qoo, Range};
use super::rpm::{self, Terms, trimmed_mean};
use super::voice::{Voice, mos, one_way_ms};
use super::*;
use crate::sketch::Sketch;
use crate::units::Micros;

fn near(got: f64, expected: f64, what: &str) {
    // The references are rounded in their last digit.
    let digits = expected.to_string().split_once('.').map_or(0, |(_, digits)| digits.len());
    let last = 10_f64.powi(-i32::try_from(digits.max(2)).unwrap());
    assert!((got - expected).abs() < 0.51 * last, "{what}: {got} is not {expected}");
}

#[test]
fn a_wait_is_worth_less_the_longer_it_is() {
    for (ms, u) in [
        (0.0, 1.0),
        (100.0, 1.0),
        (800.0, 1.0),
        (1_000.0, 0.8624),
        (1_200.0, 0.75),
        (1_800.0, 0.5),
        (2_500.0, 0.2975),
        (4_050.0, 0.0),
        (9_000.0, 0.0),
        (f64::INFINITY, 0.0),
        (f64::NAN, 0.0),
    ] {
        near(web::utility(ms), u, &format!("{ms} ms"));
    }
}

#[test]
fn the_quality_of_outcome_is_the_drafts() {
    let range = |perfect, unacceptable| Range { perfect, unacceptable };
    let drafts = |mbps: f64| Qoo {
        latency: qoo::latency([
            (range(200.0, 500.0), Some(350.0)),
            (range(300.0, 600.0), Some(375.0)),
        ]),
        loss: Some(range(1.0, 5.0).score(2.0)),
        throughput: Some(qoo::throughput(4.0, mbps)),
    };
    let web = |p95, percent, confidence| Qoo {
        latency: qoo::latency([(Profile::WEB.latency_p95_ms, Some(p95))]),
        loss: Some(qoo::weighted(Profile::WEB.loss_percent.score(percent), confidence)),
        throughput: None,
    };
    for (what, qoo, parts, score) in [
        ("the draft's example", drafts(28.0), [50.0, 75.0, 100.0], 50.0),
        ("3 Mbit/s", drafts(3.0), [50.0, 75.0, 0.0], 0.0),
        ("p95 of 75 ms", web(75.0, 0.0, 1.0), [50.0, 100.0, 100.0], 50.0),
        ("loss of 0.75 %", web(40.0, 0.75, 1.0), [100.0, 50.0, 100.0], 50.0),
        ("the same by a proxy", web(40.0, 0.75, 0.5), [100.0, 75.0, 100.0], 75.0),
    ] {
        let got = [qoo.latency.unwrap(), qoo.loss.unwrap(), qoo.throughput.unwrap_or(100.0)];
        for (got, expected) in got.into_iter().zip(parts) {
            near(got, expected, what);
        }
        near(qoo.score().unwrap(), score, what);
    }
}

#[test]
fn the_edges_of_a_quality_of_outcome() {
    let range = |perfect, unacceptable| Range { perfect, unacceptable };
    for (range, measured, score) in [
        (range(50.0, 100.0), 0.0, 100.0),
        (range(50.0, 100.0), 1e9, 0.0),
        (range(50.0, 100.0), f64::NAN, 0.0),
        (range(50.0, 100.0), f64::INFINITY, 0.0),
        (range(f64::NAN, 100.0), 1.0, 0.0),
        (range(50.0, f64::INFINITY), 1.0, 0.0),
        // A range without length, or upside down, is a step.
        (range(50.0, 50.0), 50.0, 100.0),
        (range(50.0, 50.0), 50.1, 0.0),
        (range(50.0, 10.0), 20.0, 100.0),
    ] {
        near(range.score(measured), score, &format!("{measured} of {range:?}"));
    }
    assert_eq!(qoo::latency([]), None);
    assert_eq!(qoo::latency([(range(1.0, 2.0), Some(1.0)), (range(1.0, 2.0), None)]), None);
    near(qoo::weighted(40.0, 7.0), 40.0, "a proxy is worth a measurement at most");
    near(qoo::weighted(40.0, f64::NAN), 0.0, "no confidence");
    let of = |latency, loss, throughput| Qoo { latency, loss, throughput }.score();
    assert_eq!(of(None, Some(100.0), Some(100.0)), None);
    assert_eq!(of(Some(100.0), None, None), None, "a latency alone is no outcome");
    assert_eq!(of(Some(90.0), None, Some(100.0)), Some(90.0));
}

#[test]
fn profiles_are_known_by_name() {
    for profile in Profile::ALL {
        assert_eq!(Profile::from_name(profile.name), Some(profile));
    }
    assert_eq!(Profile::from_name("Web"), None);
    near(Profile::BACKUP.latency_p95_ms.score(125.0), 50.0, "backup");
    near(Profile::CONFERENCING.loss_percent.score(0.3), 50.0, "conferencing");
    near(Profile::STREAMING.loss_percent.score(0.55), 50.0, "streaming");
    near(Profile::GAMING.loss_percent.score(0.75), 50.0, "gaming");
}

#[test]
fn badges_are_given_by_points() {
    use aim::Class::{Average, Bad, Good, Great, Poor};
    for ([latency, loss, jitter, download, loaded], expected) in [
        ([9.0, 0.0, 2.0, 200e6, 4.0], [(80, Great), (50, Great), (60, Great)]),
        ([25.0, 0.0, 5.0, 60e6, 30.0], [(40, Good), (20, Average), (30, Good)]),
        ([25.0, 0.02, 12.0, 60e6, 150.0], [(20, Average), (0, Bad), (5, Poor)]),
        ([60.0, 0.06, 25.0, 8e6, 600.0], [(0, Bad), (0, Bad), (0, Bad)]),
        ([15.0, 0.0, 3.0, 120e6, 15.0], [(60, Great), (30, Great), (40, Great)]),
    ] {
        let aim = Aim::of(&Inputs {
            latency_ms: Some(latency),
            loss_ratio: Some(loss),
            jitter_ms: Some(jitter),
            download_bps: Some(download),
            loaded_increase_ms: Some(loaded),
        });
        let got = [aim.streaming, aim.gaming, aim.rtc].map(Option::unwrap);
        assert_eq!(got.map(|one| (one.points, one.class)), expected, "{latency} ms");
    }
}

#[test]
fn a_badge_without_its_input_is_absent() {
    let all = Inputs {
        latency_ms: Some(25.0),
        loss_ratio: None,
        jitter_ms: Some(5.0),
        download_bps: Some(60e6),
        loaded_increase_ms: Some(30.0),
    };
    let there = |inputs| {
        let Aim { streaming, gaming, rtc } = Aim::of(&inputs);
        [streaming.is_some(), gaming.is_some(), rtc.is_some()]
    };
    let lossless = Aim::of(&all).gaming.unwrap();
    assert_eq!((there(all), lossless.points), ([true; 3], 10), "loss alone may be missing");
    assert_eq!(there(Inputs { latency_ms: None, ..all }), [false; 3]);
    assert_eq!(there(Inputs { loaded_increase_ms: Some(f64::NAN), ..all }), [false; 3]);
    assert_eq!(there(Inputs { jitter_ms: None, ..all }), [true, true, false]);
    assert_eq!(there(Inputs { download_bps: None, ..all }), [false, true, true]);
    let json = serde_json::to_value(Aim::of(&Inputs { download_bps: None, ..all })).unwrap();
    assert_eq!(json["rtc"], serde_json::json!({"points": 20, "class": "average"}));
    assert!(json.get("streaming").is_none());
}

#[test]
fn round_trips_a_minute_are_the_drafts() {
    use rpm::Class::{Excellent, Fair, Good, Poor};
    let ms = Duration::from_millis;
    for ([tcp, http, loaded], tls, [foreign, under_load, rpm], class) in [
        ([40, 50, 60], Some(45), [1333.3333, 1000.0, 1166.6667], Good),
        ([20, 20, 20], Some(20), [3000.0, 3000.0, 3000.0], Good),
        ([200, 220, 400], Some(210), [285.7143, 150.0, 217.8571], Poor),
        ([40, 50, 60], None, [1333.3333, 1000.0, 1166.6667], Good),
    ] {
        let terms = Terms { tcp: ms(tcp), tls: tls.map(ms), http: ms(http), loaded: ms(loaded) };
        near(terms.foreign().unwrap(), foreign, "F");
        near(terms.loaded().unwrap(), under_load, "L");
        near(terms.rpm().unwrap(), rpm, "RPM");
        assert_eq!(rpm::Class::of(terms.rpm().unwrap()), Some(class));
    }
    let none = Terms { tcp: ms(1), tls: None, http: ms(1), loaded: ms(0) };
    assert_eq!(none.rpm(), None, "no number of nothing");
    for (rpm, class) in
        [(299.9, Poor), (300.0, Fair), (999.9, Fair), (1e3, Good), (5999.9, Good), (6e3, Excellent)]
    {
        assert_eq!(rpm::Class::of(rpm), Some(class), "{rpm}");
    }
    assert_eq!(rpm::Class::of(f64::NAN), None);
}

#[test]
fn the_slowest_twentieth_is_left_out() {
    let ms = Duration::from_millis;
    let samples: Vec<_> = (1..=20).map(ms).collect();
    assert_eq!(trimmed_mean(&samples), Some(ms(10)));
    assert_eq!(trimmed_mean(&[ms(7)]), Some(ms(7)));
    assert_eq!(trimmed_mean(&[]), None);
}

#[test]
fn a_call_is_estimated_by_the_standard() {
    for (r, expected) in [
        (93.2, 4.409),
        (80.0, 4.024),
        (70.0, 3.597),
        (60.0, 3.1),
        (50.0, 2.575),
        (-3.0, 1.0),
        (101.0, 4.5),
    ] {
        near(mos(r), expected, &format!("R {r}"));
    }
    for (one_way, loss, r, mos) in [
        (44.0, 0.0, 93.2, 4.4093),
        (110.0, 0.5, 91.3445, 4.3705),
        (210.0, 3.0, 78.9508, 3.9837),
        (390.0, 1.0, 66.2833, 3.4182),
    ] {
        let voice = Voice::of(one_way, loss).unwrap();
        near(voice.r, r, &format!("{one_way} ms"));
        near(voice.mos, mos, &format!("{one_way} ms"));
        assert!(voice.estimate);
    }
    near(one_way_ms(100.0, 5.0), 90.0, "half the round trip, jitter twice, 30 ms");
    for (one_way, loss) in [(f64::NAN, 0.0), (-1.0, 0.0), (10.0, f64::NAN), (10.0, 101.0)] {
        assert_eq!(Voice::of(one_way, loss), None);
    }
}

#[test]
fn apdex_by_hand() {
    let mut total = Sketch::new();
    [100, 300, 500, 600, 1_900, 2_100].iter().for_each(|ms| total.insert(ms * 1_000));
    let at = |failed| apdex::apdex(&total, failed, Micros(500_000)).unwrap();
    near(at(0), 0.6667, "none failed");
    near(at(2), 0.5, "two failed");
    assert_eq!(apdex::apdex(&Sketch::new(), 0, Micros(1)), None);
}

#[test]
fn grades_have_their_bounds() {
    use Grade::{A, APlus, B, C, D, F};
    for (ms, grade) in [
        (-3.0, APlus),
        (0.0, APlus),
        (4.9, APlus),
        (5.0, A),
        (29.9, A),
        (30.0, B),
        (60.0, C),
        (199.0, C),
        (200.0, D),
        (400.0, F),
    ] {
        assert_eq!(bloat::bufferbloat(ms), Some(grade), "{ms} ms");
    }
    for (percent, grade) in
        [(0.0, APlus), (1.0, APlus), (1.1, A), (2.5, A), (3.0, B), (5.0, C), (12.0, D), (12.1, F)]
    {
        assert_eq!(bloat::loss(percent), Some(grade), "{percent} %");
    }
    assert_eq!((bloat::bufferbloat(f64::NAN), bloat::loss(-1.0)), (None, None));
    assert_eq!(bloat::mean_increase(Some(10.0), Some(30.0)), Some(20.0));
    assert_eq!(bloat::mean_increase(None, Some(30.0)), Some(30.0));
    assert_eq!(bloat::mean_increase(None, None), None);
    assert_eq!(serde_json::to_value(APlus).unwrap(), APlus.to_string());
}

#[test]
fn the_law_of_waiting_has_its_form() {
    for (seconds, mos) in [(0.5, 4.006), (1.8, 2.617), (3.0, 2.064), (0.0, 5.0), (99.0, 1.0)] {
        near(log_law::opinion(seconds, 0.2, 8.0).unwrap(), mos, &format!("{seconds} s"));
    }
    assert_eq!(log_law::opinion(f64::NAN, 0.2, 8.0), None);
    assert_eq!(log_law::opinion(1.0, 8.0, 0.2), None);
}

#[test]
fn an_interval_is_wilsons() {
    // 8 of 10 by the textbook: 0.490 to 0.943.
    let share = Share::of(8, 10).unwrap();
    near(share.low, 0.49, "low");
    near(share.high, 0.943, "high");
    let all = Share::of(10, 10).unwrap();
    near(all.low, 0.7225, "all of ten");
    assert!(all.high == 1.0 && Share::of(0, 10).unwrap().low == 0.0);
    assert_eq!(Share::of(0, 0), None);
}

#[test]
fn bands_and_confidence_have_their_bounds() {
    for (score, band) in [
        (100.0, Band::Excellent),
        (90.0, Band::Excellent),
        (89.9, Band::Good),
        (75.0, Band::Good),
        (74.9, Band::Fair),
        (50.0, Band::Fair),
        (49.9, Band::Poor),
        (25.0, Band::Poor),
        (24.9, Band::Bad),
        (0.0, Band::Bad),
    ] {
        assert_eq!(Band::of(score), band, "{score}");
    }
    let words = [0, 9, 10, 29, 30].map(|n| Confidence::of(n).as_str());
    assert_eq!(words, ["low", "low", "medium", "medium", "high"]);
}
