//! The tables.

use std::fmt::Write as _;

use serde_json::json;

use super::tally::Tally;
use super::worlds::World;

/// Absent.
const NONE: &str = "–";

/// A world's table: a line for each rule set, then recall and precision by label.
pub(crate) fn text(world: &World, per_minute: u32, seeds: &[u64], tallies: &[Tally]) -> String {
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let mut out = format!(
        "\n{} · n = {per_minute} · seeds {}\n  {}\n",
        world.name,
        seeds.join(", "),
        world.what
    );
    let header = [
        "rules",
        "F1",
        "recall",
        "macro",
        "precision",
        "false/cell-day",
        "delay",
        "p90",
        "scope",
        "named",
        "onset",
        "per fault",
        "alarms",
        "us/event",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(tallies.iter().map(row));
    table(&mut out, &rows);
    by_label(&mut out, tallies);
    confused(&mut out, tallies);
    for tally in tallies.iter().filter(|tally| world.name == "drift" || tally.notes > 0) {
        let (cells, noted) = tally.noted;
        let (rules, notes) = (tally.rules, tally.notes);
        _ = writeln!(
            out,
            "  {rules}: {notes} notes of drift, within the first day on {noted} of {cells} cells"
        );
    }
    out
}

fn row(tally: &Tally) -> [String; 14] {
    let delay = |pick: fn(testbed::score::Delay) -> u64| {
        #[expect(clippy::cast_precision_loss, reason = "windows")]
        let mean = tally.mean(|score| Some(pick(score.delay?) as f64));
        mean.map_or_else(|| NONE.to_owned(), |delay| format!("{delay:.1}"))
    };
    let runs = tally.sum(|score| score.runs);
    let us = tally.took.as_secs_f64() * 1e6 / tally.events.max(1) as f64;
    [
        tally.rules.to_owned(),
        share(tally.mean(|score| score.f1)),
        share(tally.mean(|score| score.recall)),
        share(tally.mean(|score| score.macro_recall)),
        share(tally.mean(|score| score.precision)),
        share(tally.mean(|score| score.false_alarms_per_cell_day)),
        delay(|delay| delay.p50),
        delay(|delay| delay.p90),
        share(tally.scopes.and_then(|scopes| scopes.accuracy())),
        tally.scopes.map_or_else(|| NONE.to_owned(), |s| format!("{} of {}", s.named, s.faults)),
        share(tally.scopes.and_then(|scopes| scopes.onset_accuracy())),
        share(tally.scopes.and_then(|scopes| scopes.incidents_per_fault())),
        runs.to_string(),
        format!("{us:.2}"),
    ]
}

/// Recall and precision of each label, a column for each rule set.
fn by_label(out: &mut String, tallies: &[Tally]) {
    let mut labels: Vec<&String> = tallies
        .iter()
        .flat_map(|tally| tally.labels.iter())
        .filter(|(_, of)| of.cells > 0)
        .map(|(label, _)| label)
        .collect();
    labels.sort_unstable();
    labels.dedup();
    if labels.is_empty() {
        return;
    }
    let header = std::iter::once("recall / precision".to_owned());
    let mut rows: Vec<Vec<String>> =
        vec![header.chain(tallies.iter().map(|tally| tally.rules.to_owned())).collect()];
    for label in labels {
        let of = |tally: &Tally| match tally.labels.get(label).filter(|of| of.cells > 0) {
            Some(of) => format!("{} / {}", share(of.recall()), share(of.precision())),
            None => NONE.to_owned(),
        };
        rows.push(std::iter::once(label.clone()).chain(tallies.iter().map(of)).collect());
    }
    out.push('\n');
    table(out, &rows);
}

/// What else the best rule set told of each label's cells. The others' would be noise.
fn confused(out: &mut String, tallies: &[Tally]) {
    let f1 = |tally: &Tally| tally.mean(|score| score.f1).unwrap_or(0.0);
    let Some(best) = tallies.iter().max_by(|a, b| f1(a).total_cmp(&f1(b))) else { return };
    for (label, told) in best.confusion.iter().filter(|(label, _)| *label != "-") {
        let others = told.iter().filter(|(told, _)| *told != label);
        let others: Vec<String> = others.map(|(told, n)| format!("{told} {n}")).collect();
        if !others.is_empty() {
            _ = writeln!(out, "  {}: cells of {label} told {}", best.rules, others.join(", "));
        }
    }
}

/// One line for a program.
pub(crate) fn json(world: &World, per_minute: u32, seeds: &[u64], tally: &Tally) -> String {
    json!({
        "world": world.name,
        "n": per_minute,
        "seeds": seeds,
        "rules": tally.rules,
        "f1": tally.mean(|score| score.f1),
        "recall": tally.mean(|score| score.recall),
        "macro_recall": tally.mean(|score| score.macro_recall),
        "precision": tally.mean(|score| score.precision),
        "false_alarms_per_cell_day": tally.mean(|score| score.false_alarms_per_cell_day),
        "labels": tally.labels,
        "scopes": tally.scopes,
        "confusion": tally.confusion,
    })
    .to_string()
}

fn table(out: &mut String, rows: &[impl AsRef<[String]>]) {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.as_ref().get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    for row in rows {
        let mut line = String::from(" ");
        for (column, cell) in row.as_ref().iter().enumerate() {
            let pad = width(column).unwrap_or(0).saturating_sub(cell.chars().count());
            let pad = " ".repeat(pad);
            // Names to the left, figures to the right.
            _ = if column == 0 {
                write!(line, " {cell}{pad}")
            } else {
                write!(line, "  {pad}{cell}")
            };
        }
        _ = writeln!(out, "{}", line.trim_end());
    }
}

fn share(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| NONE.to_owned(), |ratio| format!("{ratio:.3}"))
}
