//! Those to compare with: the classic four and the band.

use std::collections::BTreeMap;

use model::diagnosis::Label;
use model::diagnosis::classic::{Band, Classic, Hold, Reading};
use model::units::Minute;
use model::window::Window;
use model::wire::WireEvent;

use super::detector::{Detector, Labels, Output, Topology, Verdict};
use super::windows::Windows;

/// The classic four in both readings, those that must hold three minutes, and the band.
pub(crate) struct Rivals;

/// The rivals' state for a cell.
struct Cell {
    engine: Classic,
    text: Classic,
    hold: Hold,
    band: Band,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            engine: Classic::new(Reading::Engine),
            text: Classic::new(Reading::Text),
            hold: Hold::new(3),
            band: Band::default(),
        }
    }
}

impl Detector for Rivals {
    fn name(&self) -> &'static str {
        "rivals"
    }

    fn run(
        &mut self,
        _: &Topology,
        events: &mut dyn Iterator<Item = WireEvent>,
    ) -> anyhow::Result<Vec<Output>> {
        let mut windows = Windows::default();
        let mut cells: BTreeMap<usize, Cell> = BTreeMap::new();
        let mut told: [Vec<(usize, Minute, Label)>; 4] = Default::default();
        let mut judge = |cell: usize, start: Minute, window: &Window| {
            let rules = cells.entry(cell).or_default();
            let engine = rules.engine.next(window);
            let labels = [
                engine,
                rules.text.next(window),
                rules.hold.next(start, engine),
                rules.band.next(start, window),
            ];
            for (told, label) in told.iter_mut().zip(labels) {
                told.extend(label.map(|label| (cell, start, label)));
            }
        };
        for event in events {
            windows.fold(&event, &mut judge);
        }
        windows.finish(&mut judge);
        let names = ["classic (engine)", "classic (text)", "classic, 3 min", "mad-band"];
        let all = names.into_iter().zip(told);
        Ok(all.map(|(name, told)| output(name, Labels::Four, told, &windows)).collect())
    }
}

/// Each window was called so at its end.
fn output(
    rules: &'static str,
    labels: Labels,
    told: Vec<(usize, Minute, Label)>,
    windows: &Windows,
) -> Output {
    let verdict = |(cell, start, label): (usize, Minute, Label)| {
        let (client, target) = windows.name(cell).clone();
        Verdict {
            client,
            target,
            minute_ms: start.start_ms(),
            label,
            first_given_ms: start.end_ms(),
        }
    };
    let verdicts = told.into_iter().map(verdict).collect();
    Output { rules, labels, verdicts, incidents: Vec::new(), notes: Vec::new() }
}
