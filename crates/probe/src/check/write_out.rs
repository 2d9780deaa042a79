//! `--write-out`: text with curl's variables in it. Times are seconds since the start, cumulative, as
//! curl's are.

use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::Measurement;

/// A format that was understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Variable(&'static str),
    All,
}

/// curl's names, of which these are known.
const VARIABLES: [&str; 28] = [
    "time_namelookup",
    "time_connect",
    "time_appconnect",
    "time_pretransfer",
    "time_posttransfer",
    "time_starttransfer",
    "time_redirect",
    "time_total",
    "size_download",
    "size_upload",
    "speed_download",
    "speed_upload",
    "http_code",
    "response_code",
    "http_version",
    "num_connects",
    "num_redirects",
    "num_retries",
    "remote_ip",
    "remote_port",
    "local_ip",
    "local_port",
    "ssl_verify_result",
    "scheme",
    "errormsg",
    "exitcode",
    "url_effective",
    "redirect_url",
];

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = vec![];
        let mut plain = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            if c == '%' && after.starts_with('{') {
                let (name, behind) = after[1..]
                    .split_once('}')
                    .ok_or_else(|| format!("`%{after}` has no `}}` at its end"))?;
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(variable(name)?);
                rest = behind;
                continue;
            }
            rest = after;
            let next = after.chars().next();
            match (c, next) {
                ('%', Some('%')) => plain.push('%'),
                ('\\', Some('n')) => plain.push('\n'),
                ('\\', Some('r')) => plain.push('\r'),
                ('\\', Some('t')) => plain.push('\t'),
                _ => {
                    plain.push(c);
                    continue;
                }
            }
            rest = &rest[1..];
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }
}

fn variable(name: &str) -> Result<Piece, String> {
    if name == "json" {
        return Ok(Piece::All);
    }
    let known = VARIABLES.into_iter().find(|known| *known == name).map(Piece::Variable);
    known.ok_or_else(|| {
        format!("there is no variable {name}; known are json, {}", VARIABLES.join(", "))
    })
}

impl Format {
    /// The text for a measurement.
    pub(super) fn text(&self, m: &Measurement) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable(name) => match value(m, name) {
                Value::String(text) => text,
                // Without an answer.
                Value::Number(code) if name.ends_with("_code") && code.as_u64() == Some(0) => {
                    "000".to_owned()
                }
                Value::Number(number) if name.starts_with("time_") => {
                    format!("{:.6}", number.as_f64().unwrap_or_default())
                }
                Value::Null => String::new(),
                other => other.to_string(),
            },
            Piece::All => {
                let all: Map<String, Value> =
                    VARIABLES.iter().map(|name| ((*name).to_owned(), value(m, name))).collect();
                Value::Object(all).to_string()
            }
        });
        pieces.collect()
    }
}

/// The value curl would have. A stage that there is not takes no time for curl; what is not known is
/// null, or an empty text.
fn value(m: &Measurement, name: &str) -> Value {
    let failure = m.any_failure();
    let looked_up = m.dns.unwrap_or_default();
    // Every time is the end of its stage, what lies between the stages included where the total is
    // known, and else the sum of the stages that were reached.
    let connected = m.tcp.map(|tcp| looked_up + m.attempts_before() + tcp);
    let ready = match (m.tls, connected) {
        (Some(tls), connected) => Some(connected.unwrap_or(looked_up) + tls),
        (None, connected) => connected.filter(|_| m.target.scheme() == "http"),
    };
    let answered = m.total.zip(m.transfer).map(|(total, transfer)| total.saturating_sub(transfer));
    let asked = answered.zip(m.ttfb).map(|(answered, ttfb)| answered.saturating_sub(ttfb));
    let asking = asked.zip(m.request).map(|(asked, request)| asked.saturating_sub(request));
    let asking = asking.or(ready);
    let asked = asked.or_else(|| Some(asking? + m.request?));
    let answered = answered.or_else(|| Some(asked? + m.ttfb?));
    let secured = m.tls.and(asking);
    let seconds = |time: Option<Duration>| json!(time.unwrap_or_default().as_secs_f64());
    let body = m.body_bytes.unwrap_or_default();
    match name {
        "time_namelookup" => seconds(Some(looked_up)),
        "time_connect" => seconds(connected),
        "time_appconnect" => seconds(secured),
        "time_pretransfer" => seconds(asking),
        "time_posttransfer" => seconds(asked),
        "time_starttransfer" => seconds(answered),
        "time_total" => seconds(Some(m.total.unwrap_or(m.elapsed))),
        "time_redirect" => seconds(None),
        "size_download" => json!(body),
        "size_upload" | "speed_upload" | "num_redirects" => json!(0),
        "speed_download" => {
            let time = m.total.unwrap_or(m.elapsed).as_micros();
            let rate = (u128::from(body) * 1_000_000).checked_div(time).unwrap_or(0);
            json!(u64::try_from(rate).unwrap_or(u64::MAX))
        }
        "http_code" | "response_code" => json!(m.status.unwrap_or(0)),
        "http_version" => json!(m.http_version.unwrap_or("0")),
        "num_connects" => json!(m.attempts.iter().filter(|attempt| attempt.connected()).count()),
        "num_retries" => json!(0),
        "remote_ip" => json!(m.remote_addr.map(|a| a.ip().to_string()).unwrap_or_default()),
        "remote_port" => json!(m.remote_addr.map_or(0, |a| a.port())),
        "local_ip" => json!(m.local_addr.map(|a| a.ip().to_string()).unwrap_or_default()),
        "local_port" => json!(m.local_addr.map_or(0, |a| a.port())),
        "ssl_verify_result" => {
            json!(i32::from(failure.is_some_and(|f| f.kind.starts_with("tls.cert."))))
        }
        "scheme" => json!(m.target.scheme()),
        "errormsg" => failure.map_or(Value::Null, |f| json!(f.detail)),
        "exitcode" => json!(failure.map_or(0, crate::Failure::exit_code)),
        "url_effective" => json!(m.target.as_str()),
        "redirect_url" => json!(m.location.as_ref().map(url::Url::as_str).unwrap_or_default()),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    fn measured() -> Measurement {
        let ms = |n| Some(Duration::from_millis(n));
        let mut m = Measurement::started(&Url::parse("https://a.test/x").unwrap(), 0);
        (m.dns, m.tcp, m.tls, m.request, m.ttfb) = (ms(5), ms(10), ms(20), ms(1), ms(30));
        (m.transfer, m.total) = (ms(4), ms(75));
        (m.status, m.body_bytes) = (Some(200), Some(1_500));
        m
    }

    fn text(format: &str) -> String {
        format.parse::<Format>().unwrap().text(&measured())
    }

    #[test]
    fn times_are_cumulative_and_the_last_is_the_total() {
        let names = [
            "time_namelookup",
            "time_connect",
            "time_appconnect",
            "time_pretransfer",
            "time_posttransfer",
            "time_starttransfer",
            "time_total",
        ];
        let times: Vec<f64> =
            names.iter().map(|name| text(&format!("%{{{name}}}")).parse().unwrap()).collect();
        assert!(times.is_sorted(), "{times:?}");
        assert_eq!(times, [0.005, 0.015, 0.040, 0.040, 0.041, 0.071, 0.075]);
        assert_eq!(text("%{time_total}"), "0.075000");
    }

    #[test]
    fn after_a_failure_what_was_reached_is_told() {
        let mut m = measured();
        (m.request, m.ttfb, m.transfer, m.total, m.status) = (None, None, None, None, None);
        let told = |format: &str| format.parse::<Format>().unwrap().text(&m);
        assert_eq!(told("%{time_pretransfer} %{time_starttransfer}"), "0.035000 0.000000");
        assert_eq!(told("%{time_appconnect} %{http_code}"), "0.035000 000");
    }

    #[test]
    fn formats_are_curls() {
        assert_eq!(text(r"%{http_code} 100%% \t%{size_download}\n"), "200 100% \t1500\n");
        assert_eq!(text("%{url_effective}|%{errormsg}|%{remote_ip}|50%"), "https://a.test/x|||50%");
        let all: Value = serde_json::from_str(&text("%{json}")).unwrap();
        assert_eq!((&all["http_code"], &all["exitcode"]), (&json!(200), &json!(0)));
        assert_eq!(all["speed_download"], json!(20_000));
    }

    #[test]
    fn what_is_not_known_is_named_with_what_is() {
        let error = "%{time_toatl}".parse::<Format>().unwrap_err();
        assert!(error.contains("time_toatl") && error.contains("time_total"), "{error}");
        assert!("%{time_total".parse::<Format>().unwrap_err().contains('}'));
    }
}
