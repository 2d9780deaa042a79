//! What may be measured, through which resolver and for how long, as people write it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thiserror::Error;
use url::Url;

/// The contract's limit, in bytes.
const MAX_TARGET: usize = 2_048;

/// Why a text is no target.
#[derive(Debug, Error)]
pub enum TargetError {
    /// Not an absolute URL.
    #[error("`{0}` is not a URL: {1}")]
    NotAUrl(String, url::ParseError),
    /// Another scheme than http and https, or no host.
    #[error("`{0}` is not an http or https URL with a host")]
    NotHttp(String),
    /// A user name or password in it would be in every event.
    #[error("a target may not carry a user name or password")]
    Credentials,
    /// Longer than events allow.
    #[error("a target may have {MAX_TARGET} bytes, this one has {0}")]
    TooLong(usize),
}

/// Reads a target: an absolute http or https URL of at most 2,048 bytes and without
/// credentials. A name without scheme is taken as https, as people type it.
pub fn parse_target(text: &str) -> Result<Url, TargetError> {
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let mut url = Url::parse(&whole).map_err(|e| TargetError::NotAUrl(text.to_owned(), e))?;
    url.set_fragment(None);
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(TargetError::NotHttp(text.to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TargetError::Credentials);
    }
    if url.as_str().len() > MAX_TARGET {
        return Err(TargetError::TooLong(url.as_str().len()));
    }
    Ok(url)
}

/// A resolver's address: `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]:53`.
pub fn parse_resolver(text: &str) -> Result<SocketAddr, String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, 53));
    }
    text.parse().map_err(|_| format!("`{text}` is not an address of a resolver"))
}

/// A span of time as a person types it: `90s`, `10m`, `7d`. Never zero.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("it must be longer than nothing".to_owned()),
        Ok(span) => Ok(span),
        Err(error) => Err(format!("{error}; write 90s, 10m, 2h or 7d")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_never_zero() {
        assert_eq!(parse_span("90s"), Ok(Duration::from_secs(90)));
        assert!(parse_span("0s").is_err());
        assert!(parse_span("soon").unwrap_err().contains("10m"));
    }

    #[test]
    fn a_resolver_is_an_address_with_or_without_port() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
        ] {
            assert_eq!(parse_resolver(text).unwrap().to_string(), address);
        }
        assert!(parse_resolver("dns.example").is_err());
    }

    #[test]
    fn a_target_is_http_with_a_host() {
        assert_eq!(parse_target("http://a.example").unwrap().as_str(), "http://a.example/");
        assert_eq!(parse_target("a.example/x#y").unwrap().as_str(), "https://a.example/x");
        assert_eq!(parse_target("http://[::1]:80/").unwrap().as_str(), "http://[::1]/");
        assert!(matches!(parse_target("ftp://a.example/"), Err(TargetError::NotHttp(_))));
        assert!(matches!(parse_target("http://u:p@a.example/"), Err(TargetError::Credentials)));
        assert!(matches!(parse_target("http://"), Err(TargetError::NotAUrl(..))));
        let long = format!("http://a.example/{}", "x".repeat(2_048));
        assert!(matches!(parse_target(&long), Err(TargetError::TooLong(_))));
    }
}
