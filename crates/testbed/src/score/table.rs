//! The comparison as text.

use std::fmt::Write as _;

use super::{FaultScore, Score};

/// Absent.
const NONE: &str = "–";
/// More missed cells than this are only counted.
const MISSED_SHOWN: usize = 3;

pub(super) fn render(score: &Score) -> String {
    let header = ["start", "min", "fault", "magnitude", "expected", "found", "delay", "also told"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(score.faults.iter().map(cells));
    let mut text = String::new();
    for (row, fault) in rows.iter().zip(std::iter::once(None).chain(score.faults.iter().map(Some)))
    {
        line(&mut text, row, &widths(&rows));
        if let Some(fault) = fault.filter(|fault| fault.label.is_some()) {
            missed(&mut text, fault);
        }
    }
    if !score.faults.is_empty() {
        text.push('\n');
    }
    figures(&mut text, score);
    text
}

fn cells(fault: &FaultScore) -> [String; 8] {
    let of = fault.found.len() + fault.missed.len();
    let minute = fault.from_ms.div_euclid(60_000).rem_euclid(1440);
    let otherwise: Vec<String> =
        fault.otherwise.iter().map(|(label, cells)| format!("{label} ({cells})")).collect();
    let absent = || NONE.to_owned();
    [
        format!("{:02}:{:02}", minute / 60, minute % 60),
        format!("{}", (fault.to_ms - fault.from_ms) / 60_000),
        fault.kind.clone(),
        fault.magnitude.clone(),
        fault.label.map_or_else(absent, |label| label.to_string()),
        fault.label.map_or_else(absent, |_| format!("{} of {of}", fault.found.len())),
        fault.delay.map_or_else(absent, |delay| delay.p50.to_string()),
        if otherwise.is_empty() { absent() } else { otherwise.join(", ") },
    ]
}

fn widths(rows: &[[String; 8]]) -> [usize; 8] {
    std::array::from_fn(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0))
}

fn line(text: &mut String, row: &[String; 8], widths: &[usize; 8]) {
    let padded = row.iter().zip(widths).enumerate().map(|(i, (cell, width))| match i {
        // Numbers to the right.
        1 | 6 => format!("{cell:>width$}"),
        _ => format!("{cell:<width$}"),
    });
    let line = padded.collect::<Vec<_>>().join("  ");
    text.push_str(line.trim_end());
    text.push('\n');
}

fn missed(text: &mut String, fault: &FaultScore) {
    for (client, target) in fault.missed.iter().take(MISSED_SHOWN) {
        _ = writeln!(text, "       missed {client} {target}");
    }
    let more = fault.missed.len().saturating_sub(MISSED_SHOWN);
    if more > 0 {
        _ = writeln!(text, "       and {more} more");
    }
}

fn figures(text: &mut String, score: &Score) {
    let ratio = |value: Option<f64>| value.map_or_else(|| NONE.to_owned(), |v| format!("{v:.3}"));
    let judged = score.right + score.mislabelled + score.false_alarms;
    let (found, cells, right) = (score.found, score.cells, score.right);
    _ = writeln!(
        text,
        "recall {} ({found} of {cells} cells; mean of faults {})  precision {} ({right} of {judged} \
         alarms)  F1 {}",
        ratio(score.recall),
        ratio(score.macro_recall),
        ratio(score.precision),
        ratio(score.f1),
    );
    let delay = score.delay.map_or_else(
        || NONE.to_owned(),
        |delay| format!("{} windows (median), {} (p90)", delay.p50, delay.p90),
    );
    _ = writeln!(text, "delay {delay}; {} mislabelled", score.mislabelled);
    let day = score.false_alarms_per_cell_day.map(|n| format!("{n:.2}"));
    let time = score.false_time.map(|share| format!("{:.2} %", share * 100.0));
    let absent = || NONE.to_owned();
    _ = writeln!(
        text,
        "false alarms {}: {} a cell and day, {} of the time without a fault",
        score.false_alarms,
        day.unwrap_or_else(absent),
        time.unwrap_or_else(absent),
    );
}

#[cfg(test)]
mod tests {
    use super::super::{Delay, Score};
    use super::*;
    use model::diagnosis::Label;

    #[test]
    fn a_row_a_fault_then_the_figures() {
        let cell = |client: &str| (client.to_owned(), "https://t.example/".to_owned());
        let fault = FaultScore {
            kind: "dns_delay".into(),
            magnitude: "+212 ms a look-up".into(),
            label: Some(Label::DnsBound),
            from_ms: 62 * 60_000,
            to_ms: 74 * 60_000,
            found: vec![cell("a"), cell("b")],
            missed: vec![cell("c")],
            delay: Some(Delay { p50: 1, p90: 2 }),
            otherwise: [("server-bound".to_owned(), 1)].into(),
        };
        let nameless = FaultScore {
            kind: "http_5xx".into(),
            magnitude: "503 for 30 % of requests".into(),
            label: None,
            found: vec![],
            delay: None,
            otherwise: [].into(),
            ..fault.clone()
        };
        let score = Score {
            cells: 3,
            found: 2,
            recall: Some(2.0 / 3.0),
            macro_recall: Some(2.0 / 3.0),
            runs: 3,
            right: 2,
            mislabelled: 1,
            precision: Some(2.0 / 3.0),
            f1: Some(2.0 / 3.0),
            delay: Some(Delay { p50: 1, p90: 2 }),
            false_alarms_per_cell_day: Some(0.0),
            false_time: None,
            faults: vec![fault, nameless],
            ..Score::default()
        };
        let expected = "\
start  min  fault      magnitude                 expected   found   delay  also told
01:02   12  dns_delay  +212 ms a look-up         dns-bound  2 of 3      1  server-bound (1)
       missed c https://t.example/
01:02   12  http_5xx   503 for 30 % of requests  –          –           –  –

recall 0.667 (2 of 3 cells; mean of faults 0.667)  precision 0.667 (2 of 3 alarms)  F1 0.667
delay 1 windows (median), 2 (p90); 1 mislabelled
false alarms 0: 0.00 a cell and day, – of the time without a fault
";
        assert_eq!(score.table(), expected);
    }
}
