//! What was told, against what was done.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::faults::Fault;

const MINUTE_MS: i64 = 60_000;

/// How long before a fault an incident may be told to have begun and still be of it.
const EARLY_MS: i64 = 2 * MINUTE_MS;

/// An incident, as far as it is scored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) scope: String,
    pub(super) scope_id: String,
    pub(super) cells: usize,
    pub(super) onset_ms: i64,
    pub(super) told_ms: i64,
    pub(super) text: String,
}

impl Told {
    /// Of an answer of the API; absent where it is not one, or was taken back.
    pub(super) fn of(incident: &Value) -> Option<Self> {
        if incident["withdrawn"] == true {
            return None;
        }
        let text = |key: &str| incident[key].as_str().map(str::to_owned);
        Some(Self {
            id: text("id")?,
            label: text("label")?,
            scope: text("scope_type")?,
            scope_id: text("scope_id")?,
            cells: incident["cells"].as_array()?.len(),
            onset_ms: incident["onset_ts"].as_i64()?,
            told_ms: incident["told_ts"].as_i64()?,
            text: text("text")?,
        })
    }
}

/// A fault with the time it was there, and what was told of it.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) fault: Fault,
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    /// The most cells first.
    pub(super) told: Vec<Told>,
}

/// Gives each incident to the fault that it began in; the others are left.
pub(super) fn assign(faults: &mut [Done], told: Vec<Told>) -> Vec<Told> {
    let mut left = Vec::new();
    for told in told {
        let began_in = |done: &&mut Done| {
            done.from_ms - EARLY_MS <= told.onset_ms && told.onset_ms < done.to_ms
        };
        match faults.iter_mut().find(began_in) {
            Some(done) => done.told.push(told),
            None => left.push(told),
        }
    }
    for done in faults {
        done.told.sort_by_key(|told| (std::cmp::Reverse(told.cells), told.told_ms));
    }
    left
}

impl Done {
    fn main(&self) -> Option<&Told> {
        self.told.first()
    }

    fn is_right(&self) -> bool {
        self.main().is_some_and(|told| told.label == self.fault.label)
    }

    fn is_right_of_whom(&self) -> bool {
        self.main().is_some_and(|told| told.scope == self.fault.scope.kind())
    }
}

/// The tables, and each incident that is not as it should be with its sentence.
pub(super) fn report(faults: &[Done], left: &[Told]) -> String {
    let mut out = String::from(
        "| fault | expected | told | of whom | onset off by, min | told after, min | incidents |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for done in faults {
        let Fault { name, label, scope, .. } = &done.fault;
        let minutes = |ms: i64| ms as f64 / MINUTE_MS as f64;
        let told = done.main().map_or_else(
            || "– | – | – | –".to_owned(),
            |told| {
                let right = if done.is_right_of_whom() { "" } else { " (wrong)" };
                format!(
                    "{} | {}{right} | {:+.1} | {:.1}",
                    told.label,
                    whom(told),
                    minutes(told.onset_ms - done.from_ms),
                    minutes(told.told_ms - done.from_ms),
                )
            },
        );
        _ = writeln!(out, "| {name} | {label}, {} | {told} | {} |", scope.kind(), done.told.len());
    }
    let count = |right: fn(&Done) -> bool| faults.iter().filter(|done| right(done)).count();
    _ = writeln!(
        out,
        "\n{} of {} labels right, {} of whom right; {} incidents overlap no fault.\n",
        count(Done::is_right),
        faults.len(),
        count(Done::is_right_of_whom),
        left.len()
    );
    out += &confusion(faults);
    for done in faults {
        let wrong = !done.is_right() || !done.is_right_of_whom();
        for told in done.told.iter().skip(usize::from(!wrong)) {
            _ = writeln!(
                out,
                "{}: {} {} {}: {}",
                done.fault.name,
                told.id,
                told.label,
                whom(told),
                told.text
            );
        }
    }
    for told in left {
        _ = writeln!(out, "no fault: {} {} {}: {}", told.id, told.label, whom(told), told.text);
    }
    out
}

fn whom(told: &Told) -> String {
    format!("{} {}", told.scope, told.scope_id).trim_end().to_owned()
}

/// Expected by row, told by column.
fn confusion(faults: &[Done]) -> String {
    const NOTHING: &str = "nothing";
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    for done in faults {
        let told = done.main().map_or(NOTHING, |told| told.label.as_str());
        *counts.entry((done.fault.label, told)).or_default() += 1;
        rows.push(done.fault.label);
        columns.push(told);
    }
    for names in [&mut rows, &mut columns] {
        names.sort_unstable();
        names.dedup();
    }
    let mut out = format!("| expected \\ told | {} |\n|---|", columns.join(" | "));
    out += &"---|".repeat(columns.len());
    out.push('\n');
    for row in rows {
        let cells = columns.iter().map(|column| {
            counts.get(&(row, *column)).map_or_else(String::new, ToString::to_string)
        });
        _ = writeln!(out, "| {row} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::injection::faults;

    fn told(label: &str, scope: &str, cells: usize, onset: i64) -> Told {
        Told {
            id: format!("{label}-{onset}"),
            label: label.to_owned(),
            scope: scope.to_owned(),
            scope_id: "x".to_owned(),
            cells,
            onset_ms: onset * MINUTE_MS,
            told_ms: (onset + 2) * MINUTE_MS,
            text: "a sentence".to_owned(),
        }
    }

    fn done(name: &str, from: i64, to: i64) -> Done {
        let fault = faults::all().into_iter().find(|fault| fault.name == name).unwrap();
        Done { fault, from_ms: from * MINUTE_MS, to_ms: to * MINUTE_MS, told: Vec::new() }
    }

    #[test]
    fn the_incident_of_most_cells_is_the_one_that_counts() {
        let mut faults = [done("dns-delay", 10, 13), done("tls-delay", 16, 19)];
        let left = assign(
            &mut faults,
            vec![
                told("server-bound", "client", 1, 10),
                told("dns-bound", "resolver", 8, 11),
                told("server-bound", "target", 4, 16),
                told("path-delay", "cell", 1, 13),
            ],
        );
        assert_eq!(left, [told("path-delay", "cell", 1, 13)]);
        assert_eq!(faults[0].main().unwrap().label, "dns-bound");
        let text = report(&faults, &left);
        for part in [
            "| dns-delay | dns-bound, resolver | dns-bound | resolver x | +1.0 | 3.0 | 2 |",
            "| tls-delay | handshake-bound, target | server-bound | target x | +0.0 | 2.0 | 1 |",
            "1 of 2 labels right, 2 of whom right; 1 incidents overlap no fault.",
            "| expected \\ told | dns-bound | server-bound |",
            "| dns-bound | 1 |  |",
            "| handshake-bound |  | 1 |",
            "no fault: path-delay-13",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn what_was_taken_back_does_not_count() {
        let incident = serde_json::json!({
            "id": "1", "label": "dns-bound", "scope_type": "site", "scope_id": "a", "cells": [{}],
            "onset_ts": 60_000, "told_ts": 120_000, "text": "", "withdrawn": false,
        });
        assert_eq!(Told::of(&incident).unwrap().cells, 1);
        let mut gone = incident;
        gone["withdrawn"] = true.into();
        assert_eq!(Told::of(&gone), None);
    }
}
