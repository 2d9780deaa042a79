//! Diagnoses of many cells, told as what a person would call one thing: the same label on cells
//! at the same time, with whom and what it touches.

use std::collections::BTreeSet;

use model::diagnosis::Label;

/// A run of windows of one cell under one label.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) client: String,
    pub(crate) target: String,
    pub(crate) label: Label,
    pub(crate) from_ms: i64,
    /// End of the last window so far.
    pub(crate) to_ms: i64,
    /// Whether it goes on.
    pub(crate) open: bool,
    /// How bad, to choose the numbers that are shown: milliseconds too many, or failures.
    pub(crate) weight: f64,
    /// The diagnosis in a sentence, with its numbers.
    pub(crate) text: String,
}

impl Told {
    /// The same, for a score.
    pub(crate) fn scored(&self) -> testbed::score::Told {
        testbed::score::Told {
            client: self.client.clone(),
            target: self.target.clone(),
            label: self.label,
            from_ms: self.from_ms,
            to_ms: self.to_ms,
        }
    }
}

/// The same on one or more cells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Incident {
    pub(crate) label: Label,
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    pub(crate) open: bool,
    pub(crate) clients: BTreeSet<String>,
    pub(crate) targets: BTreeSet<String>,
    /// Of the cell it is worst on.
    pub(crate) text: String,
    weight: f64,
}

/// Everyone there is, to say "3 of 4 clients".
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    pub(crate) clients: usize,
    pub(crate) targets: usize,
}

/// Cells belong together where they touch within this: probes do not tick together.
const TOUCH_MS: i64 = 2 * model::units::MINUTE_MS;

impl Incident {
    fn of(told: Told) -> Self {
        Self {
            label: told.label,
            from_ms: told.from_ms,
            to_ms: told.to_ms,
            open: told.open,
            clients: BTreeSet::from([told.client]),
            targets: BTreeSet::from([told.target]),
            text: told.text,
            weight: told.weight,
        }
    }

    /// Of one label, at one time, and sharing a client or a target: two unrelated cells that are
    /// slow at once are two things.
    fn takes(&self, told: &Told) -> bool {
        self.label == told.label
            && told.from_ms <= self.to_ms + TOUCH_MS
            && self.from_ms <= told.to_ms + TOUCH_MS
            && (self.clients.contains(&told.client) || self.targets.contains(&told.target))
    }

    fn add(&mut self, told: Told) {
        self.from_ms = self.from_ms.min(told.from_ms);
        self.to_ms = self.to_ms.max(told.to_ms);
        self.open |= told.open;
        self.clients.insert(told.client);
        self.targets.insert(told.target);
        if told.weight > self.weight {
            (self.weight, self.text) = (told.weight, told.text);
        }
    }

    /// `lab-1, target.test`, `3 of 4 clients, all targets`.
    pub(crate) fn scope(&self, fleet: Fleet) -> String {
        let part = |names: &BTreeSet<String>, all: usize, noun: &str| match names.first() {
            Some(only) if names.len() == 1 => short(only),
            _ if names.len() == all => format!("all {all} {noun}"),
            _ => format!("{} of {all} {noun}", names.len()),
        };
        format!(
            "{}, {}",
            part(&self.clients, fleet.clients, "clients"),
            part(&self.targets, fleet.targets, "targets")
        )
    }
}

/// Groups runs into incidents: open ones first, then the newest.
pub(crate) fn incidents(mut told: Vec<Told>) -> Vec<Incident> {
    told.sort_by_key(|run| run.from_ms);
    let mut incidents: Vec<Incident> = Vec::new();
    for run in told {
        match incidents.iter_mut().find(|incident| incident.takes(&run)) {
            Some(incident) => incident.add(run),
            None => incidents.push(Incident::of(run)),
        }
    }
    incidents.sort_by_key(|incident| (!incident.open, -incident.from_ms));
    incidents
}

/// A URL without what goes without saying: `https://shop.example/` is `shop.example`.
pub(crate) fn short(target: &str) -> String {
    target
        .strip_prefix("https://")
        .map_or(target, |rest| rest.strip_suffix('/').unwrap_or(rest))
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(client: &str, target: &str, from: i64, to: i64, weight: f64) -> Told {
        Told {
            client: client.to_owned(),
            target: format!("https://{target}/"),
            label: Label::DnsBound,
            from_ms: from * 60_000,
            to_ms: to * 60_000,
            open: to >= 100,
            weight,
            text: format!("+{weight} ms"),
        }
    }

    const FLEET: Fleet = Fleet { clients: 4, targets: 2 };

    #[test]
    fn cells_that_share_label_time_and_place_are_one_incident() {
        let found = incidents(vec![
            told("a", "x", 10, 20, 100.0),
            told("b", "x", 11, 19, 200.0),
            told("b", "y", 12, 21, 150.0),
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].from_ms, found[0].to_ms), (600_000, 21 * 60_000));
        assert_eq!(found[0].scope(FLEET), "2 of 4 clients, all 2 targets");
        assert_eq!(found[0].text, "+200 ms");
    }

    #[test]
    fn others_stay_apart() {
        let far = incidents(vec![told("a", "x", 10, 20, 1.0), told("a", "x", 40, 50, 1.0)]);
        assert_eq!(far.len(), 2);
        let unrelated = incidents(vec![told("a", "x", 10, 20, 1.0), told("b", "y", 10, 20, 1.0)]);
        assert_eq!(unrelated.len(), 2);
        let mut other = told("a", "x", 10, 20, 1.0);
        other.label = Label::ServerBound;
        assert_eq!(incidents(vec![told("a", "x", 10, 20, 1.0), other]).len(), 2);
    }

    #[test]
    fn what_goes_on_comes_first() {
        let found = incidents(vec![
            told("a", "x", 10, 20, 1.0),
            told("a", "x", 50, 60, 1.0),
            told("b", "y", 30, 100, 1.0),
        ]);
        assert_eq!(found.iter().map(|i| i.from_ms / 60_000).collect::<Vec<_>>(), [30, 50, 10]);
        assert_eq!(found[0].scope(FLEET), "b, y");
    }
}
