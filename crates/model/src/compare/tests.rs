//! Comparisons whose numbers scipy gives, and how often chance is taken for a difference.

use uuid::Uuid;

use super::*;
use crate::event::{ClientId, Event, SchemaVersion, Target, Timings};
use crate::stage::ErrorStage;
use crate::units::{BitsPerSecond, Micros, Minute};
use crate::window::Window;

fn event(ttfb_us: u64) -> Event {
    Event {
        version: SchemaVersion::V1_1,
        id: Uuid::from_u128(1),
        client: ClientId::trusted("c"),
        target: Target::trusted("https://t.example/"),
        ts_ms: 0,
        failure: None,
        timings: Timings { ttfb: Some(Micros(ttfb_us)), ..Timings::default() },
        throughput: None,
        troubled: false,
        gap: None,
        beside: None,
    }
}

/// A cohort of minutes, from the events of each.
fn cohort(minutes: impl IntoIterator<Item = Vec<Event>>) -> Cohort {
    let mut cohort = Cohort::default();
    for (at, events) in (0..).zip(minutes) {
        let mut window = Window::default();
        events.iter().for_each(|event| window.fold(event));
        cohort.add(Minute(at), &window).unwrap();
    }
    cohort
}

/// Minutes of waits for the first byte, ms.
fn waits(minutes: &[&[u64]]) -> Cohort {
    cohort(minutes.iter().map(|ms| ms.iter().map(|ms| event(ms * 1_000)).collect()))
}

fn ttfb(a: &Cohort, b: &Cohort) -> Stage {
    compare(a, b).stages.swap_remove(Metric::Ttfb as usize)
}

fn near(got: f64, expected: f64, what: &str) {
    assert!((got - expected).abs() < 1e-6, "{what}: {got} is not {expected}");
}

const SLOW: [&[u64]; 6] = [&[40, 44], &[47, 42], &[20, 45], &[43, 46], &[48, 41], &[44, 49]];
const FAST: [&[u64]; 6] = [&[20, 22], &[21, 25], &[24, 20], &[23, 26], &[22, 27], &[25, 21]];

#[test]
fn ranks_are_those_of_mann_and_whitney() {
    // U of scipy.stats.mannwhitneyu is 133 of 144; variance and p of the formulas in numpy.
    let found = ttfb(&waits(&FAST), &waits(&SLOW));
    let test = found.test.unwrap();
    near(test.p_b_worse, 133.0 / 144.0, "superiority");
    near(test.p_value, 0.011_356_590_7, "p");
    near(test.p_b_worse - test.low, 0.287_869_374_9, "reach");
    near(test.widened, 1.0, "minutes do not differ");
    assert_eq!((found.a.n, found.b.minutes), (12, 6));
    // ttfb and total, which is the same here, are two tests.
    near(test.p_adjusted, 2.0 * test.p_value, "adjusted");
    let pair = found.difference.unwrap();
    assert_eq!((pair.p50, pair.p95), (22.0, 22.0));
    near(found.ratio.unwrap().p50.unwrap(), 2.0, "ratio of medians");
}

#[test]
fn minutes_that_differ_widen_the_interval_and_ties_count_half() {
    let a = waits(&[&[10, 11, 12], &[30, 31], &[12, 10], &[33, 30, 35], &[11, 13], &[29, 31]]);
    let b = waits(&[&[20, 21], &[12, 11, 30], &[40, 41], &[22, 24], &[43, 45, 40], &[21, 10]]);
    let found = ttfb(&a, &b);
    let test = found.test.unwrap();
    near(test.p_b_worse, 0.627_551_020_4, "superiority");
    near(test.p_value, 0.494_712_961, "p");
    near(test.widened, 2.324_316_519_2, "widened");
    near(test.high - test.p_b_worse, (1.0 - 0.627_551_020_4_f64).min(0.430_822_004_8), "reach");
    assert_eq!((found.effect, found.reason), (Effect::NoDifferenceTold, Some(Reason::Chance)));
    // Turned round, it is the same the other way.
    let back = ttfb(&b, &a).test.unwrap();
    near(back.p_b_worse, 1.0 - test.p_b_worse, "turned round");
    near(back.p_value, test.p_value, "turned round");
}

/// `minutes` of six waits around `ms`, a few ms to either side.
fn around(ms: u64, minutes: u64) -> Cohort {
    cohort((0..minutes).map(|at| {
        (0..6).map(|i| event(ms * 1_000 + (at * 7 + i * 13) % 10 * 400)).collect::<Vec<_>>()
    }))
}

#[test]
fn what_is_told_is_beyond_chance_and_of_a_size_that_matters() {
    let base = around(100, 30);
    let told = |b: u64| {
        let found = ttfb(&base, &around(b, 30));
        (found.effect, found.reason)
    };
    assert_eq!(told(150), (Effect::BSlower, None));
    assert_eq!(told(60), (Effect::BFaster, None));
    assert_eq!(told(100).1, Some(Reason::Chance));
    // Sure, and 5 ms: less than 30.
    assert_eq!(told(105), (Effect::NoDifferenceTold, Some(Reason::TooSmall)));
    // 40 ms, and a tenth of what there was.
    let (far, farther) = (around(400, 30), around(440, 30));
    assert_eq!(ttfb(&far, &farther).reason, Some(Reason::TooSmall));
}

#[test]
fn a_rate_is_worse_where_it_is_less() {
    let rates = |kbps: u64| {
        cohort((0_u64..20).map(|at| {
            let rate = |i: u64| Some(BitsPerSecond((kbps + (at * 3 + i * 5) % 8 * 10) * 1_000));
            (0..3).map(|i| Event { throughput: rate(i), ..event(1) }).collect::<Vec<_>>()
        }))
    };
    let rate = |a: u64, b: u64| {
        compare(&rates(a), &rates(b)).stages.swap_remove(Metric::Throughput as usize)
    };
    let slower = rate(50_000, 20_000);
    assert_eq!((slower.effect, slower.unit), (Effect::BSlower, "kbps"));
    assert!(slower.test.unwrap().p_b_worse > 0.99 && slower.difference.unwrap().p50 < 0.0);
    assert_eq!(rate(20_000, 50_000).effect, Effect::BFaster);
    assert_eq!(rate(50_000, 45_000).reason, Some(Reason::TooSmall), "less by a tenth");
}

#[test]
fn absent_is_absent_and_little_is_too_little() {
    let some = around(100, 30);
    let found = compare(&some, &Cohort::default());
    let absent = &found.stages[Metric::Ttfb as usize];
    assert_eq!((absent.b.n, absent.b.p50, absent.difference), (0, None, None));
    assert_eq!((absent.test, absent.effect), (None, Effect::TooFew));
    assert_eq!((found.failures.b.share, found.failures.effect), (None, FailuresEffect::TooFew));
    let json = serde_json::to_value(&found).unwrap();
    assert!(json["stages"][3]["b"]["p50"].is_null() && json["stages"][3]["test"].is_null());
    // Many samples of few minutes say little of how much minutes differ.
    let short = ttfb(&some, &around(500, 4));
    assert_eq!((short.b.n, short.test, short.effect), (24, None, Effect::TooFew));
    assert!(short.difference.unwrap().p50 > 399.0, "it is shown all the same");
    // All samples equal: no variance, no difference.
    let same = waits(&[&[5_u64, 5][..]; 9]);
    let equal = ttfb(&same, &same).test.unwrap();
    assert_eq!((equal.p_b_worse, equal.p_value), (0.5, 1.0));
}

#[test]
fn p_values_are_adjusted_in_order() {
    let mut stages = compare(&around(100, 9), &around(100, 9)).stages;
    let test = stages[Metric::Ttfb as usize].test;
    for (stage, p) in stages.iter_mut().zip([0.01, 0.04, 0.03, 0.005, 0.5, 0.04]) {
        stage.test = test.map(|test| Test { p_value: p, ..test });
    }
    adjust(&mut stages);
    let adjusted: Vec<f64> =
        stages.iter().filter_map(|stage| Some(stage.test?.p_adjusted)).collect();
    // R: p.adjust(c(0.01, 0.04, 0.03, 0.005, 0.5, 0.04), "holm").
    for (got, expected) in adjusted.into_iter().zip([0.05, 0.12, 0.12, 0.03, 0.5, 0.12]) {
        near(got, expected, "Holm");
    }
}

#[test]
fn failures_are_told_with_their_clumps() {
    let failing = |minutes: u64, fails: fn(u64, u64) -> bool| {
        cohort((0..minutes).map(|at| {
            (0..6)
                .map(|i| Event {
                    failure: fails(at, i).then_some(ErrorStage::Tcp),
                    ..event(50_000)
                })
                .collect::<Vec<_>>()
        }))
    };
    let none = failing(60, |_, _| false);
    let spread = failing(60, |_, i| i == 0);
    let found = compare(&none, &spread).failures;
    assert_eq!((found.b.failed, found.b.n, found.effect), (60, 360, FailuresEffect::BFailsMore));
    let even = found.b.share.unwrap();
    assert!(even.low > 0.12 && even.high < 0.23, "{even:?}");
    assert_eq!(compare(&spread, &none).failures.effect, FailuresEffect::BFailsLess);
    assert_eq!(compare(&spread, &spread).failures.effect, FailuresEffect::NoDifferenceTold);
    // As many at once: one thing that happened, not sixty.
    let clumped = compare(&none, &failing(60, |at, _| (20..30).contains(&at))).failures;
    let clump = clumped.b.share.unwrap();
    assert_eq!(clumped.b.failed, 60);
    assert!(clump.high - clump.low > 3.0 * (even.high - even.low), "{clump:?} {even:?}");
    // A failed transfer had its first byte.
    let transfers = cohort(
        (0..9).map(|_| vec![Event { failure: Some(ErrorStage::Throughput), ..event(50_000) }; 6]),
    );
    assert_eq!(compare(&none, &transfers).failures.b.failed, 0);
}

#[test]
fn a_cohort_is_bounded() {
    let mut cohort = Cohort::default();
    for at in 0..MOST_MINUTES {
        cohort.add(Minute(at as i64), &Window::default()).unwrap();
    }
    let error = cohort.add(Minute(-1), &Window::default()).unwrap_err();
    assert!(error.to_string().contains("10080 minutes"), "{error}");
    cohort.add(Minute(0), &Window::default()).unwrap();
}

/// Numbers that look random, from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn even(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.even(), self.even());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Minutes whose levels differ by `between` deviations of a sample, each resembling the one before
    /// by `memory`.
    fn world(&mut self, minutes: usize, per_minute: usize, between: f64, memory: f64) -> Cohort {
        let mut level = self.normal();
        let fresh = (1.0 - memory * memory).sqrt();
        let each = (0..minutes).map(|_| {
            level = memory * level + fresh * self.normal();
            let sample = |_| {
                let log = 11.5 + 0.3 * (between * level + self.normal());
                event(log.exp() as u64)
            };
            (0..per_minute).map(sample).collect::<Vec<_>>()
        });
        cohort(each.collect::<Vec<_>>())
    }
}

/// Of 200 pairs of cohorts from one world, how many differ by chance's 5 %.
fn false_alarms(minutes: usize, per_minute: usize, between: f64, memory: f64) -> f64 {
    let mut dice = Dice(7);
    let mut pair = || {
        let a = dice.world(minutes, per_minute, between, memory);
        let b = dice.world(minutes, per_minute, between, memory);
        test(Metric::Ttfb, &a, &b).unwrap().p_value < 0.05
    };
    (0..200).filter(|_| pair()).count() as f64 / 200.0
}

#[test]
fn chance_is_taken_for_a_difference_about_as_often_as_is_said() {
    // What is said is 0.05; of 200 pairs, up to 0.1 is within three deviations.
    for (minutes, per_minute, between, memory) in [
        (10, 6, 0.0, 0.0),
        (60, 6, 0.0, 0.0),
        (60, 2, 0.5, 0.0),
        (60, 30, 0.5, 0.0),
        (120, 6, 0.5, 0.5),
    ] {
        let share = false_alarms(minutes, per_minute, between, memory);
        assert!(share <= 0.1, "{minutes} {per_minute} {between} {memory}: {share}");
    }
    // Where samples are independent it must not be so cautious that it says nothing.
    assert!(false_alarms(60, 6, 0.0, 0.0) >= 0.01);
    // The same minutes taken for independent samples would cry wolf in more than every fourth pair.
    let share = false_alarms(60, 30, 0.5, 0.5);
    assert!(share <= 0.15, "neighbours resemble each other: {share}");
}
