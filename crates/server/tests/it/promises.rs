//! What the platform promises of accepted events, from the wire to the read API: the same events
//! give the same windows, percentiles are exact while they are few, and late is not lost.

use std::io::Write;

use proptest::prelude::*;
use serde_json::{Value, json};
use server::diagnoser::Fleet;

use crate::platform::{NOW, Platform, Sent, wire};
use crate::world::T0;

const MINUTE: i64 = 60_000;
const STAGES: [&str; 7] =
    ["dns", "tcp", "tls", "http", "throughput", "throughput_timeout", "parse"];

/// Events of two clients over two minutes: enough that each window's sketches leave the exact
/// form, with failures at every stage and both versions among them.
fn crowd() -> Vec<Value> {
    (0..400)
        .map(|n| {
            let mut event = wire(["a", "b"][n % 2], n as u128 / 2);
            let spread = ((n * n) % 997) as f64;
            event["ts_ms"] = json!(NOW - 1_000 - (n as i64 / 2 % 2) * MINUTE);
            event["schema_version"] = json!(["1.0", "1.1"][n / 4 % 2]);
            event["timings"] = json!({
                "dns_ms": 1.5 + spread, "tcp_ms": 20.0 + spread / 7.0,
                "tls_ms": 30.0 + spread / 3.0, "http_ttfb_ms": 40.0 + spread * 11.0,
            });
            if n % 3 == 0 {
                event["throughput_kbps"] = json!(50_000.0 + spread);
            }
            if n % 11 == 0 {
                event["error_stage"] = json!(STAGES[n / 11 % STAGES.len()]);
            }
            event
        })
        .collect()
}

/// A way for a batch to travel.
#[derive(Clone, Copy, Debug)]
enum Form {
    Array,
    Lines,
    Gzip,
    Zstd,
}

fn sent(token: &str, events: &[&Value], form: Form) -> Sent {
    let array = json!(events).to_string().into_bytes();
    match form {
        Form::Array => Sent::new(token, array),
        Form::Lines => {
            let lines: Vec<_> = events.iter().map(ToString::to_string).collect();
            Sent::new(token, lines.join("\n")).ndjson()
        }
        Form::Gzip => {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(&array).unwrap();
            Sent::new(token, packer.finish().unwrap()).with("content-encoding", "gzip")
        }
        Form::Zstd => {
            let packed = zstd::encode_all(&*array, 3).unwrap();
            Sent::new(token, packed).with("content-encoding", "zstd")
        }
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_same_events_leave_the_same_bytes(
        order in Just((0..400).collect::<Vec<usize>>()).prop_shuffle(),
        sizes in prop::collection::vec((1_usize..150, 0_usize..20), 12),
        forms in prop::collection::vec(
            prop::sample::select(vec![Form::Array, Form::Lines, Form::Gzip, Form::Zstd]), 12),
    ) {
        let crowd = crowd();
        run(async {
            let [whole, parts] = [Platform::new(), Platform::new()];
            let all: Vec<_> = crowd.iter().collect();
            let answer = whole.send(sent(&whole.token, &all, Form::Array)).await;
            assert_eq!((answer.status, &answer.body["duplicates"]), (202, &0.into()));

            // In parts of any size and form, each reaching back into what was sent before.
            let mut at = 0;
            let mut duplicates = 0;
            for ((size, again), form) in sizes.into_iter().zip(forms).cycle() {
                let from = at - at.min(again);
                let to = order.len().min(at + size);
                let events: Vec<_> = order[from..to].iter().map(|&n| &crowd[n]).collect();
                let answer = parts.send(sent(&parts.token, &events, form)).await;
                assert_eq!((answer.status, answer.rejected()), (202, vec![]));
                assert_eq!(answer.body["duplicates"], at - from);
                duplicates += at - from;
                at = to;
                if at == order.len() && duplicates > 0 {
                    break;
                }
            }
            assert_eq!(whole.world.contents(), parts.world.contents());
            assert_eq!(whole.counted("a").await + whole.counted("b").await, 400);
            assert!(whole.world.contents().iter().all(|(row, _)| row.counts.total == 100));
        });
    }
}

/// What the contract lets through at its edges, from nothing to more than a life.
fn extreme() -> impl Strategy<Value = Value> {
    let amount = || prop::sample::select(vec![0.0, 1e-9, 0.4, 12.0, 1e5, 1e15, 1e300, f64::MAX]);
    let times = [amount(), amount(), amount(), amount(), amount(), amount()];
    let stage = prop::option::weighted(0.3, prop::sample::select(&STAGES[..]));
    // Mostly ordinary, so that there is something usual to be compared with.
    (0.0..1.0, 0_i64..90, times, stage).prop_map(|(luck, minute, times, stage)| {
        let mut event = wire("c", 0);
        event["schema_version"] = json!("1.1");
        event["ts_ms"] = json!(NOW - minute * MINUTE);
        if luck > 0.5 {
            let [dns, tcp, tls, ttfb, total, kbps] = times;
            event["timings"] = json!({
                "dns_ms": dns, "tcp_ms": tcp, "tls_ms": tls, "http_ttfb_ms": ttfb,
                "total_ms": total,
            });
            event["throughput_kbps"] = json!(kbps);
            event["error_stage"] = json!(stage);
        }
        event
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_accepted_can_be_judged_and_read(
        mut events in prop::collection::vec(extreme(), 1..700),
    ) {
        for (n, event) in (0..).zip(&mut events) {
            event["event_id"] = wire("c", n)["event_id"].clone();
        }
        run(async {
            let platform = Platform::new();
            let answer = platform.post(json!(events).to_string()).await;
            assert_eq!((answer.status, answer.rejected()), (202, vec![]));
            platform.judge(&mut Fleet::default(), NOW + 2 * MINUTE).await;
            assert_eq!(platform.counted("c").await, events.len() as u64);
            let since = NOW - 100 * MINUTE;
            for page in ["summary", "incidents"] {
                let answer = platform.get(&format!("/api/v1/{page}?from={since}")).await;
                assert_eq!((answer.status, &answer.body["truncated"]), (200, &json!(false)));
            }
        });
    }
}

/// Samples that are spread over some magnitudes, in no order.
fn samples(n: u64) -> Vec<u64> {
    (0..n).map(|i| 1_000 + (i * 7_919 % 10_007) * (i * 104_729 % 1_009)).collect()
}

fn nearest_rank(samples: &[u64], percent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() * percent).div_ceil(100) - 1] as f64 / 1e3
}

fn assert_percentiles(row: &Value, samples: &[u64], exact: bool) {
    let metrics = ["dns", "tcp", "tls", "ttfb", "total", "throughput"];
    for (at, metric) in metrics.into_iter().enumerate() {
        let unit = if metric == "throughput" { "kbps" } else { "ms" };
        // As `percentile_event` spreads them.
        let own: Vec<_> = samples.iter().map(|us| us * (at as u64 + 1)).collect();
        for percent in [50, 95, 99] {
            let told = row[format!("{metric}_p{percent}_{unit}")].as_f64().unwrap();
            let wanted = nearest_rank(&own, percent);
            let error = (told - wanted).abs() / wanted;
            let most = if exact { 0.0 } else { 0.01 };
            assert!(error <= most, "{metric} p{percent} of {}: {told}, {wanted}", own.len());
        }
    }
}

fn percentile_event(client: &str, n: usize, us: u64, ts_ms: i64) -> Value {
    let mut event = wire(client, n as u128);
    let times = |factor: u64| (us * factor) as f64 / 1e3;
    event["schema_version"] = json!("1.1");
    event["ts_ms"] = json!(ts_ms);
    event["timings"] = json!({
        "dns_ms": times(1), "tcp_ms": times(2), "tls_ms": times(3), "http_ttfb_ms": times(4),
        "total_ms": times(5),
    });
    event["throughput_kbps"] = json!(times(6));
    event
}

/// A failed event counts for the stages that completed before it failed; a throughput that failed
/// takes nothing from the others, the total included.
#[tokio::test]
async fn a_failure_counts_in_its_stage_and_spoils_what_comes_after() {
    let platform = Platform::new();
    // Stage, and which of dns, tcp, tls, ttfb, total and throughput have a percentile.
    let rows = [
        (None, [true; 6]),
        (Some("dns"), [false; 6]),
        (Some("TCP"), [true, false, false, false, false, false]),
        (Some("Tls"), [true, true, false, false, false, false]),
        (Some("http"), [true, true, true, false, false, false]),
        (Some("throughput"), [true, true, true, true, true, false]),
        (Some("THROUGHPUT_timeout"), [true, true, true, true, true, false]),
        (Some("parse"), [true, true, true, true, false, true]),
    ];
    for version in ["1.0", "1.1"] {
        for (stage, completed) in rows {
            let client = format!("{version}-{}", stage.unwrap_or("none"));
            let mut event = wire(&client, 0);
            event["schema_version"] = json!(version);
            event["throughput_kbps"] = json!(94_300);
            event["error_stage"] = json!(stage);
            let answer = platform.post(event.to_string()).await;
            assert_eq!((answer.status, answer.rejected()), (202, vec![]), "{client}");
            let [window] = &platform.windows(&client).await[..] else { panic!("{client}") };
            let failed = u64::from(stage.is_some());
            for (name, count) in [("total", 1), ("success", 1 - failed), ("error", failed)]
                .map(|(n, c)| (format!("count_{n}"), c))
            {
                assert_eq!(window[&name], count, "{client} {name}");
            }
            for of in STAGES {
                let here = stage.is_some_and(|stage| stage.eq_ignore_ascii_case(of));
                assert_eq!(window[format!("errors_{of}")], u64::from(here), "{client} {of}");
            }
            let names = [
                "dns_p50_ms",
                "tcp_p50_ms",
                "tls_p50_ms",
                "ttfb_p50_ms",
                "total_p50_ms",
                "throughput_p50_kbps",
            ];
            let told = names.map(|name| window[name].is_number());
            assert_eq!(told, completed, "{client}");
        }
    }
}

/// In 1.0 a 0 stands for "no such stage" of look-up, handshake and throughput; in 1.1 it was
/// measured, and what was not is absent.
#[tokio::test]
async fn nothing_and_zero_are_told_apart_as_each_version_has_it() {
    let platform = Platform::new();
    let zeros =
        json!({"dns_ms": 0, "tcp_ms": 0, "tls_ms": 0, "http_ttfb_ms": 80.5, "total_ms": 99});
    let absent = json!({"tcp_ms": 0, "http_ttfb_ms": 80.5, "total_ms": 99});
    let (none, zero) = (Value::Null, json!(0.0));
    let rows = [
        ("1.0", &zeros, Some(0), [&none, &zero, &none, &json!(80.5), &none]),
        ("1.1", &zeros, Some(0), [&zero, &zero, &zero, &json!(99.0), &zero]),
        ("1.1", &absent, None, [&none, &zero, &none, &json!(99.0), &none]),
    ];
    for (at, (version, timings, kbps, expected)) in rows.into_iter().enumerate() {
        let client = format!("zero-{at}");
        let mut event = wire(&client, 0);
        event["schema_version"] = json!(version);
        event["timings"] = timings.clone();
        event["throughput_kbps"] = json!(kbps);
        assert_eq!(platform.post(event.to_string()).await.status, 202, "{client}");
        let [window] = &platform.windows(&client).await[..] else { panic!("{client}") };
        let names =
            ["dns_p50_ms", "tcp_p50_ms", "tls_p50_ms", "total_p50_ms", "throughput_p50_kbps"];
        assert_eq!(names.map(|name| &window[name]), expected, "{client}");
    }
}

#[tokio::test]
async fn percentiles_are_exact_while_few_and_within_a_percent_of_many() {
    let platform = Platform::new();
    for n in [1, 2, 3, 20, 63, 64, 65, 200, 3_000] {
        let client = format!("client-{n}");
        let samples = samples(n);
        let events = samples.iter().enumerate();
        let events: Vec<_> =
            events.map(|(at, &us)| percentile_event(&client, at, us, NOW - 1_000)).collect();
        for batch in events.chunks(1_000) {
            assert_eq!(platform.post(json!(batch).to_string()).await.status, 202);
        }
        let [window] = &platform.windows(&client).await[..] else { panic!() };
        assert_percentiles(window, &samples, n <= 64);
    }
}

#[tokio::test]
async fn percentiles_of_merged_windows_are_those_of_all_their_events() {
    // Minutes of unequal size and speed, so that no mean of percentiles comes near.
    for (sizes, exact) in [([40, 3, 20], true), ([900, 5, 70], false)] {
        let platform = Platform::new();
        let mut all = Vec::new();
        for (minute, size) in (0_i64..).zip(sizes) {
            let samples = samples(size).into_iter().map(|us| us * (1 + 40 * minute.unsigned_abs()));
            let batch: Vec<_> = samples
                .enumerate()
                .map(|(at, us)| {
                    all.push(us);
                    percentile_event("c", 10_000 * (minute as usize) + at, us, T0 - minute * MINUTE)
                })
                .collect();
            assert_eq!(platform.post(json!(batch).to_string()).await.status, 202);
        }
        let answer = platform.get("/api/v1/summary").await;
        let [row] = &answer.body["summary"].as_array().unwrap()[..] else { panic!("{answer:?}") };
        assert_eq!((&row["windows"], &row["count_total"]), (&3.into(), &all.len().into()));
        assert_percentiles(row, &all, exact);
    }
}

#[tokio::test]
async fn a_late_event_reopens_its_window_and_has_it_judged_again() {
    let platform = Platform::new();
    let begin = T0 - 120 * MINUTE;
    let events = |minutes: std::ops::Range<i64>, each: i64, dns_ms: f64, ids: i64| {
        let events = minutes.flat_map(move |minute| {
            (0..each).map(move |n| {
                let mut event = wire("c", (ids + minute * 1_000 + n).unsigned_abs().into());
                event["ts_ms"] = json!(begin + minute * MINUTE + n * 100);
                event["timings"]["dns_ms"] = json!(dns_ms + (n % 20) as f64 / 10.0);
                event
            })
        });
        Value::Array(events.collect()).to_string()
    };
    let windows = async || platform.windows("c").await;
    let incidents = async || {
        let query = format!("from={begin}&to={NOW}");
        platform.get(&format!("/api/v1/incidents?{query}")).await.body["incidents"].clone()
    };
    let mut fleet = Fleet::default();

    assert_eq!(platform.post(events(0..30, 6, 10.0, 0)).await.status, 202);
    platform.judge(&mut fleet, NOW + MINUTE).await;
    assert_eq!(incidents().await, json!([]));
    for window in windows().await {
        assert_eq!((&window["provisional"], &window["revision"]), (&false.into(), &1.into()));
    }

    // More than an hour late: most of what those minutes held.
    assert_eq!(platform.post(events(25..30, 20, 210.0, 100_000)).await.status, 202);
    platform.judge(&mut fleet, NOW + 2 * MINUTE).await;
    // The first of all have no past to be judged by.
    for (at, window) in windows().await.into_iter().enumerate().skip(10) {
        let (revision, count) = if at >= 25 { (2, 26) } else { (1, 6) };
        let told = (&window["revision"], &window["count_total"]);
        assert_eq!(told, (&revision.into(), &count.into()), "{at}");
        assert_eq!(window["provisional"], false);
    }
    let told = incidents().await;
    let [incident] = &told.as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!((&incident["label"], &incident["withdrawn"]), (&"dns-bound".into(), &false.into()));
    assert_eq!(incident["onset_ts"], begin + 25 * MINUTE);
    assert_eq!(incident["last_bad_ts"], begin + 29 * MINUTE);

    // The same again is no news: no revision, nothing to judge.
    let answer = platform.post(events(25..30, 20, 210.0, 100_000)).await;
    assert_eq!(answer.body["duplicates"], 100);
    assert_eq!(windows().await.iter().filter(|window| window["revision"] == 2).count(), 5);
    assert_eq!(platform.world.reader().reopened().unwrap(), []);

    // And later still it turns out that nearly all was well.
    assert_eq!(platform.post(events(25..30, 500, 10.0, 500_000)).await.status, 202);
    platform.judge(&mut fleet, NOW + 3 * MINUTE).await;
    for window in &windows().await[25..] {
        let told = (&window["revision"], &window["count_total"], &window["diagnosis_label"]);
        assert_eq!(told, (&3.into(), &526.into(), &Value::Null));
    }
    let told = incidents().await;
    let [taken_back] = &told.as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!((&taken_back["id"], &taken_back["withdrawn"]), (&incident["id"], &true.into()));
}
