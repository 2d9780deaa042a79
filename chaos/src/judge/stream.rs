//! Whether everything the bus had went somewhere.

use std::collections::{HashMap, HashSet};

use super::kept::Seen;
use super::{Evidence, Letter, Stream, Verdict};
use crate::event::Name;

/// What was laid aside, by where it was.
pub(super) struct Letters(HashSet<(u64, Option<usize>)>);

impl Letters {
    pub(super) fn of(letters: &[Letter]) -> Self {
        Self(letters.iter().map(|letter| (letter.sequence, letter.index)).collect())
    }
}

impl Stream {
    /// The events in it.
    pub(super) fn names(&self) -> impl Iterator<Item = Name> {
        self.messages
            .iter()
            .filter_map(|message| message.events.as_ref())
            .flatten()
            .flatten()
            .copied()
    }
}

/// I8: each message up to the floor was counted or laid aside, and none is gone above it.
pub(super) fn all_accounted(evidence: &Evidence, seen: &Seen, letters: &Letters) -> Verdict {
    let Evidence { stream, watched, .. } = evidence;
    let events = stream.messages.iter().filter_map(|message| message.events.as_ref()).flatten();
    let judged = format!(
        "{} messages, {} events, floor {} of {}; {} looks",
        stream.messages.len(),
        events.count(),
        stream.floor,
        stream.last,
        watched.looks
    );
    let claim = "what is acknowledged is counted or laid aside; nothing leaves before";
    let mut verdict = Verdict::of("I8", claim).judged(judged);
    watched.purged.iter().for_each(|what| verdict.find(|| what.clone()));
    if stream.first > stream.floor + 1 {
        let (first, floor) = (stream.first, stream.floor);
        verdict.find(|| format!("the stream begins at {first}, above the floor {floor}"));
    }
    let mut next = stream.first;
    for message in &stream.messages {
        let sequence = message.sequence;
        if sequence > next {
            verdict.find(|| format!("{next} to {} are not in the stream", sequence - 1));
        }
        next = sequence + 1;
        if sequence > stream.floor {
            continue;
        }
        match &message.events {
            None if letters.0.contains(&(sequence, None)) => {}
            None => verdict.find(|| format!("message {sequence} can't be read, and is no letter")),
            Some(events) => {
                for (index, event) in events.iter().enumerate() {
                    let counted = event.is_some_and(|name| seen.has(name));
                    if !counted && !letters.0.contains(&(sequence, Some(index))) {
                        verdict.find(|| format!("event {index} of message {sequence} is nowhere"));
                    }
                }
            }
        }
    }
    if next != stream.last + 1 {
        verdict.find(|| format!("{next} to {} are not in the stream", stream.last));
    }
    verdict
}

/// I14: what can't be counted is laid aside as it was sent, and nothing else is.
pub(super) fn letters(evidence: &Evidence) -> Verdict {
    let mut left: HashMap<&[u8], (bool, usize)> =
        evidence.broken.iter().map(|broken| (&broken.payload[..], (broken.sure, 0))).collect();
    let claim = "dead letters are what was sent, byte for byte, and never a good event";
    let mut verdict = Verdict::of("I14", claim);
    let mut twice = 0_usize;
    for letter in &evidence.letters {
        match left.get_mut(&letter.payload[..]) {
            Some((_, times)) => {
                twice += usize::from(*times > 0);
                *times += 1;
            }
            None => verdict.find(|| {
                let Letter { sequence, index, reason, .. } = letter;
                format!("event {index:?} of message {sequence} is laid aside as {reason}")
            }),
        }
    }
    for (payload, (sure, times)) in left {
        if sure && times == 0 {
            let shown = String::from_utf8_lossy(&payload[..payload.len().min(60)]).into_owned();
            verdict.find(|| format!("{} bytes are not laid aside: {shown:?}", payload.len()));
        }
    }
    let (letters, broken) = (evidence.letters.len(), evidence.broken.len());
    verdict.judged(format!("{letters} letters of {broken} broken texts, {twice} laid aside again"))
}
