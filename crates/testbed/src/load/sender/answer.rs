//! What an ingest answers, and the sum of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What became of the events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Events that were answered for.
    pub sent: u64,
    /// Batches they came in.
    pub batches: u64,
    /// Batches that had to be sent again, each time counted.
    pub retries: u64,
    /// Events accepted, duplicates included.
    pub accepted: u64,
    /// Of those, how many had been counted before, as far as the ingest could say.
    pub duplicates: u64,
    /// Events rejected, by code.
    pub rejected: BTreeMap<String, u64>,
    /// The first rejection, for a person.
    pub first_rejection: Option<String>,
}

impl Totals {
    pub(super) fn add(&mut self, answer: &Answer, events: usize) {
        self.sent += events as u64;
        self.batches += 1;
        self.accepted += answer.accepted;
        self.duplicates += answer.duplicates.unwrap_or(0);
        for rejection in &answer.rejected {
            *self.rejected.entry(rejection.code.clone()).or_default() += 1;
        }
        if self.first_rejection.is_none() {
            self.first_rejection = answer.rejected.first().map(Rejection::describe);
        }
    }
}

/// Of 202 and, without what was accepted, of 422.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    accepted: u64,
    #[serde(default)]
    duplicates: Option<u64>,
    #[serde(default)]
    rejected: Vec<Rejection>,
}

#[derive(Debug, Deserialize)]
struct Rejection {
    index: u64,
    code: String,
    field: Option<String>,
    #[serde(default)]
    detail: String,
}

impl Rejection {
    fn describe(&self) -> String {
        let field = self.field.as_deref().map(|field| format!(" {field}")).unwrap_or_default();
        format!("event {}: {}{field}: {}", self.index, self.code, self.detail)
    }
}

impl Answer {
    /// Reads an answer, and makes sure that it speaks of every event.
    pub(super) fn read(body: &[u8], events: usize) -> Result<Self, String> {
        let answer: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let told = answer.accepted + answer.rejected.len() as u64;
        if told == events as u64 {
            Ok(answer)
        } else {
            let Self { accepted, rejected, .. } = answer;
            let rejected = rejected.len();
            Err(format!("{accepted} accepted and {rejected} rejected of {events} events"))
        }
    }
}

/// The reason in a problem document (RFC 9457), or the start of whatever the body says.
pub(super) fn reason(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        title: Option<String>,
        detail: Option<String>,
    }
    let reason = match serde_json::from_slice(body) {
        Ok(Problem { detail: Some(detail), .. }) => detail,
        Ok(Problem { title: Some(title), .. }) => title,
        _ => String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned(),
    };
    reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_accounts_for_every_event() {
        let body = br#"{"accepted":2,"duplicates":null,"rejected":[
            {"index":1,"event_id":null,"code":"too_old","field":"ts_ms","detail":"8 days"}]}"#;
        let mut totals = Totals::default();
        totals.add(&Answer::read(body, 3).unwrap(), 3);
        assert_eq!((totals.sent, totals.accepted, totals.duplicates), (3, 2, 0));
        assert_eq!(totals.rejected, [("too_old".to_owned(), 1)].into());
        assert_eq!(totals.first_rejection.unwrap(), "event 1: too_old ts_ms: 8 days");
        let error = Answer::read(body, 4).unwrap_err();
        assert_eq!(error, "2 accepted and 1 rejected of 4 events");
    }

    #[test]
    fn reasons_are_one_short_line() {
        assert_eq!(reason(br#"{"title":"t","detail":"token\nrevoked"}"#), "token revoked");
        assert_eq!(reason(br#"{"title":"Unauthorized"}"#), "Unauthorized");
        assert_eq!(reason(&[b'x'; 900]).len(), 200);
    }
}
