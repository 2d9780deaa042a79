//! The parameters of a request, checked; a mistake is answered with its parameter's name.

use http::StatusCode;

use super::{Problem, Span, default_span};

/// Parameters that are not read yet. Reading one takes it out.
pub(super) struct Query {
    left: Vec<(String, String)>,
}

/// The last moment of the year 9999, as far as times are written in four digits.
pub(super) const LAST_MS: i64 = 253_402_300_799_999;

/// Of an incident's id, as `model::detect::id_text` writes it.
const ID_DIGITS: usize = 14;

/// The answer to a parameter that is wrong.
pub(super) fn invalid(name: &str, what: &str) -> Problem {
    let detail = format!("parameter {name}: {what}");
    Problem::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail)
}

/// A text that is of the form of an incident's id.
pub(super) fn incident_id(text: String) -> Result<String, Problem> {
    let digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match text.len() == ID_DIGITS && text.bytes().all(digit) {
        true => Ok(text),
        false => Err(invalid("id", &format!("is not {ID_DIGITS} hexadecimal digits"))),
    }
}

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let left: Vec<(String, String)> =
            url::form_urlencoded::parse(query.unwrap_or("").as_bytes())
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect();
        for (index, (name, _)) in left.iter().enumerate() {
            if left[..index].iter().any(|(other, _)| other == name) {
                return Err(invalid(name, "is given twice"));
            }
        }
        Ok(Self { left })
    }

    /// A text, which may not be empty: that would be nobody's name. Nor has a name control
    /// characters, and not every store can be asked for them.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            Some(text) if text.is_empty() => Err(invalid(name, "is empty")),
            Some(text) if text.contains(char::is_control) => {
                Err(invalid(name, "holds a control character"))
            }
            text => Ok(text),
        }
    }

    /// The id of an incident.
    pub(super) fn id(&mut self) -> Result<Option<String>, Problem> {
        self.take("id").map(incident_id).transpose()
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Problem> {
        self.take(name)
            .map(|text| text.parse().map_err(|_| invalid(name, "is not true or false")))
            .transpose()
    }

    pub(super) fn limit(&mut self, default: usize, most: usize) -> Result<usize, Problem> {
        let Some(text) = self.take("limit") else { return Ok(default) };
        match text.parse() {
            Ok(rows) if (1..=most).contains(&rows) => Ok(rows),
            _ => Err(invalid("limit", &format!("is not a number from 1 to {most}"))),
        }
    }

    /// `from` and `to`: milliseconds since the Unix epoch, or RFC 3339. The last hour by default.
    pub(super) fn span(&mut self, now_ms: i64, longest_ms: i64) -> Result<Span, Problem> {
        let span = default_span(self.moment("from")?, self.moment("to")?, now_ms);
        if span.from_ms >= span.to_ms {
            return Err(invalid("from", "is not before to"));
        }
        if span.to_ms - span.from_ms > longest_ms {
            let days = longest_ms / super::DAY_MS;
            return Err(invalid("from", &format!("is more than {days} days before to")));
        }
        Ok(span)
    }

    fn moment(&mut self, name: &'static str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let written = || text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
        match text.parse().ok().or_else(written) {
            Some(ms) if (0..=LAST_MS).contains(&ms) => Ok(Some(ms)),
            _ => Err(invalid(name, "is neither milliseconds since the Unix epoch nor RFC 3339")),
        }
    }

    /// A parameter that nothing has read is a mistake, not noise: its sender expects something.
    pub(super) fn finish(self, known: &[&str]) -> Result<(), Problem> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) if known.is_empty() => Err(invalid(name, "is not known here")),
            Some((name, _)) => {
                Err(invalid(name, &format!("is not known here; there is {}", known.join(", "))))
            }
        }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.left.iter().position(|(other, _)| other == name)?;
        Some(self.left.swap_remove(at).1)
    }
}
