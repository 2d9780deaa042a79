//! The rules on windows made by hand, firing and not firing.

use super::testing::{Dice, Samples, cell};
use super::*;
use crate::stage::{ErrorStage, Metric, Stage};

const LATE: i64 = i64::MAX / 2;

/// Usual minutes before what is tested.
const PAST: usize = 40;

/// Usual minutes, then these.
fn after_usual(n: usize, then: impl IntoIterator<Item = Samples>) -> Vec<CellWindow> {
    cell(std::iter::repeat_n(Samples::usual(n), PAST).chain(then))
}

/// What is said of the minutes after the usual ones.
fn said(windows: &[CellWindow]) -> Vec<Option<Label>> {
    diagnose(windows, LATE)[PAST..].iter().map(|v| v.outcome.label()).collect()
}

fn last(windows: &[CellWindow]) -> Diagnosis {
    let verdicts = diagnose(windows, LATE);
    let last = verdicts.last().unwrap();
    last.outcome.diagnosis().unwrap_or_else(|| panic!("{last:?}")).clone()
}

#[test]
fn a_slow_lookup_is_dns_bound_and_told_with_its_numbers() {
    let slow = Samples::usual(30).set(Metric::Dns, 212.0).plus(Metric::Total, 2.0);
    let d = last(&after_usual(30, [slow]));
    assert_eq!((d.label, d.stage, d.metric), (Label::DnsBound, Stage::Dns, Metric::Dns));
    let stats = |p50, n, windows| Stats {
        p50_ms: Some(p50),
        p95_ms: Some(p50),
        n,
        windows,
        ..Stats::default()
    };
    assert_eq!(d.current, stats(212.0, 30, 1));
    // 1,110 samples are in buckets: 11.0 is within 1 %
    assert_eq!(d.baseline.unwrap().n, 1_110);
    assert!((d.baseline.unwrap().p50_ms.unwrap() - 11.0).abs() < 0.11);
    let threshold = Threshold { usual: 11.0, spread: 0.0, least: 15.0, change: 201.0 };
    assert_eq!(d.threshold, Some(threshold));
    let excess = Excess { total_ms: 203.0, dns_ms: 201.0, rest_ms: 2.0, ..Excess::default() };
    assert_eq!(d.excess, Some(excess));
    assert_eq!((d.since_ms, d.measurements, d.secondary.len()), (40 * 60_000, 30, 0));
    assert_eq!(
        d.text,
        "DNS takes 212 ms, usual 11 (+201); TCP, TLS, server as usual. 30 measurements in 1 min. \
         Excess 203 ms = DNS 201 + rest 2."
    );
}

#[test]
fn a_slow_lookup_beside_a_slow_server_is_said() {
    // S5: 20 -> 200 ms is far below 60 % of 500 ms, and it is all of the excess
    let server = |dns| Samples::usual(6).set(Metric::Ttfb, 300.0).set(Metric::Dns, dns);
    let windows = cell(std::iter::repeat_n(server(20.0), PAST).chain([server(200.0)]));
    assert_eq!(said(&windows), [Some(Label::DnsBound)]);
}

#[test]
fn a_lookup_that_is_little_of_the_excess_does_not_lead() {
    let both = Samples::usual(6).plus(Metric::Dns, 60.0).plus(Metric::Ttfb, 300.0);
    let d = last(&after_usual(6, [both]));
    assert_eq!((d.label, &d.secondary[..]), (Label::ServerBound, &[Label::DnsBound][..]));
    assert_eq!(
        d.text,
        "The server takes 390 ms, usual 90 (+300); TCP, TLS as usual. 6 measurements in 1 min. \
         Excess 360 ms = server 300 + DNS 60. Also dns-bound (+60 ms)."
    );
}

#[test]
fn a_lookup_leads_from_three_fifths_of_the_excess_on() {
    let dns = |server| {
        last(&after_usual(
            6,
            [Samples::usual(6).plus(Metric::Dns, 90.0).plus(Metric::Ttfb, server)],
        ))
        .label
    };
    assert_eq!([dns(60.0), dns(61.0)], [Label::DnsBound, Label::ServerBound]);
    // 90 of 151 ms, and the rest is in no stage: nothing to name
    let elsewhere = Samples::usual(6).plus(Metric::Dns, 90.0).plus(Metric::Total, 61.0);
    assert_eq!(said(&after_usual(6, [elsewhere])), [None]);
}

#[test]
fn what_is_open_stays_open_at_less_than_what_opened_it() {
    let server = |ms| Samples::usual(6).plus(Metric::Ttfb, ms);
    let open = Some(Label::ServerBound);
    let windows = after_usual(6, [server(18.0), server(30.0), server(18.0), server(17.9)]);
    assert_eq!(said(&windows), [None, open, open, None]);
}

#[test]
fn small_or_relatively_small_excess_is_none() {
    let plus = |m, ms| said(&after_usual(6, [Samples::usual(6).plus(m, ms)]));
    for (metric, below, at) in [
        (Metric::Dns, 14.9, 15.0),
        (Metric::Tcp, 9.9, 10.0),
        (Metric::Tls, 14.9, 15.0),
        (Metric::Ttfb, 29.9, 30.0),
    ] {
        assert_eq!(plus(metric, below), [None], "{metric}");
        assert_ne!(plus(metric, at), [None], "{metric}");
    }
    // 40 ms are a fifth of 200
    let far = Samples::usual(6).set(Metric::Tls, 200.0);
    let windows = cell(std::iter::repeat_n(far.clone(), PAST).chain([far.plus(Metric::Tls, 40.0)]));
    assert_eq!(said(&windows), [None]);
}

#[test]
fn a_quiet_link_is_not_alarmed_by_a_tenth_of_a_millisecond() {
    // S2: no spread at all, then a little
    let moved = Samples::usual(30).scaled(|_| 1.01);
    assert_eq!(said(&after_usual(30, [moved.clone(), moved])), [None, None]);
}

#[test]
fn a_usual_that_varies_widely_takes_a_larger_change() {
    let tls = |ms| Samples::usual(6).set(Metric::Tls, ms);
    let wide = |last| {
        let before = (0..20).map(|i| tls(40.0 + 10.0 * f64::from(i % 5)));
        last_label(&cell(before.chain([tls(last)])))
    };
    // median 60, spread 14.8: five are 74.1
    assert_eq!(wide(134.0), None);
    assert_eq!(wide(135.0), Some(Label::HandshakeBound));
}

#[test]
fn a_fifth_of_the_usual_rate_is_slow_however_widely_it_varies() {
    let rate = |kbps| Samples::usual(6).set(Metric::Throughput, kbps);
    let wide = |last| {
        let before = (0..20).map(|i| rate(40_000.0 + 30_000.0 * f64::from(i % 5)));
        last_label(&cell(before.chain([rate(last)])))
    };
    // median 100,000, spread 44,478: five are more than all of it
    assert_eq!(wide(21_000.0), None);
    assert_eq!(wide(20_000.0), Some(Label::ThroughputBound));
}

fn last_label(windows: &[CellWindow]) -> Option<Label> {
    diagnose(windows, LATE).last().unwrap().outcome.label()
}

#[test]
fn a_slow_handshake_is_handshake_bound() {
    let d = last(&after_usual(6, [Samples::usual(6).plus(Metric::Tls, 80.0)]));
    assert_eq!((d.label, d.stage), (Label::HandshakeBound, Stage::Tls));
    let d = last(&after_usual(6, [Samples::usual(6).plus(Metric::Tcp, 80.0)]));
    assert_eq!((d.label, d.stage), (Label::HandshakeBound, Stage::Tcp));
    assert!(d.text.starts_with("TCP takes 100 ms, usual 20 (+80); DNS, TLS, server as usual."));
}

#[test]
fn a_longer_path_is_in_every_stage_and_not_the_servers_fault() {
    let path = |extra| {
        Samples::usual(6).plus(Metric::Tcp, 50.0).plus(Metric::Tls, 55.0).plus(Metric::Ttfb, extra)
    };
    let d = last(&after_usual(6, [path(50.0)]));
    assert_eq!((d.label, d.stage, d.secondary.len()), (Label::HandshakeBound, Stage::Tls, 0));
    assert_eq!(
        d.text,
        "TLS takes 95 ms, usual 40 (+55), and TCP 70 ms, usual 20 (+50); DNS as usual. \
         6 measurements in 1 min. Excess 155 ms = TLS 55 + TCP 50 + server 50."
    );
    let d = last(&after_usual(6, [path(150.0)]));
    assert_eq!((d.label, &d.secondary[..]), (Label::HandshakeBound, &[Label::ServerBound][..]));
    let d = last(&after_usual(6, [path(250.0)]));
    assert_eq!((d.label, &d.secondary[..]), (Label::ServerBound, &[Label::HandshakeBound][..]));
}

#[test]
fn a_slow_transfer_is_throughput_bound_while_latencies_are_usual() {
    let slow = |kbps| Samples::usual(6).set(Metric::Throughput, kbps);
    assert_eq!(said(&after_usual(6, [slow(66_000.0)])), [None]);
    let d = last(&after_usual(6, [slow(4_200.0)]));
    assert_eq!((d.label, d.metric), (Label::ThroughputBound, Metric::Throughput));
    assert_eq!((d.current.p50_kbps, d.current.p50_ms), (Some(4_200.0), None));
    assert_eq!(
        d.text,
        "Throughput is 4.2 Mbit/s, usual 94.0 Mbit/s (-95 %); DNS, TCP, TLS, server as usual. \
         6 measurements in 1 min."
    );
    let both = slow(4_200.0).plus(Metric::Ttfb, 400.0);
    let d = last(&after_usual(6, [both]));
    assert_eq!((d.label, d.secondary.len()), (Label::ServerBound, 0));
}

#[test]
fn transfers_rarer_than_measurements_are_gathered() {
    let minute = |kbps| Samples::usual(1).set(Metric::Throughput, kbps).and(bare(5));
    fn bare(n: usize) -> Samples {
        Samples::usual(n).without(Metric::Throughput)
    }
    let windows = cell((0..50).map(|i| minute(if i < PAST { 94_000.0 } else { 9_000.0 })));
    let first = said(&windows).iter().position(Option::is_some).unwrap();
    assert!(first <= 5, "after {first} min");
    assert_eq!(last(&windows).label, Label::ThroughputBound);
    assert_eq!(last(&windows).current.windows, 5);
}

#[test]
fn an_outage_is_told_at_once_with_its_stage() {
    let out = Samples::none().failing(ErrorStage::Tcp, 12);
    let d = last(&after_usual(12, [out]));
    assert_eq!((d.label, d.stage), (Label::Outage(ErrorStage::Tcp), Stage::Tcp));
    assert_eq!((d.current.p50_ms, d.current.n), (None, 0));
    assert_eq!((d.excess, d.failures["tcp"]), (None, 12));
    assert_eq!(
        d.text,
        "TCP fails: 12 of 12 measurements in 1 min (tcp 12). Usually one takes 161 ms."
    );
}

#[test]
fn what_was_set_aside_is_no_outage_and_neither_helps_nor_ends_one() {
    let failed = |n| Samples::none().failing(ErrorStage::Tcp, n);
    let out = Some(Label::Outage(ErrorStage::Tcp));
    let untold = Some(Label::InsufficientData);
    let aside = || failed(12).aside();
    assert_eq!(
        said(&after_usual(12, [aside(), aside(), Samples::usual(12)])),
        [untold, untold, None]
    );
    // One failure is no outage, and minutes that say nothing make it none.
    let one = || after_usual(12, [failed(1), aside(), aside()]);
    assert_eq!(said(&one()), [None, untold, untold]);
    let held = after_usual(12, [failed(12), aside(), failed(12)]);
    assert_eq!(said(&held), [out, untold, out]);
    assert_eq!(runs(&diagnose(&held, LATE)).len(), 1);
}

#[test]
fn an_outage_needs_no_past() {
    let out = || Samples::none().failing(ErrorStage::Dns, 3);
    let verdicts = diagnose(&cell([out(), out()]), LATE);
    let labels: Vec<_> = verdicts.iter().map(|v| v.outcome.label()).collect();
    assert_eq!(labels, [Some(Label::Outage(ErrorStage::Dns)); 2]);
    assert_eq!(verdicts[1].outcome.diagnosis().unwrap().baseline, None);
}

#[test]
fn the_commonest_stage_names_the_outage_and_the_earliest_of_equals() {
    let mixed =
        |dns, tls| Samples::none().failing(ErrorStage::Tls, tls).failing(ErrorStage::Dns, dns);
    assert_eq!(last(&after_usual(6, [mixed(2, 4)])).label, Label::Outage(ErrorStage::Tls));
    assert_eq!(last(&after_usual(6, [mixed(3, 3)])).label, Label::Outage(ErrorStage::Dns));
}

#[test]
fn half_of_it_failing_is_an_outage_and_less_is_not() {
    let part =
        |ok, bad| said(&after_usual(10, [Samples::usual(ok).failing(ErrorStage::Http, bad)]));
    assert_eq!(part(5, 5), [Some(Label::Outage(ErrorStage::Http))]);
    assert_eq!(part(6, 4), [None]);
    assert_eq!(part(2, 2), [None]);
}

#[test]
fn one_sample_a_minute_tells_an_outage_at_the_second_failure_and_its_end_at_once() {
    let (ok, bad) = (|| Samples::usual(1), || Samples::none().failing(ErrorStage::Tcp, 1));
    let windows = after_usual(1, [ok(), bad(), bad(), bad(), ok(), ok()]);
    let out = Some(Label::Outage(ErrorStage::Tcp));
    assert_eq!(said(&windows), [None, None, out, out, None, None]);
    assert_eq!(runs(&diagnose(&windows, LATE))[0].since, Minute(41));
}

#[test]
fn an_outage_of_part_stays_one_through_a_luckier_minute() {
    let part = |ok, bad| Samples::usual(ok).failing(ErrorStage::Dns, bad);
    let windows = after_usual(6, [part(3, 3), part(4, 2), part(2, 4), part(6, 0)]);
    let out = Some(Label::Outage(ErrorStage::Dns));
    assert_eq!(said(&windows), [out, out, out, None]);
}

#[test]
fn failing_transfers_are_an_outage_of_the_transfer_alone_and_only_if_all_fail() {
    let transfers = |ok, bad| {
        let bad = Samples::none().failing(ErrorStage::ThroughputTimeout, bad);
        last_label(&after_usual(6, [Samples::usual(ok).and(bad)]))
    };
    assert_eq!(transfers(0, 6), Some(Label::Outage(ErrorStage::ThroughputTimeout)));
    assert_eq!(transfers(1, 5), None);
    assert_eq!(transfers(0, 2), None);
}

#[test]
fn one_sample_a_minute_is_merged_until_there_are_enough() {
    // S3
    let slow = || Samples::usual(1).plus(Metric::Ttfb, 500.0);
    let windows = after_usual(1, (0..10).map(|_| slow()));
    let labels = said(&windows);
    let first = labels.iter().position(Option::is_some).unwrap();
    assert!(first <= 4, "{labels:?}");
    assert!(labels[first..].iter().all(|&l| l == Some(Label::ServerBound)));
    let d = last(&windows);
    assert_eq!((d.current.n, d.current.windows), (5, 5));
    assert_eq!(runs(&diagnose(&windows, LATE))[0].since, Minute(40));
}

#[test]
fn too_few_measurements_are_said_with_numbers() {
    let windows = cell([Samples::usual(2), Samples::usual(2)]);
    let shortage = |windows: &[CellWindow]| match diagnose(windows, LATE).last().unwrap().outcome {
        Outcome::InsufficientData(shortage) => shortage.to_string(),
        ref other => panic!("{other:?}"),
    };
    assert_eq!(shortage(&windows), "4 of 5 measurements to judge by");
    let windows = cell(std::iter::repeat_n(Samples::usual(6), 4));
    assert_eq!(shortage(&windows), "the usual is not known yet: 3 of 5 windows");
    let windows = cell(std::iter::repeat_n(Samples::usual(1), 12));
    assert_eq!(shortage(&windows), "the usual is not known yet: 11 of 15 measurements");
}

#[test]
fn the_sixth_window_is_judged() {
    let slow = Samples::usual(6).plus(Metric::Dns, 200.0);
    let windows = cell(std::iter::repeat_n(Samples::usual(6), 5).chain([slow]));
    assert_eq!(last_label(&windows), Some(Label::DnsBound));
}

#[test]
fn a_step_of_two_hours_is_one_run_and_its_end_no_alarm() {
    // S1, with noise
    let mut dice = Dice(1);
    let minute = |i: i32| {
        let noisy = Samples::usual(6).scaled(|_| (0.1 * dice.normal()).exp());
        if (40..160).contains(&i) { noisy.plus(Metric::Ttfb, 60.0) } else { noisy }
    };
    let verdicts = diagnose(&cell((0..260).map(minute)), LATE);
    let runs = runs(&verdicts);
    let spans: Vec<_> = runs.iter().map(|r| (r.label, r.since.0, r.last.0, r.open)).collect();
    assert_eq!(spans, [(Label::ServerBound, 40, 159, false)]);
    assert_eq!(runs[0].windows, 120);
    assert!(runs[0].peak.threshold.unwrap().change > runs[0].latest.threshold.unwrap().change);
    let d = &runs[0].latest;
    assert!((d.baseline.unwrap().p50_ms.unwrap() - 90.0).abs() < 5.0, "{:?}", d.baseline);
}

#[test]
fn noise_alone_is_no_fault() {
    for (seed, n) in [(2, 1), (3, 2), (4, 6), (5, 30)] {
        let mut dice = Dice(seed);
        let windows = cell((0..1_440).map(|_| noisy(&mut dice, n)));
        let found = runs(&diagnose(&windows, LATE));
        assert!(found.is_empty(), "{n} a minute: {:#?}", found[0].latest);
    }
}

/// Untidy but healthy: look-ups that miss the cache one time in six, a server with a long
/// tail, now and then a lost SYN, jitter everywhere, one failure in 2,000.
fn noisy(dice: &mut Dice, n: usize) -> Samples {
    let minute = 1.0 + 0.05 * dice.normal();
    (0..n).fold(Samples::none(), |samples, _| {
        let jitter = |dice: &mut Dice, sd: f64| minute * (sd * dice.normal()).exp();
        let mut one = Samples::usual(1).scaled(|metric| match metric {
            Metric::Ttfb => jitter(dice, 0.35),
            Metric::Dns | Metric::Throughput => jitter(dice, 0.2),
            _ => jitter(dice, 0.1),
        });
        if dice.even() < 1.0 / 6.0 {
            one = one.plus(Metric::Dns, 35.0 * jitter(dice, 0.8));
        }
        if dice.even() < 0.01 {
            one = one.plus(Metric::Tcp, 1_000.0);
        }
        if dice.even() < 0.000_5 {
            one = Samples::none().failing(ErrorStage::Http, 1);
        }
        samples.and(one)
    })
}

#[test]
fn a_fault_in_noise_is_found_within_minutes() {
    for (seed, n, within) in [(6, 1, 9), (7, 2, 4), (8, 6, 2), (9, 30, 1)] {
        let mut dice = Dice(seed);
        let minute = |i| {
            let noisy = noisy(&mut dice, n);
            if i >= 90 { noisy.plus(Metric::Dns, 150.0) } else { noisy }
        };
        let windows = cell((0..110).map(minute));
        let runs = runs(&diagnose(&windows, LATE));
        let labels: Vec<_> = runs.iter().map(|r| r.label).collect();
        assert_eq!(labels, [Label::DnsBound], "{n} a minute");
        let first = runs[0].last.0 - i64::from(runs[0].windows) + 1;
        assert!(first - 90 < within, "{n} a minute: told at {first}");
        assert!((88..=91).contains(&runs[0].since.0), "{n} a minute: {:?}", runs[0].since);
        assert!(runs[0].open);
    }
}

#[test]
fn the_parts_of_the_excess_add_up() {
    let mut dice = Dice(10);
    let minute = |i| {
        let noisy = noisy(&mut dice, 7);
        if i >= 30 { noisy.plus(Metric::Tls, 90.0).plus(Metric::Total, 3.3) } else { noisy }
    };
    let verdicts = diagnose(&cell((0..60).map(minute)), LATE);
    let told: Vec<_> = verdicts.iter().filter_map(|v| v.outcome.diagnosis()).collect();
    assert!(told.len() >= 29);
    for e in told.iter().filter_map(|d| d.excess) {
        let us = |ms: f64| (ms * 1e3).round() as i64;
        let parts = [e.dns_ms, e.tcp_ms, e.tls_ms, e.ttfb_ms, e.rest_ms].map(us);
        assert_eq!(parts.iter().sum::<i64>(), us(e.total_ms));
    }
}

#[test]
fn a_late_window_in_the_middle_is_judged_as_if_it_had_come_in_time() {
    let mut dice = Dice(11);
    let windows = cell((0..120).map(|i| {
        let noisy = noisy(&mut dice, 6);
        if (60..70).contains(&i) { noisy.plus(Metric::Tcp, 90.0) } else { noisy }
    }));
    let whole = diagnose(&windows, LATE);
    for cut in [61, 65, 90] {
        // what is said of a window does not depend on those after it
        assert_eq!(diagnose(&windows[..cut], LATE)[..], whole[..cut]);
    }
    let mut without = windows.clone();
    without.remove(64);
    assert_ne!(diagnose(&without, LATE).len(), whole.len());
    without.insert(64, windows[64].clone());
    assert_eq!(diagnose(&without, LATE), whole);
}

#[test]
fn windows_are_provisional_until_two_minutes_after_their_end() {
    let windows = cell([Samples::usual(6), Samples::usual(6)]);
    let provisional =
        |now| diagnose(&windows, now).iter().map(|v| v.provisional).collect::<Vec<_>>();
    assert_eq!(provisional(179_999), [true, true]);
    assert_eq!(provisional(180_000), [false, true]);
    assert_eq!(provisional(240_000), [false, false]);
}

#[test]
fn a_long_silence_ends_a_run_and_keeps_the_usual() {
    let slow = || Samples::usual(6).plus(Metric::Dns, 200.0);
    let mut windows = after_usual(6, [slow(), slow(), slow(), slow()]);
    for w in &mut windows[42..] {
        w.start = w.start.plus(60);
    }
    let runs = runs(&diagnose(&windows, LATE));
    let spans: Vec<_> = runs.iter().map(|r| (r.since.0, r.last.0, r.open)).collect();
    assert_eq!(spans, [(40, 41, false), (102, 103, true)]);
}

#[test]
fn a_window_too_small_to_judge_neither_ends_nor_extends_a_run() {
    let slow = |n| Samples::usual(n).plus(Metric::Dns, 200.0);
    let mut verdicts = diagnose(&after_usual(6, [slow(6), slow(6), slow(6)]), LATE);
    let shortage = Shortage { what: Lacking::Measurements, have: 1, need: 5 };
    verdicts[41].outcome = Outcome::InsufficientData(shortage);
    let runs = runs(&verdicts);
    assert_eq!((runs.len(), runs[0].windows, runs[0].open), (1, 2, true));
}

#[test]
fn a_diagnosis_survives_json() {
    let d = last(&after_usual(6, [Samples::usual(6).plus(Metric::Dns, 60.3)]));
    let json = serde_json::to_string(&d).unwrap();
    assert_eq!(serde_json::from_str::<Diagnosis>(&json).unwrap(), d);
    assert!(json.contains(r#""label":"dns-bound","stage":"dns""#), "{json}");
}

#[test]
fn no_windows_no_verdicts() {
    assert_eq!((diagnose(&[], 0), runs(&[])), (vec![], vec![]));
}
