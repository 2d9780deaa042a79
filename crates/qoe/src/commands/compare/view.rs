//! A comparison as a person reads it: who is compared, the numbers, what is told of them.

use std::fmt::Write;

use jiff::tz::TimeZone;
use model::Metric;
use model::compare::{Effect, Failures, FailuresEffect, FailuresSide, Reason, Side, Stage};

use super::bar::bar;
use super::{Found, Told};
use crate::commands::report::view::clock;
use crate::render::table::{Align, table};
use crate::render::units::{self, ABSENT};
use crate::render::{Ink, Style};

pub(super) fn text(found: &Found, zone: &TimeZone, style: Style) -> String {
    let mut out = String::new();
    for (name, told) in [("A", &found.a), ("B", &found.b)] {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}  {}", style.paint(Ink::Strong, name), cohort(told, zone));
    }
    let empty: Vec<_> = [("A", &found.a), ("B", &found.b)]
        .into_iter()
        .filter(|(_, told)| told.windows == 0)
        .map(|(name, _)| name)
        .collect();
    if !empty.is_empty() {
        let _ = writeln!(
            out,
            "\nNothing was measured in {}, so there is nothing to compare. `qoe report --since 7d` shows \
             the names of clients and targets, and when there are measurements.",
            empty.join(" and "),
        );
        return out;
    }
    let stages = &found.comparison.stages;
    let _ = write!(out, "\n{}\n{}", numbers(stages), verdicts(stages, style));
    let _ = writeln!(out, "\n{}", failures(&found.comparison.failures, style));
    if found.overlap {
        out.push_str("A and B may share measurements, which can hide a difference.\n");
    }
    out.push_str(
        "p is adjusted for all stages. Minutes are not independent: intervals are widened by what they\n\
         and their neighbours differ by; a drift over hours within one cohort is not in them.\n",
    );
    out
}

/// `lab-1 at https://shop.example/, 2026-11-24 12:00 to 2026-11-24 14:00: 720 measurements`.
fn cohort(told: &Told, zone: &TimeZone) -> String {
    let at = |ms| clock(ms, zone, "%Y-%m-%d %H:%M");
    let mut line = format!(
        "{}, {} to {}: {}",
        told.cohort,
        at(told.cohort.from_ms),
        at(told.cohort.to_ms),
        units::count(told.count_total, "measurement"),
    );
    if told.count_troubled > 0 {
        let _ = write!(line, ", {} set aside", told.count_troubled);
    }
    line
}

/// How much each has, its median and its 95th percentile, and how far they are apart.
fn numbers(stages: &[Stage]) -> String {
    let right = |title| (title, Align::Right);
    let heading = [
        ("", Align::Left),
        right("A n"),
        right("p50"),
        right("p95"),
        right("B n"),
        right("p50"),
        right("p95"),
        right("B-A p50"),
        right("times"),
        right("B-A p95"),
        right("times"),
    ];
    let rows: Vec<_> = stages.iter().map(row).collect();
    table(&heading, &rows)
}

fn row(stage: &Stage) -> Vec<String> {
    let shown = |value: Option<f64>| value.map_or_else(|| ABSENT.to_owned(), |v| of(stage, v));
    let side = |side: &Side| [side.n.to_string(), shown(side.p50), shown(side.p95)];
    let off = |value: Option<f64>| {
        value.map_or_else(
            || ABSENT.to_owned(),
            |v| format!("{}{}", if v < 0.0 { "-" } else { "+" }, of(stage, v.abs())),
        )
    };
    let times = |value: Option<f64>| value.map_or_else(|| ABSENT.to_owned(), |v| format!("{v:.2}"));
    let (apart, ratio) = (stage.difference, stage.ratio);
    let mut row = vec![name(stage.stage).to_owned()];
    row.extend(side(&stage.a));
    row.extend(side(&stage.b));
    row.push(off(apart.map(|pair| pair.p50)));
    row.push(times(ratio.and_then(|ratio| ratio.p50)));
    row.push(off(apart.map(|pair| pair.p95)));
    row.push(times(ratio.and_then(|ratio| ratio.p95)));
    row
}

/// How likely B is the worse, how sure that is, and what is told.
fn verdicts(stages: &[Stage], style: Style) -> String {
    let heading = [
        ("", Align::Left),
        ("B better  =  B worse", Align::Left),
        ("share", Align::Right),
        ("95 %", Align::Left),
        ("p", Align::Right),
        ("told", Align::Left),
    ];
    let rows: Vec<_> = stages.iter().map(|stage| verdict(stage, style)).collect();
    let lines = table(&heading, &rows);
    let inks = [None].into_iter().chain(stages.iter().map(|stage| ink(stage.effect)));
    let painted = lines.lines().zip(inks).map(|(line, ink)| match ink {
        Some(ink) => format!("{}\n", style.paint(ink, line)),
        None => format!("{line}\n"),
    });
    painted.collect()
}

fn verdict(stage: &Stage, style: Style) -> Vec<String> {
    let name = name(stage.stage).to_owned();
    let told = told(stage).to_owned();
    match stage.test {
        None => {
            vec![name, String::new(), ABSENT.to_owned(), String::new(), ABSENT.to_owned(), told]
        }
        Some(test) => vec![
            name,
            bar(test.low, test.p_b_worse, test.high, style),
            format!("{:.2}", test.p_b_worse),
            format!("{:.2} to {:.2}", test.low, test.high),
            probability(test.p_adjusted),
            told,
        ],
    }
}

fn told(stage: &Stage) -> &'static str {
    match (stage.effect, stage.reason) {
        (Effect::BSlower, _) => "B slower",
        (Effect::BFaster, _) => "B faster",
        (Effect::TooFew, _) if stage.a.n == 0 && stage.b.n == 0 => "not measured",
        (Effect::TooFew, _) => "too few: 10 samples in 5 minutes of each are needed",
        (Effect::NoDifferenceTold, Some(Reason::TooSmall)) => {
            "no difference told: too small to matter"
        }
        (Effect::NoDifferenceTold, _) => "no difference told: chance would show as much",
    }
}

fn ink(effect: Effect) -> Option<Ink> {
    match effect {
        Effect::BSlower => Some(Ink::Bad),
        Effect::BFaster => Some(Ink::Good),
        Effect::TooFew | Effect::NoDifferenceTold => None,
    }
}

/// `failed before the first byte: A 0.3 % (1 of 360, 0.1 to 1.6), B ...: B fails more often, by ...`.
fn failures(failures: &Failures, style: Style) -> String {
    let percent = |share: f64| format!("{:.1}", share * 100.0);
    let side = |name: &str, side: &FailuresSide| match side.share {
        None => format!("{name} {ABSENT}"),
        Some(share) => format!(
            "{name} {} % ({} of {}, {} to {})",
            percent(share.value),
            side.failed,
            side.n,
            percent(share.low),
            percent(share.high)
        ),
    };
    let words = match failures.effect {
        FailuresEffect::TooFew => "too few to compare".to_owned(),
        FailuresEffect::NoDifferenceTold => "no difference told".to_owned(),
        FailuresEffect::BFailsMore => style.paint(Ink::Bad, "B fails more often"),
        FailuresEffect::BFailsLess => style.paint(Ink::Good, "B fails less often"),
    };
    let apart = failures.difference.map(|apart| {
        let point = |share: f64| format!("{:+.1}", share * 100.0);
        let (low, high) = (point(apart.low), point(apart.high));
        format!(" ({} points, {low} to {high})", point(apart.value))
    });
    format!(
        "Failed before the first byte: {}, {}: {words}{}",
        side("A", &failures.a),
        side("B", &failures.b),
        apart.unwrap_or_default()
    )
}

fn probability(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

fn of(stage: &Stage, value: f64) -> String {
    match stage.stage {
        Metric::Throughput => units::rate(value),
        _ => units::millis(value),
    }
}

fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::Dns => "DNS",
        Metric::Tcp => "TCP",
        Metric::Tls => "TLS",
        Metric::Ttfb => "wait",
        Metric::Total => "total",
        Metric::Throughput => "throughput",
    }
}
