//! The four classic rules over a recording, for comparison: each window against the mean and deviation
//! of the ten before it, each cell by itself, no incidents.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::diagnosis::Label;
use model::diagnosis::classic::{Classic, Reading};
use model::window::Window;
use model::{Event, Minute};
use uuid::Uuid;

/// A minute is judged when the newest event is so many minutes later.
const LATEST: i64 = 30;

/// What was said of a window.
pub(super) struct Said {
    pub(super) client: String,
    pub(super) target: String,
    pub(super) start: Minute,
    pub(super) window: Window,
    pub(super) label: Option<Label>,
}

/// The rules at work.
#[derive(Default)]
pub(super) struct Rules {
    cells: HashMap<(String, String), Cell>,
    newest: i64,
    pub(super) events: u64,
    pub(super) duplicates: u64,
    pub(super) too_late: u64,
}

struct Cell {
    rules: Classic,
    open: BTreeMap<i64, (Window, HashSet<Uuid>)>,
    next: i64,
}

impl Default for Cell {
    fn default() -> Self {
        Self { rules: Classic::new(Reading::Engine), open: BTreeMap::new(), next: i64::MIN }
    }
}

impl Rules {
    /// Takes the next event, and gives the windows that are done by then.
    pub(super) fn take(&mut self, event: &Event) -> Vec<Said> {
        let key = (event.client.as_str().to_owned(), event.target.as_str().to_owned());
        let minute = event.minute().0;
        let cell = self.cells.entry(key).or_default();
        if minute < cell.next {
            self.too_late += 1;
        } else {
            let (window, ids) = cell.open.entry(minute).or_default();
            if ids.insert(event.id) {
                window.fold(event);
                self.events += 1;
            } else {
                self.duplicates += 1;
            }
        }
        if minute <= self.newest {
            return Vec::new();
        }
        self.newest = minute;
        self.judge(minute - LATEST)
    }

    /// The windows that are left.
    pub(super) fn finish(&mut self) -> Vec<Said> {
        self.judge(i64::MAX)
    }

    /// Judges the minutes before one.
    fn judge(&mut self, before: i64) -> Vec<Said> {
        let mut said = Vec::new();
        for ((client, target), cell) in &mut self.cells {
            while let Some(first) = cell.open.first_entry().filter(|first| *first.key() < before) {
                let (minute, (window, _)) = first.remove_entry();
                cell.next = minute + 1;
                let label = cell.rules.next(&window);
                let (client, target) = (client.clone(), target.clone());
                said.push(Said { client, target, start: Minute(minute), window, label });
            }
        }
        said.sort_by(|a, b| (a.start, &a.client, &a.target).cmp(&(b.start, &b.client, &b.target)));
        said
    }
}
