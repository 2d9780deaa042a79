//! What grows slowly: noted, and never an incident.

use serde::{Deserialize, Serialize};

use super::engine::{CellId, Engine};
use super::observe::Signal;

/// A drift is noted again after a day, where it goes on.
const AGAIN_AFTER: i64 = 1_440;

/// That something of a cell grows slowly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// The cell.
    pub cell: CellId,
    /// What grows: the signal that grows most.
    pub signal: Signal,
    /// By how much an hour, percent.
    pub percent_per_hour: f64,
    /// Since which minute at least.
    pub since: i64,
    /// The minute in which it was noted.
    pub noted_at: i64,
}

impl Engine {
    /// Takes out what was noted since the last call.
    pub fn take_drifts(&mut self) -> Vec<Drift> {
        std::mem::take(&mut self.drifts)
    }

    pub(super) fn note_drifts(&mut self, now: i64) {
        const GROW: [Signal; 4] = [Signal::Dns, Signal::Tcp, Signal::Tls, Signal::Ttfb];
        for (number, cell) in self.cells.iter_mut().enumerate() {
            if cell.drifted_at.is_some_and(|at| now - at < AGAIN_AFTER) {
                continue;
            }
            let drift = |signal: Signal| {
                let (by, since) = cell.usual[signal as usize].drift()?;
                Some((signal, by, since))
            };
            let most = GROW.into_iter().filter_map(drift).max_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((signal, by, since)) = most {
                cell.drifted_at = Some(now);
                self.drifts.push(Drift {
                    cell: CellId(number),
                    signal,
                    percent_per_hour: by * 100.0,
                    since,
                    noted_at: now,
                });
            }
        }
    }
}
