//! The rivals on windows that can be worked out by hand.

use super::testing::Samples;
use super::*;
use crate::diagnosis::CellWindow;
use crate::stage::Metric;
use crate::window::Window;

use Label::{DnsBound, HandshakeBound, ServerBound, ThroughputBound};

/// What the classic rules call each of a cell's windows, given ascending by start.
fn classic(reading: Reading, windows: &[CellWindow]) -> Vec<Option<Label>> {
    let mut rules = Classic::new(reading);
    windows.iter().map(|w| rules.next(&w.window)).collect()
}

/// What the band calls each of a cell's windows, given ascending by start.
fn band(windows: &[CellWindow]) -> Vec<Option<Label>> {
    let mut rules = Band::default();
    windows.iter().map(|w| rules.next(w.start, &w.window)).collect()
}

/// A window at a minute.
fn at(minute: i64, samples: &Samples) -> CellWindow {
    CellWindow { start: crate::units::Minute(minute), window: samples.window() }
}

/// Ten windows that go up and down by a millisecond, and one more: what that is called.
fn called(reading: Reading, last: &Samples) -> Option<Label> {
    let mut windows: Vec<CellWindow> = (0..10).map(|i| at(i, &usual(i))).collect();
    windows.push(at(10, last));
    *classic(reading, &windows).last().unwrap()
}

/// Mean 20 + 0.5 of TCP and so on: a deviation of 0.5 each, and of TCP and TLS together 0.71.
fn usual(i: i64) -> Samples {
    let more = (i % 2) as f64;
    let all = [Metric::Dns, Metric::Tcp, Metric::Tls, Metric::Ttfb];
    all.into_iter().fold(Samples::usual(6), |samples, metric| samples.plus(metric, more))
}

#[test]
fn the_engine_takes_connect_and_handshake_together() {
    // The mean of both is 61 ms, two deviations are 1.41.
    let both = |tcp: f64, tls: f64| Samples::usual(6).plus(Metric::Tcp, tcp).plus(Metric::Tls, tls);
    assert_eq!(called(Reading::Engine, &both(1.2, 1.1)), None);
    assert_eq!(called(Reading::Engine, &both(1.3, 1.2)), Some(HandshakeBound));
    // TCP alone is above 20.5 + 1.
    assert_eq!(called(Reading::Engine, &both(1.6, 0.5)), None);
    assert_eq!(called(Reading::Text, &both(1.6, 0.5)), Some(HandshakeBound));
}

#[test]
fn the_look_up_comes_first_where_it_is_most_of_the_whole() {
    let dns = |ms: f64| Samples::usual(6).set(Metric::Dns, ms);
    // 60 % of the whole: 0.6 x (150 + x) is 225.
    assert_eq!(called(Reading::Engine, &dns(226.0)), Some(DnsBound));
    assert_eq!(called(Reading::Engine, &dns(224.0)), None);
    assert_eq!(called(Reading::Engine, &dns(226.0).plus(Metric::Tls, 200.0)), Some(HandshakeBound));
}

#[test]
fn the_server_needs_a_usual_connect_and_the_text_usual_latencies_for_the_rate() {
    let slow = Samples::usual(6).plus(Metric::Ttfb, 50.0);
    assert_eq!(called(Reading::Engine, &slow.clone()), Some(ServerBound));
    assert_eq!(called(Reading::Engine, &slow.clone().plus(Metric::Tcp, 1.8)), None);
    let thin = Samples::usual(6).set(Metric::Throughput, 65_000.0);
    for reading in [Reading::Engine, Reading::Text] {
        assert_eq!(called(reading, &thin.clone()), Some(ThroughputBound), "{reading:?}");
        assert_eq!(called(reading, &thin.clone().set(Metric::Throughput, 66_000.0)), None);
    }
    // A look-up of 13 ms is unusual, and no label of its own.
    let both = thin.set(Metric::Dns, 13.0);
    assert_eq!(called(Reading::Engine, &both.clone()), Some(ThroughputBound));
    assert_eq!(called(Reading::Text, &both), None);
}

#[test]
fn the_engine_is_silent_under_five_successes() {
    let slow = |n| Samples::usual(n).plus(Metric::Ttfb, 500.0);
    assert_eq!(called(Reading::Engine, &slow(4)), None);
    assert_eq!(called(Reading::Engine, &slow(5)), Some(ServerBound));
    assert_eq!(called(Reading::Text, &slow(1)), Some(ServerBound));
}

#[test]
fn a_fault_becomes_usual_within_ten_windows() {
    let slow = |i: i64| if i < 10 { usual(i) } else { usual(i).plus(Metric::Ttfb, 100.0) };
    let windows: Vec<_> = (0..30).map(|i| at(i, &slow(i))).collect();
    let told = classic(Reading::Engine, &windows);
    assert_eq!(told[10], Some(ServerBound));
    assert_eq!(told[20..], [None; 10]);
}

#[test]
fn a_label_is_held_back_until_it_stood_without_a_gap() {
    let mut hold = Hold::new(3);
    let next = |hold: &mut Hold, minute, label| hold.next(crate::units::Minute(minute), label);
    let dns = Some(DnsBound);
    assert_eq!([0, 1, 2, 3].map(|m| next(&mut hold, m, dns)), [None, None, dns, dns]);
    assert_eq!([5, 6, 7].map(|m| next(&mut hold, m, dns)), [None, None, dns]);
    assert_eq!(next(&mut hold, 8, Some(ServerBound)), None);
    assert_eq!(next(&mut hold, 9, None), None);
}

#[test]
fn the_band_is_half_the_median_or_two_deviations() {
    let told = |ms: f64| {
        let mut windows: Vec<_> = (0..60).map(|i| at(i, &usual(i))).collect();
        windows.push(at(60, &Samples::usual(6).set(Metric::Ttfb, ms)));
        *band(&windows).last().unwrap()
    };
    // Half the time 90 and half 91: 136.5 is the edge.
    assert_eq!((told(136.0), told(137.0)), (None, Some(ServerBound)));
    // Half the time 90 and half 290: the deviation is 200, at most.
    let wild = |i: i64| Samples::usual(6).plus(Metric::Ttfb, (i % 2) as f64 * 200.0);
    let mut windows: Vec<_> = (0..60).map(|i| at(i, &wild(i))).collect();
    windows.push(at(60, &Samples::usual(6).set(Metric::Ttfb, 500.0)));
    assert_eq!(band(&windows).last(), Some(&None));
}

#[test]
fn what_was_so_yesterday_at_this_time_is_in_the_band() {
    let daily = |i: i64| match i % 1_440 {
        700..720 => usual(i).plus(Metric::Ttfb, 100.0),
        _ => usual(i),
    };
    let evening = |i: i64| match i % 1_440 {
        660..740 => usual(i).plus(Metric::Ttfb, 100.0),
        _ => usual(i),
    };
    let windows = |of: fn(i64) -> Samples| (0..2_200).map(|i| at(i, &of(i))).collect::<Vec<_>>();
    // 20 minutes of 61 are no median, 61 of 61 are.
    assert_eq!(band(&windows(daily))[1_440 + 710], Some(ServerBound));
    let told = band(&windows(evening));
    assert_eq!((told[700], told[1_440 + 700]), (Some(ServerBound), None));
}

#[test]
fn a_cell_silent_for_years_takes_no_room() {
    let mut rules = Band::default();
    let mut next = |minute| rules.next(crate::units::Minute(minute), &Window::default());
    assert_eq!((next(0), next(100_000_000), next(5)), (None, None, None));
}
