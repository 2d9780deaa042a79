//! What an answer of the ingest means for the batch it is for. Pure.

use std::time::Duration;

use serde::Deserialize;

/// The longest a server may ask us to wait.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// An answer as it came.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    pub(super) retry_after: Option<String>,
    pub(super) body: Vec<u8>,
    /// By how much our clock is ahead of the server's, milliseconds, where that is telling.
    pub(super) clock_offset_ms: Option<i64>,
}

/// What to do with the batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Settled: what is not named is accepted, what is named is refused for good.
    Settled(Vec<Rejected>),
    /// Refused for good as a whole.
    Refused(String),
    /// Too much at once: to be sent in smaller pieces.
    TooLarge,
    /// Not now: to be sent again, not before the server's wish.
    Later { after: Option<Duration>, why: String },
}

/// An event that was refused.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) index: usize,
    #[serde(default)]
    pub(super) code: String,
    #[serde(default)]
    pub(super) field: Option<String>,
    #[serde(default)]
    pub(super) detail: String,
}

#[derive(Deserialize)]
struct Accepted {
    accepted: u64,
    rejected: Vec<Rejected>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    rejected: Vec<Rejected>,
}

/// Only 202 with the body of the contract acknowledges, and only a problem in its form refuses:
/// what else sits on the way (a captive portal, a proxy) can neither take events nor lose them.
pub(super) fn judge(answer: &Answer, sent: usize) -> Verdict {
    let problem = is_problem(answer).then(|| serde_json::from_slice::<Problem>(&answer.body).ok());
    let problem = problem.flatten();
    let why = |p: &Problem| {
        let text = p.detail.as_ref().or(p.title.as_ref());
        format!("status {}: {}", answer.status, text.map_or("no reason given", |t| t))
    };
    match (answer.status, problem) {
        (202, _) => match serde_json::from_slice::<Accepted>(&answer.body) {
            Ok(ack) if ack.accepted + ack.rejected.len() as u64 == sent as u64 => {
                Verdict::Settled(ack.rejected)
            }
            _ => later(answer, "status 202, but not from an ingest"),
        },
        (413, _) => Verdict::TooLarge,
        (422, Some(p)) if p.rejected.len() == sent => Verdict::Settled(p.rejected),
        (400 | 415 | 422, Some(p)) => Verdict::Refused(why(&p)),
        (_, Some(p)) => later(answer, &why(&p)),
        (status, None) => later(answer, &format!("status {status}")),
    }
}

fn later(answer: &Answer, why: &str) -> Verdict {
    // A date instead of seconds is allowed, but no server of ours sends one: then our own
    // waiting stands.
    let seconds = answer.retry_after.as_deref().and_then(|text| text.trim().parse().ok());
    let after = seconds.map(|s| Duration::from_secs(s).min(MAX_RETRY_AFTER));
    Verdict::Later { after, why: why.to_owned() }
}

fn is_problem(answer: &Answer) -> bool {
    let kind = answer.content_type.as_deref().unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("application/problem+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, content_type: &str, body: &str) -> Answer {
        Answer {
            status,
            content_type: Some(content_type.to_owned()),
            retry_after: None,
            body: body.as_bytes().to_vec(),
            clock_offset_ms: None,
        }
    }

    fn json(status: u16, body: &str) -> Verdict {
        judge(&answer(status, "application/json", body), 3)
    }

    fn problem(status: u16, body: &str) -> Verdict {
        judge(&answer(status, "application/problem+json", body), 3)
    }

    fn is_later(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Later { .. })
    }

    #[test]
    fn only_the_contracts_202_acknowledges() {
        let all = r#"{"accepted":3,"duplicates":1,"rejected":[]}"#;
        assert_eq!(json(202, all), Verdict::Settled(vec![]));
        let two = r#"{"accepted":2,"duplicates":null,"rejected":[
            {"index":1,"event_id":null,"code":"too_old","field":"ts_ms","detail":"8 days"}]}"#;
        let Verdict::Settled(rejected) = json(202, two) else { panic!("settled") };
        assert_eq!((rejected[0].index, rejected[0].code.as_str()), (1, "too_old"));
        for foreign in ["", "ok", "{}", r#"{"accepted":2,"rejected":[]}"#] {
            assert!(is_later(&json(202, foreign)), "{foreign}");
        }
        assert!(is_later(&json(200, all)));
        assert!(is_later(&json(302, "")));
    }

    #[test]
    fn only_a_problem_of_the_ingest_refuses() {
        let named = r#"{"title":"every event was rejected","rejected":[
            {"index":0,"code":"bad_json"},{"index":1,"code":"bad_json"},{"index":2,"code":"x"}]}"#;
        assert!(matches!(problem(422, named), Verdict::Settled(r) if r.len() == 3));
        assert!(matches!(problem(400, r#"{"detail":"not JSON"}"#), Verdict::Refused(w)
            if w == "status 400: not JSON"));
        assert!(matches!(problem(415, "{}"), Verdict::Refused(_)));
        assert!(is_later(&judge(&answer(400, "text/html", "<html>"), 3)));
        assert_eq!(problem(413, "{}"), Verdict::TooLarge);
    }

    #[test]
    fn tokens_limits_and_outages_are_waited_out() {
        for status in [401, 403, 404, 429, 500, 503] {
            assert!(is_later(&problem(status, r#"{"title":"no"}"#)), "{status}");
        }
        let mut busy = answer(503, "application/problem+json", "{}");
        for (text, seconds) in [("7", Some(7)), ("99999", Some(3_600)), ("soon", None)] {
            busy.retry_after = Some(text.to_owned());
            let Verdict::Later { after, .. } = judge(&busy, 3) else { panic!("later") };
            assert_eq!(after, seconds.map(Duration::from_secs), "{text}");
        }
    }
}
