//! Windows by hand, in any order of folding and merging, and their bytes.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::event::{ClientId, SchemaVersion, Target, Timings};
use crate::{BitsPerSecond, Micros};

pub(super) fn event(failure: Option<ErrorStage>, us: [Option<u64>; 5], bps: Option<u64>) -> Event {
    let [dns, tcp, tls, ttfb, total] = us.map(|v| v.map(Micros));
    Event {
        version: SchemaVersion::V1_1,
        id: Uuid::from_u128(1),
        client: ClientId::trusted("c"),
        target: Target::trusted("https://t.example/"),
        ts_ms: 0,
        failure,
        timings: Timings { dns, tcp, tls, ttfb, total },
        throughput: bps.map(BitsPerSecond),
        troubled: false,
        gap: None,
        beside: None,
    }
}

fn window<'a>(events: impl IntoIterator<Item = &'a Event>) -> Window {
    let mut window = Window::default();
    events.into_iter().for_each(|e| window.fold(e));
    window
}

fn any_event() -> impl Strategy<Value = Event> {
    let us = || option::weighted(0.9, 0_u64..3_000_000);
    let failure = option::weighted(0.3, prop::sample::select(&ErrorStage::ALL[..]));
    (failure, [us(), us(), us(), us(), us()], us(), prop::bool::weighted(0.1))
        .prop_map(|(f, us, bps, troubled)| Event { troubled, ..event(f, us, bps) })
}

#[test]
fn outcomes_and_sums_by_hand() {
    let us = [Some(1), Some(20), None, Some(300), None];
    let w = window(&[
        event(None, us, Some(5_000)),
        event(Some(ErrorStage::ThroughputTimeout), [Some(2), None, None, None, Some(9)], None),
        event(Some(ErrorStage::Http), us, None),
        event(Some(ErrorStage::Parse), us, None),
    ]);
    let c = w.counts();
    assert_eq!((c.total, c.success, c.error()), (4, 1, 3));
    assert_eq!((c.of(ErrorStage::Http), c.of(ErrorStage::Parse), c.of(ErrorStage::Dns)), (1, 1, 0));
    let sums = StageSums { n: 2, total: 330, dns: 3, tcp: 20, tls: 0, ttfb: 300 };
    assert_eq!((*w.sums(), w.sums().rest()), (sums, 7));
    let n = Metric::ALL.map(|m| w.sketch(m).count());
    assert_eq!(n, [4, 3, 0, 2, 2, 1]);
}

#[test]
fn a_total_below_its_stages_leaves_a_negative_rest() {
    let w = window(&[event(None, [Some(5), Some(5), None, None, Some(7)], None)]);
    assert_eq!(w.sums().rest(), -3);
}

#[test]
fn an_event_of_a_probe_in_trouble_is_in_its_own_count_alone() {
    let us = [Some(1), Some(20), Some(3), Some(300), None];
    let mut w = window(&[event(None, us, None), event(Some(ErrorStage::Tcp), us, None)]);
    let as_it_was = w.encode();
    for failure in [None, Some(ErrorStage::Dns)] {
        w.fold(&Event { troubled: true, ..event(failure, us, Some(5_000)) });
    }
    let c = *w.counts();
    assert_eq!((c.total, c.success, c.error(), c.troubled), (2, 1, 1, 2));
    assert_eq!((w.sums().n, w.sketch(Metric::Dns).count()), (1, 2));
    // Older programs read what has none, and these bytes are what they wrote.
    assert_eq!((as_it_was[0], w.encode()[0]), (1, 2));
    assert_eq!(w.encode()[2..], as_it_was[1..]);
    assert_eq!(Window::decode(&w.encode()), Ok(w));
    let none = [&[2, 0], &as_it_was[1..]].concat();
    assert!(Window::decode(&none).is_err(), "one window, one form");
}

#[test]
fn an_empty_window_takes_few_bytes() {
    assert_eq!(Window::default().encode().len(), 1 + 8 + 4 + 6 * 2);
}

#[test]
fn other_versions_and_trailing_bytes_are_refused() {
    let mut bytes = Window::default().encode();
    bytes.push(0);
    assert_eq!(Window::decode(&bytes), Err(DecodeError::Invalid("bytes after the end")));
    bytes[0] = 9;
    assert_eq!(Window::decode(&bytes), Err(DecodeError::UnknownVersion(9)));
    assert_eq!(Window::decode(&[]), Err(DecodeError::Truncated));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn order_and_batching_do_not_show(
        (events, shuffled) in vec(any_event(), 0..120)
            .prop_flat_map(|v| (Just(v.clone()), Just(v).prop_shuffle())),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = window(&events);
        let (left, right) = shuffled.split_at(cut.index(shuffled.len() + 1));
        let mut merged = window(right);
        merged.merge(&window(left));
        prop_assert_eq!(&merged, &whole);
        prop_assert_eq!(merged.encode(), whole.encode());
    }

    #[test]
    fn every_event_counts_once_and_the_total_holds_the_summed(events in vec(any_event(), 0..120)) {
        let w = window(&events);
        prop_assert_eq!(w.counts().total + w.counts().troubled, events.len() as u64);
        prop_assert_eq!(w.counts().success + w.counts().error(), w.counts().total);
        let total = w.sketch(Metric::Total);
        prop_assert_eq!((w.sums().n, w.sums().total), (total.count(), total.sum()));
    }

    #[test]
    fn bytes_round_trip(events in vec(any_event(), 0..150)) {
        let w = window(&events);
        prop_assert_eq!(Window::decode(&w.encode()), Ok(w));
    }

    #[test]
    fn broken_bytes_never_panic(
        events in vec(any_event(), 0..90), at in any::<prop::sample::Index>(), xor in 1_u8..,
        keep in any::<prop::sample::Index>(),
    ) {
        let mut bytes = window(&events).encode();
        let at = at.index(bytes.len());
        bytes[at] ^= xor;
        for bytes in [&bytes[..], &bytes[..keep.index(bytes.len())]] {
            if let Ok(mut w) = Window::decode(bytes) {
                prop_assert_eq!(Window::decode(&w.encode()), Ok(w.clone()));
                w.merge(&w.clone());
                prop_assert!(w.sums().rest() < i128::MAX);
            }
        }
    }

    #[test]
    fn any_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..300)) {
        if let Some(first) = bytes.first_mut() {
            *first = 1 + *first % 2;
        }
        _ = Window::decode(&bytes);
    }
}
