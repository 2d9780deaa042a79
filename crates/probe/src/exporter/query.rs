//! What Prometheus asks for. Pure.

use std::fmt;
use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};
use http::{HeaderMap, Uri};
use url::{Host, Url, form_urlencoded};

use super::measure::{Ask, Question};
use super::module::{Module, What};
use super::place::Place;
use crate::Family;
use crate::target::parse_target;

/// Where Prometheus does not say how long it waits.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Answered so much before Prometheus gives up.
const OFFSET: Duration = Duration::from_millis(500);

const LEAST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(120);

/// One request for a measurement.
#[derive(Debug, PartialEq)]
pub(super) struct Query {
    pub(super) target: Target,
    pub(super) family: Option<Family>,
    pub(super) timeout: Duration,
    pub(super) debug: bool,
}

/// What is to be measured.
#[derive(Debug, PartialEq)]
pub(super) enum Target {
    Http(Url),
    Other(Place, Ask),
}

impl Target {
    pub(super) fn host(&self) -> Option<Host<&str>> {
        match self {
            Self::Http(url) => url.host(),
            Self::Other(place, _) => Some(place.host()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => write!(f, "{url}"),
            Self::Other(place, _) => write!(f, "{place}"),
        }
    }
}

impl Query {
    pub(super) fn read(uri: &Uri, headers: &HeaderMap) -> Result<Self, String> {
        let (mut target, mut module, mut debug) = (None, None, false);
        let (mut query_name, mut query_type) = (None, None);
        for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match &*key {
                "target" if target.replace(value.clone()).is_some() => {
                    return Err("Target parameter is given twice".to_owned());
                }
                "module" => module = Some(value),
                "query_name" => query_name = Some(value),
                "query_type" => query_type = Some(value),
                "debug" => debug = value == "true",
                // Prometheus adds what its configuration says.
                _ => {}
            }
        }
        let target = target.filter(|target| !target.is_empty());
        let target = target.ok_or("Target parameter is missing")?;
        let module = match module.as_deref() {
            None | Some("") => Module::default(),
            Some(name) => Module::named(name)
                .ok_or_else(|| format!("Unknown module {name:?}; there are {}", Module::names()))?,
        };
        let question = || question(query_name.as_deref(), query_type.as_deref());
        let target = match module.what {
            What::Http => Target::Http(url(&target)?),
            What::Tcp => Target::Other(with_port(&target)?, Ask::Tcp { tls: false }),
            What::Tls => Target::Other(with_port(&target)?, Ask::Tcp { tls: true }),
            What::DnsUdp | What::DnsTcp => {
                let tcp = module.what == What::DnsTcp;
                Target::Other(Place::parse(&target)?, Ask::Dns { question: question()?, tcp })
            }
            What::Icmp => {
                let place = Place::parse(&target)?;
                if place.port.is_some() {
                    return Err(format!("`{target}`: ICMP knows no ports"));
                }
                Target::Other(place, Ask::Icmp)
            }
        };
        Ok(Self { target, family: module.family, timeout: timeout(headers)?, debug })
    }
}

/// blackbox_exporter takes a name without a scheme for http, and so do its set-ups.
fn url(target: &str) -> Result<Url, String> {
    let whole = if target.contains("://") { target.to_owned() } else { format!("http://{target}") };
    parse_target(&whole).map_err(|error| error.to_string())
}

fn with_port(target: &str) -> Result<Place, String> {
    let place = Place::parse(target)?;
    match place.port {
        Some(_) => Ok(place),
        None => Err(format!("`{target}` names no port; write host:port")),
    }
}

/// What to ask a name server; an address of IPv4 where nothing else is said.
fn question(name: Option<&str>, kind: Option<&str>) -> Result<Question, String> {
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or("query_name is missing: what to ask the name server for")?;
    let mut parsed =
        Name::from_ascii(name).map_err(|error| format!("query_name {name:?}: {error}"))?;
    parsed.set_fqdn(true);
    let kind = kind.filter(|kind| !kind.is_empty()).unwrap_or("A").to_ascii_uppercase();
    let known: RecordType = kind.parse().map_err(|_| format!("unknown query_type {kind:?}"))?;
    // Those are no questions of one answer.
    if matches!(known, RecordType::AXFR | RecordType::IXFR | RecordType::OPT | RecordType::TSIG) {
        return Err(format!("query_type {kind:?} is not asked for here"));
    }
    Ok(Question { name: parsed, kind: known })
}

fn timeout(headers: &HeaderMap) -> Result<Duration, String> {
    let Some(value) = headers.get("x-prometheus-scrape-timeout-seconds") else {
        return Ok(DEFAULT_TIMEOUT);
    };
    let text = value.to_str().unwrap_or_default();
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let seconds =
        seconds.ok_or_else(|| format!("{text:?} is no X-Prometheus-Scrape-Timeout-Seconds"))?;
    Ok(seconds.saturating_sub(OFFSET).clamp(LEAST, MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, timeout: Option<&str>) -> Result<Query, String> {
        let mut headers = HeaderMap::new();
        if let Some(timeout) = timeout {
            headers.insert("x-prometheus-scrape-timeout-seconds", timeout.parse().unwrap());
        }
        Query::read(&format!("/probe?{query}").parse().unwrap(), &headers)
    }

    #[test]
    fn a_query_names_target_and_module() {
        let query = read("target=https%3A%2F%2Fa.test%2F&module=http_2xx_ip6&x=y", None).unwrap();
        assert_eq!((query.target.to_string().as_str(), query.debug), ("https://a.test/", false));
        assert_eq!(query.family, Some(Family::V6));
        assert_eq!(
            read("target=a.test&debug=true", None).unwrap().target.to_string(),
            "http://a.test/"
        );
        for (wrong, said) in [
            ("", "missing"),
            ("target=", "missing"),
            ("target=a&target=b", "twice"),
            ("target=a.test&module=nope", "http_2xx"),
            ("target=ftp://a.test", "not an http"),
            ("target=http://u:p@a.test", "password"),
            ("target=a.test&module=tcp_connect", "no port"),
            ("target=http://a.test&module=tcp_connect", "not a host"),
            ("target=a.test:1&module=icmp", "no ports"),
            ("target=a.test&module=dns_udp", "query_name is missing"),
            ("target=a.test&module=dns_udp&query_name=a..b", "query_name"),
            ("target=a.test&module=dns_udp&query_name=b&query_type=AXFR", "not asked"),
            ("target=a.test&module=dns_udp&query_name=b&query_type=NOPE", "unknown query_type"),
        ] {
            let error = read(wrong, None).unwrap_err();
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }

    #[test]
    fn other_modules_take_hosts_and_ports() {
        let query = read("target=a.test:25&module=tls_connect_ip4", None).unwrap();
        assert_eq!(
            (query.target.to_string().as_str(), query.family),
            ("a.test:25", Some(Family::V4))
        );
        let Target::Other(_, ask) = query.target else { panic!("{query:?}") };
        assert_eq!(ask, Ask::Tcp { tls: true });
        let query = read("target=192.0.2.53&module=dns_tcp&query_name=b.test&query_type=soa", None)
            .unwrap();
        let Target::Other(_, Ask::Dns { question, tcp }) = query.target else {
            panic!("{query:?}")
        };
        assert_eq!(
            (question.kind, tcp, question.name.to_string().as_str()),
            (RecordType::SOA, true, "b.test.")
        );
    }

    #[test]
    fn the_answer_comes_before_prometheus_gives_up() {
        let of = |text| read("target=a.test", text).map(|query| query.timeout.as_millis());
        assert_eq!(of(None), Ok(10_000));
        assert_eq!(of(Some("5")), Ok(4_500));
        assert_eq!(of(Some("0.2")), Ok(100));
        assert_eq!(of(Some("1e9")), Ok(120_000));
        for wrong in ["-1", "NaN", "soon"] {
            assert!(of(Some(wrong)).unwrap_err().contains("Timeout"), "{wrong}");
        }
    }
}
