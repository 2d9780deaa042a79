//! What was sent and what was answered: each 202 turns the events it was about into obligations.

use std::collections::HashMap;

use crate::event::Name;

/// What is known of an event that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Refused, cut off or out of time, each time: it may be there.
    Unknown,
    /// Answered with 202 at least once: it must be there.
    Owed,
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests answered with 202.
    pub accepted: u64,
    /// Requests answered with 503 or its like.
    pub refused: u64,
    /// Requests without a whole answer.
    pub unanswered: u64,
    /// Events of requests that were sent again after a refusal or no answer.
    pub again: u64,
    /// Events that were sent again although they had been accepted.
    pub repeated: u64,
}

/// All that was sent.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    events: HashMap<Name, Standing>,
    /// How often what happened.
    pub tally: Tally,
    /// Answers that nothing we did deserves.
    pub wrong: Vec<String>,
}

impl Ledger {
    /// Notes events before they are sent: from then on they may be counted.
    pub fn sending(&mut self, events: &[Name]) {
        for name in events {
            self.events.entry(*name).or_insert(Standing::Unknown);
        }
    }

    /// Notes that a request was answered with 202.
    pub fn owed(&mut self, events: &[Name]) {
        self.tally.accepted += 1;
        self.take_on(events);
    }

    /// Notes events that are owed without an answer of ingest.
    pub fn take_on(&mut self, events: &[Name]) {
        for name in events {
            self.events.insert(*name, Standing::Owed);
        }
    }

    /// Notes an answer that is wrong whatever happened.
    pub fn wrong(&mut self, what: String) {
        if self.wrong.len() < 100 {
            self.wrong.push(what);
        }
    }

    /// What is known of an event; `None` where it was never sent.
    pub fn standing(&self, name: Name) -> Option<Standing> {
        self.events.get(&name).copied()
    }

    /// Events that must be there.
    pub fn obligations(&self) -> impl Iterator<Item = Name> {
        let owed = self.events.iter().filter(|(_, standing)| **standing == Standing::Owed);
        owed.map(|(name, _)| *name)
    }

    /// How many events were sent, and how many of them must be there.
    pub fn counts(&self) -> (usize, usize) {
        (self.events.len(), self.obligations().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Key;

    #[test]
    fn an_obligation_stays_one() {
        let name = |counter| Name { key: Key { writer: 1, minute: 0, counter }, client: 0 };
        let mut ledger = Ledger::default();
        ledger.sending(&[name(1), name(2)]);
        ledger.owed(&[name(1)]);
        ledger.sending(&[name(1)]);
        assert_eq!(ledger.standing(name(1)), Some(Standing::Owed));
        assert_eq!(ledger.standing(name(2)), Some(Standing::Unknown));
        assert_eq!(ledger.standing(name(3)), None);
        assert_eq!((ledger.counts(), ledger.tally.accepted), ((2, 1), 1));
    }
}
