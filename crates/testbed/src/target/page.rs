//! What a request asks for, and which are refused: paths, parameters and their limits.

use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use http::{Method, StatusCode, Uri};
use url::form_urlencoded;

use super::faults::{MIN_RATE_BPS, STATUS};

/// One mebibyte: what `1mb` in a path means.
const MB: u64 = 1 << 20;

/// Largest body that is sent.
const MAX_MB: u64 = 100;

/// Largest upload that is counted.
pub(super) const MAX_UPLOAD: u64 = 1 << 30;

/// Longest answer of `/slow`, in milliseconds.
const MAX_SLOW_MS: u64 = 60_000;

/// Longest body of `/drip`, in seconds.
const MAX_DRIP_SECONDS: u64 = 600;

/// What is served, for people and for 404.
pub(super) const HELP: &str = "\
qoe test target

GET  /health               answers at once
GET  /slow?ms=N            answers after N ms, at most 60000
GET  /fixed/{n}mb.bin      n times 1,048,576 bytes, n from 1 to 100
GET  /status/{code}        answers with that status, 200 to 599
GET  /drip?bytes=B&bps=R   B bytes at R bit/s, at most 104857600 bytes and 600 s
POST /upload               counts the body, at most 1 GiB; PUT as well
GET  /tcp-info             this connection as this end's kernel sees it
";

/// A request that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Help,
    Health,
    Slow(Duration),
    Fixed { bytes: u64 },
    Status(StatusCode),
    Drip { bytes: u64, bps: u64 },
    Upload,
    TcpInfo,
}

/// A request that is refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// For a person, without a newline.
    pub(super) text: String,
    /// The methods that would do, where the method is to blame.
    pub(super) allow: Option<&'static str>,
}

impl Page {
    /// What `method` on `uri` asks for. Parameters that are not known are ignored: `?rand=...` is how
    /// probes get past caches.
    pub(super) fn of(method: &Method, uri: &Uri) -> Result<Self, Refusal> {
        let path = uri.path();
        let page = match path {
            "/" => Self::Help,
            "/health" => Self::Health,
            "/slow" => Self::Slow(Duration::from_millis(number(uri, "ms", 0..=MAX_SLOW_MS)?)),
            "/drip" => Self::drip(uri)?,
            "/upload" => Self::Upload,
            "/tcp-info" => Self::TcpInfo,
            _ => {
                if let Some(code) = path.strip_prefix("/status/") {
                    Self::Status(status(code)?)
                } else if let Some(mb) = fixed(path) {
                    Self::Fixed { bytes: parse("the size", mb, 1..=MAX_MB)? * MB }
                } else {
                    return Err(Refusal {
                        status: StatusCode::NOT_FOUND,
                        text: format!("nothing at {path}\n\n{}", HELP.trim_end()),
                        allow: None,
                    });
                }
            }
        };
        page.allows(method)?;
        Ok(page)
    }

    fn drip(uri: &Uri) -> Result<Self, Refusal> {
        let bytes = number(uri, "bytes", 0..=MAX_MB * MB)?;
        let bps = number(uri, "bps", MIN_RATE_BPS..=u64::MAX)?;
        let seconds = (bytes * 8).div_ceil(bps);
        if seconds > MAX_DRIP_SECONDS {
            return Err(bad(format!(
                "{bytes} bytes at {bps} bit/s take {seconds} s, at most {MAX_DRIP_SECONDS}"
            )));
        }
        Ok(Self::Drip { bytes, bps })
    }

    fn allows(self, method: &Method) -> Result<(), Refusal> {
        let (allowed, allow) = match self {
            Self::Upload => (method == Method::POST || method == Method::PUT, "POST, PUT"),
            _ => (method == Method::GET || method == Method::HEAD, "GET, HEAD"),
        };
        if allowed {
            return Ok(());
        }
        let text = format!("{method} is not allowed here: {allow}");
        Err(Refusal { status: StatusCode::METHOD_NOT_ALLOWED, text, allow: Some(allow) })
    }
}

/// The number in `/fixed/{n}mb.bin`.
fn fixed(path: &str) -> Option<&str> {
    path.strip_prefix("/fixed/")?.strip_suffix("mb.bin")
}

fn status(code: &str) -> Result<StatusCode, Refusal> {
    let code = parse::<u16>("the status", code, STATUS)?;
    StatusCode::from_u16(code).map_err(|error| bad(error.to_string()))
}

fn number(uri: &Uri, name: &str, range: RangeInclusive<u64>) -> Result<u64, Refusal> {
    let query = uri.query().unwrap_or_default();
    match form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name) {
        Some((_, value)) => parse(name, &value, range),
        None => Err(bad(format!("{name} is missing: a whole number"))),
    }
}

fn parse<T>(name: &str, text: &str, range: RangeInclusive<T>) -> Result<T, Refusal>
where
    T: FromStr + PartialOrd + Display + Debug,
{
    match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(bad(format!(
            "{name} is {text:?}: a whole number from {} to {}",
            range.start(),
            range.end()
        ))),
    }
}

fn bad(text: String) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, text, allow: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(method: &str, uri: &str) -> Result<Page, (u16, String)> {
        Page::of(&method.parse().unwrap(), &uri.parse().unwrap())
            .map_err(|refusal| (refusal.status.as_u16(), refusal.text))
    }

    #[test]
    fn pages_are_found() {
        let cases = [
            ("/", Page::Help),
            ("/health?rand=1", Page::Health),
            ("/tcp-info", Page::TcpInfo),
            ("/slow?ms=0", Page::Slow(Duration::ZERO)),
            ("/slow?x=1&ms=60000", Page::Slow(Duration::from_secs(60))),
            ("/fixed/1mb.bin?rand=abc", Page::Fixed { bytes: 1_048_576 }),
            ("/fixed/100mb.bin", Page::Fixed { bytes: 104_857_600 }),
            ("/status/599", Page::Status(StatusCode::from_u16(599).unwrap())),
            ("/drip?bytes=10&bps=8", Page::Drip { bytes: 10, bps: 8 }),
        ];
        for (uri, expected) in cases {
            assert_eq!(page("GET", uri), Ok(expected), "{uri}");
            assert_eq!(page("HEAD", uri), Ok(expected), "{uri}");
        }
        assert_eq!(page("POST", "/upload"), Ok(Page::Upload));
        assert_eq!(page("PUT", "/upload"), Ok(Page::Upload));
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        let cases = [
            ("GET", "/slow", 400, "ms is missing"),
            ("GET", "/slow?ms=60001", 400, "from 0 to 60000"),
            ("GET", "/slow?ms=-1", 400, r#"ms is "-1""#),
            ("GET", "/fixed/0mb.bin", 400, "from 1 to 100"),
            ("GET", "/fixed/101mb.bin", 400, "from 1 to 100"),
            ("GET", "/fixed/mb.bin", 400, r#"the size is """#),
            ("GET", "/fixed/1mb.txt", 404, "nothing at /fixed/1mb.txt"),
            ("GET", "/status/101", 400, "from 200 to 599"),
            ("GET", "/status/ok", 400, "from 200 to 599"),
            ("GET", "/drip?bytes=1", 400, "bps is missing"),
            ("GET", "/drip?bytes=1&bps=7", 400, "bps is \"7\""),
            ("GET", "/drip?bytes=104857601&bps=9999999999", 400, "bytes is"),
            ("GET", "/drip?bytes=104857600&bps=8", 400, "at most 600"),
            ("GET", "/nowhere", 404, "GET  /health"),
            ("POST", "/health", 405, "GET, HEAD"),
            ("GET", "/upload", 405, "POST, PUT"),
        ];
        for (method, uri, status, text) in cases {
            let (got, why) = page(method, uri).unwrap_err();
            assert!(got == status && why.contains(text), "{method} {uri}: {got} {why}");
        }
    }
}
