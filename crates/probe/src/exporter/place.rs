//! Targets that are no URLs: a host, and a port where there is one. Pure.

use std::fmt;
use std::net::Ipv6Addr;
use std::num::NonZeroU16;

use url::{Host, Url};

/// Where to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: Host<String>,
    pub(super) port: Option<u16>,
    /// As one of HTTP, which only has to hold the two.
    url: Url,
}

impl Place {
    /// `host`, `host:port`, or an address in either form, IPv6 with or without brackets.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a host or host:port");
        let (host, port) = match text.rsplit_once(':') {
            _ if text.parse::<Ipv6Addr>().is_ok() => (&*format!("[{text}]"), None),
            Some((host, port)) if !port.ends_with(']') => {
                let digits = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse::<NonZeroU16>().ok().filter(|_| digits);
                (host, Some(port.ok_or_else(wrong)?.get()))
            }
            _ => (text, None),
        };
        let url = Url::parse(&format!("http://{host}/")).map_err(|_| wrong())?;
        let host = Host::parse(host).map_err(|_| wrong())?;
        Ok(Self { host, port, url })
    }

    /// A URL of this scheme, for those who read what was measured.
    pub(super) fn url(&self, scheme: &str) -> Url {
        let text = format!("{scheme}://{self}");
        Url::parse(&text).unwrap_or_else(|_| self.url.clone())
    }

    /// The host, as those want it who only look.
    pub(super) fn host(&self) -> Host<&str> {
        match &self.host {
            Host::Domain(name) => Host::Domain(name),
            Host::Ipv4(ip) => Host::Ipv4(*ip),
            Host::Ipv6(ip) => Host::Ipv6(*ip),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for (text, host, port) in [
            ("Mail.example", "mail.example", None),
            ("mail.example:80", "mail.example", Some(80)),
            ("192.0.2.1:25", "192.0.2.1", Some(25)),
            ("192.0.2.1", "192.0.2.1", None),
            ("[2001:db8::1]:53", "[2001:db8::1]", Some(53)),
            ("[2001:db8::1]", "[2001:db8::1]", None),
            ("2001:db8::1", "[2001:db8::1]", None),
        ] {
            let place = Place::parse(text).unwrap();
            assert_eq!((place.host.to_string().as_str(), place.port), (host, port), "{text}");
        }
        assert!(matches!(Place::parse("192.0.2.1").unwrap().host, Host::Ipv4(_)));
        for wrong in [
            "", "a b", "a:b", "a:", "a:0", "a:65536", "a:+1", ":1", "[::1", "u@a", "a/b",
            "http://a", "a?b",
        ] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }
}
