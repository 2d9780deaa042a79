//! From verdicts a window to runs that can be scored.

use std::collections::BTreeMap;

use model::units::MINUTE_MS;
use testbed::score::Told;

use super::detector::Verdict;

/// A verdict given longer after its window counts in the window it was given in, less this: what
/// is known afterwards has not been told in time.
const LATEST_MS: i64 = 5 * MINUTE_MS;

/// Runs of one label on consecutive windows of a cell.
pub(crate) fn runs(verdicts: &[Verdict]) -> Vec<Told> {
    let mut cells: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    for verdict in verdicts {
        let given_ms = verdict.first_given_ms - LATEST_MS;
        let start_ms = verdict.minute_ms.max(given_ms - given_ms.rem_euclid(MINUTE_MS));
        let cell = (verdict.client.as_str(), verdict.target.as_str(), verdict.label);
        cells.entry(cell).or_default().push(start_ms);
    }
    let mut runs: Vec<Told> = Vec::new();
    for ((client, target, label), mut starts) in cells {
        starts.sort_unstable();
        let mut last: Option<Told> = None;
        for from_ms in starts {
            match &mut last {
                Some(told) if from_ms <= told.to_ms => told.to_ms = from_ms + MINUTE_MS,
                _ => runs.extend(last.replace(Told {
                    client: client.to_owned(),
                    target: target.to_owned(),
                    label,
                    from_ms,
                    to_ms: from_ms + MINUTE_MS,
                })),
            }
        }
        runs.extend(last);
    }
    runs
}

#[cfg(test)]
mod tests {
    use model::diagnosis::Label;

    use super::*;

    #[test]
    fn consecutive_windows_are_a_run_and_what_came_too_late_is_late() {
        let verdict = |minute: i64, given: i64| Verdict {
            client: "c".to_owned(),
            target: "t".to_owned(),
            minute_ms: minute * MINUTE_MS,
            label: Label::DnsBound,
            first_given_ms: given * MINUTE_MS,
        };
        let spans = |verdicts: &[Verdict]| {
            let runs = runs(verdicts).into_iter();
            runs.map(|run| (run.from_ms / MINUTE_MS, run.to_ms / MINUTE_MS)).collect::<Vec<_>>()
        };
        assert_eq!(
            spans(&[verdict(11, 12), verdict(10, 11), verdict(13, 14)]),
            [(10, 12), (13, 14)]
        );
        assert_eq!(spans(&[verdict(10, 20), verdict(11, 20)]), [(15, 16)]);
    }
}
