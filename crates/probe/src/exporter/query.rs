//! What Prometheus asks for. Pure.

use std::time::Duration;

use http::{HeaderMap, Uri};
use url::{Url, form_urlencoded};

use super::module::Module;
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
    pub(super) target: Url,
    pub(super) module: Module,
    pub(super) timeout: Duration,
    pub(super) debug: bool,
}

impl Query {
    pub(super) fn read(uri: &Uri, headers: &HeaderMap) -> Result<Self, String> {
        let (mut target, mut module, mut debug) = (None, None, false);
        for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match &*key {
                "target" if target.replace(value.clone()).is_some() => {
                    return Err("Target parameter is given twice".to_owned());
                }
                "module" => module = Some(value),
                "debug" => debug = value == "true",
                // Prometheus adds what its configuration says.
                _ => {}
            }
        }
        let target = target.filter(|target| !target.is_empty());
        let target = target.ok_or("Target parameter is missing")?;
        let module = match module.as_deref() {
            None | Some("") => Module::default(),
            Some(name) => Module::named(name).ok_or_else(|| {
                format!("Unknown module {name:?}; there are {}", Module::names().join(", "))
            })?,
        };
        // blackbox_exporter takes a name without a scheme for http, and so do its set-ups.
        let whole =
            if target.contains("://") { target.into_owned() } else { format!("http://{target}") };
        let target = parse_target(&whole).map_err(|error| error.to_string())?;
        Ok(Self { target, module, timeout: timeout(headers)?, debug })
    }
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
        assert_eq!((query.target.as_str(), query.debug), ("https://a.test/", false));
        assert_eq!(Some(query.module), Module::named("http_2xx_ip6"));
        assert_eq!(
            read("target=a.test&debug=true", None).unwrap().target.as_str(),
            "http://a.test/"
        );
        for (wrong, said) in [
            ("", "missing"),
            ("target=", "missing"),
            ("target=a&target=b", "twice"),
            ("target=a.test&module=nope", "http_2xx"),
            ("target=ftp://a.test", "not an http"),
            ("target=http://u:p@a.test", "password"),
        ] {
            let error = read(wrong, None).unwrap_err();
            assert!(error.contains(said), "{wrong}: {error}");
        }
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
