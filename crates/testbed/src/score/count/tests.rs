//! Scores of small cases that can be counted by hand.

use model::ErrorStage;
use model::diagnosis::Label;
use model::units::MINUTE_MS;

use super::{Score, Told, score};
use crate::score::{Delay, Observed};
use crate::simulate::{ScopeName, Truth};

/// One cell watched for a day, broken from minute 100 to 110.
const DAY: Observed = Observed { from_ms: 0, to_ms: 1440 * MINUTE_MS, cells: 1 };

fn truth(label: Option<Label>, clients: &[&str]) -> Truth {
    Truth {
        label,
        extended: label,
        scope: ScopeName::default(),
        kind: "dns_delay".into(),
        cells: clients.iter().map(|c| ((*c).into(), "https://t.example/".into())).collect(),
        from_ms: 100 * MINUTE_MS,
        to_ms: 110 * MINUTE_MS,
        magnitude: "+100 ms a look-up".into(),
    }
}

fn told(client: &str, label: Label, from_minute: i64, to_minute: i64) -> Told {
    Told {
        client: client.into(),
        target: "https://t.example/".into(),
        label,
        from_ms: from_minute * MINUTE_MS,
        to_ms: to_minute * MINUTE_MS,
    }
}

fn dns(from_minute: i64, to_minute: i64) -> Told {
    told("a", Label::DnsBound, from_minute, to_minute)
}

fn of(told: &[Told]) -> Score {
    score(&[truth(Some(Label::DnsBound), &["a"])], told, &DAY)
}

/// (found, right, mislabelled, false alarms)
fn counts(score: &Score) -> [u64; 4] {
    [score.found, score.right, score.mislabelled, score.false_alarms]
}

#[test]
fn all_that_is_true_and_nothing_else_is_perfect() {
    let score = of(&[dns(100, 110)]);
    assert_eq!(counts(&score), [1, 1, 0, 0]);
    assert_eq!((score.recall, score.precision, score.f1), (Some(1.0), Some(1.0), Some(1.0)));
    assert_eq!(score.macro_recall, Some(1.0));
    assert_eq!(score.delay, Some(Delay { p50: 1, p90: 1 }));
    assert_eq!((score.false_alarms_per_cell_day, score.false_time), (Some(0.0), Some(0.0)));
    assert_eq!(score.confusion["dns-bound"]["dns-bound"], 1);
    assert!(score.faults[0].missed.is_empty() && score.faults[0].otherwise.is_empty());
}

#[test]
fn silence_misses_and_has_no_precision() {
    let score = of(&[]);
    assert_eq!(counts(&score), [0, 0, 0, 0]);
    assert_eq!((score.recall, score.precision, score.f1), (Some(0.0), None, None));
    assert_eq!(score.delay, None);
    assert_eq!(score.confusion["dns-bound"]["-"], 1);
    assert_eq!(score.faults[0].missed.len(), 1);
}

#[test]
fn a_wrong_label_is_neither_found_nor_a_false_alarm() {
    let score = of(&[told("a", Label::ServerBound, 100, 110)]);
    assert_eq!(counts(&score), [0, 0, 1, 0]);
    assert_eq!((score.precision, score.f1), (Some(0.0), Some(0.0)));
    assert_eq!(score.confusion["dns-bound"]["server-bound"], 1);
    assert_eq!(score.faults[0].otherwise["server-bound"], 1);
}

#[test]
fn the_right_label_beside_a_wrong_one_is_found() {
    let score = of(&[told("a", Label::ServerBound, 100, 103), dns(103, 110)]);
    assert_eq!(counts(&score), [1, 1, 1, 0]);
    assert_eq!(score.delay, Some(Delay { p50: 4, p90: 4 }));
    let row = &score.confusion["dns-bound"];
    assert_eq!((row["dns-bound"], row["server-bound"]), (1, 1));
}

#[test]
fn early_counts_only_where_it_lasts_into_the_fault() {
    assert_eq!(counts(&of(&[dns(95, 105)])), [1, 1, 0, 0]);
    assert_eq!(of(&[dns(95, 105)]).delay, Some(Delay { p50: 1, p90: 1 }));
    assert_eq!(counts(&of(&[dns(95, 100)])), [0, 0, 0, 1]);
}

#[test]
fn late_is_found_for_two_windows_and_right_for_six() {
    let late = |minute| counts(&of(&[dns(minute, minute + 20)]));
    assert_eq!(late(109), [1, 1, 0, 0]);
    assert_eq!(late(111), [1, 1, 0, 0]);
    assert_eq!(late(112), [0, 1, 0, 0]);
    assert_eq!(late(115), [0, 1, 0, 0]);
    assert_eq!(late(116), [0, 0, 0, 1]);
    assert_eq!(of(&[dns(111, 112)]).delay, Some(Delay { p50: 12, p90: 12 }));
}

#[test]
fn split_runs_are_one_alarm_up_to_two_windows_apart() {
    let split = |gap: i64| of(&[dns(104 + gap, 112), dns(100, 104)]).runs;
    assert_eq!((split(0), split(2), split(3)), (1, 1, 2));
    // Alarms join, evidence doesn't: the part before the fault does not make it found sooner.
    let score = of(&[dns(98, 99), dns(101, 110)]);
    assert_eq!((score.runs, score.delay), (1, Some(Delay { p50: 2, p90: 2 })));
    // Another label or cell does not join.
    let score = of(&[dns(100, 104), told("a", Label::ServerBound, 104, 106)]);
    assert_eq!(score.runs, 2);
}

#[test]
fn false_alarms_are_counted_by_fault_free_time() {
    let score = of(&[dns(10, 12), dns(500, 501), dns(100, 110)]);
    assert_eq!(counts(&score), [1, 1, 0, 2]);
    // 1440 minutes less the fault's 10 and the grace of 6.
    assert_eq!(score.false_alarms_per_cell_day, Some(2.0 / (1424.0 / 1440.0)));
    assert_eq!(score.false_time, Some(3.0 / 1424.0));
}

#[test]
fn an_alarm_that_never_ends_shows_in_the_false_time() {
    let score = of(&[dns(0, 1440)]);
    assert_eq!(counts(&score), [1, 1, 0, 0]);
    assert_eq!(score.false_time, Some(1.0));
}

#[test]
fn every_affected_cell_counts_and_every_fault_once_in_the_mean() {
    let wide = truth(Some(Label::DnsBound), &["a", "b", "c", "d"]);
    let mut narrow = truth(Some(Label::Outage(ErrorStage::Tls)), &["e"]);
    narrow.kind = "cert".into();
    let told = [
        told("a", Label::DnsBound, 102, 110),
        told("b", Label::DnsBound, 100, 110),
        told("c", Label::DnsBound, 104, 110),
        told("z", Label::DnsBound, 100, 110),
    ];
    let score = score(&[wide, narrow], &told, &Observed { cells: 6, ..DAY });
    assert_eq!((score.cells, score.found, score.recall), (5, 3, Some(0.6)));
    assert_eq!(score.macro_recall, Some(0.375));
    assert_eq!(counts(&score), [3, 3, 0, 1]);
    assert_eq!(score.delay, Some(Delay { p50: 3, p90: 5 }));
    let clear_minutes = 6.0 * 1440.0 - 5.0 * 16.0;
    assert_eq!(score.false_alarms_per_cell_day, Some(1.0 / (clear_minutes / 1440.0)));
    assert_eq!(score.faults[0].missed[0].0, "d");
    assert_eq!(score.faults[1].missed[0].0, "e");
}

#[test]
fn a_fault_without_a_name_counts_neither_way() {
    let score = score(&[truth(None, &["a"])], &[dns(100, 105)], &DAY);
    assert_eq!((score.cells, score.runs, score.unnamed), (0, 1, 1));
    assert_eq!((score.recall, score.precision, score.f1), (None, None, None));
    assert_eq!(score.confusion["-"]["dns-bound"], 1);
}

#[test]
fn insufficient_data_is_no_alarm() {
    let score = of(&[told("a", Label::InsufficientData, 0, 1440)]);
    assert_eq!((score.runs, score.false_time), (0, Some(0.0)));
    assert_eq!(score.confusion["dns-bound"]["-"], 1);
}

#[test]
fn nothing_observed_gives_no_ratio() {
    let score = score(&[], &[], &Observed { from_ms: 0, to_ms: 0, cells: 0 });
    assert_eq!(score, Score::default());
}

#[test]
fn it_goes_through_json() {
    let score = of(&[dns(100, 110), told("a", Label::ServerBound, 100, 110)]);
    let json = serde_json::to_string(&score).unwrap();
    assert_eq!(serde_json::from_str::<Score>(&json).unwrap(), score);
}
