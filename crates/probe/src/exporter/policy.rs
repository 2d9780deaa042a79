//! What may be measured for others. Pure.

use std::net::IpAddr;
use std::str::FromStr;

use url::{Host, Url};

/// One thing that may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Host(String),
    /// All names below this one.
    Below(String),
    /// Addresses, where the target is written as one.
    Network(IpAddr, u8),
}

/// All that may be; everything, where nothing is named.
#[derive(Clone, Debug)]
pub(super) struct Policy(Vec<Rule>);

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no host, no .domain and no network such as 10.0.0.0/8");
        let text = text.trim();
        if let Some(domain) = text.strip_prefix('.') {
            return match Host::parse(domain) {
                Ok(Host::Domain(domain)) => Ok(Self::Below(domain)),
                _ => Err(wrong()),
            };
        }
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        if let Ok(ip) = address.trim_matches(['[', ']']).parse::<IpAddr>() {
            let most = if ip.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Ok(most), |bits| bits.parse::<u8>().map_err(|_| wrong()))?;
            return if bits <= most { Ok(Self::Network(ip, bits)) } else { Err(wrong()) };
        }
        match (bits, Host::parse(text)) {
            (None, Ok(Host::Domain(name))) => Ok(Self::Host(name)),
            _ => Err(wrong()),
        }
    }
}

impl Policy {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    pub(super) fn allows(&self, target: &Url) -> bool {
        target.host().is_some_and(|host| self.allows_host(&host))
    }

    pub(super) fn allows_host(&self, host: &Host<&str>) -> bool {
        self.0.is_empty() || self.0.iter().any(|rule| rule.allows(host))
    }
}

impl Rule {
    fn allows(&self, host: &Host<&str>) -> bool {
        match (self, host) {
            (Self::Host(allowed), Host::Domain(name)) => name.trim_end_matches('.') == allowed,
            (Self::Below(domain), Host::Domain(name)) => name
                .trim_end_matches('.')
                .strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.ends_with('.')),
            (Self::Network(IpAddr::V4(net), bits), Host::Ipv4(ip)) => {
                let differ = u32::from(*net) ^ u32::from(*ip);
                differ.checked_shr(32 - u32::from(*bits)).unwrap_or(0) == 0
            }
            (Self::Network(IpAddr::V6(net), bits), Host::Ipv6(ip)) => {
                let differ = u128::from(*net) ^ u128::from(*ip);
                differ.checked_shr(128 - u32::from(*bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, target: &str) -> bool {
        Policy::new(vec![rule.parse().unwrap()]).allows(&Url::parse(target).unwrap())
    }

    #[test]
    fn hosts_domains_and_networks_are_told_apart() {
        for (rule, target, expected) in [
            ("a.test", "https://A.test/x", true),
            ("a.test", "https://a.test.:8443/", true),
            ("a.test", "https://b.a.test/", false),
            (".a.test", "https://b.a.test/", true),
            (".a.test", "https://a.test/", false),
            (".a.test", "https://xa.test/", false),
            ("10.0.0.0/8", "http://10.9.9.9/", true),
            ("10.0.0.0/8", "http://11.0.0.1/", false),
            ("10.0.0.0/8", "http://10.evil.test/", false),
            ("0.0.0.0/0", "http://192.0.2.1/", true),
            ("192.0.2.1", "http://192.0.2.1/", true),
            ("192.0.2.1", "http://192.0.2.2/", false),
            ("2001:db8::/32", "http://[2001:db8::7]/", true),
            ("2001:db8::/32", "http://[2001:db9::7]/", false),
        ] {
            assert_eq!(allows(rule, target), expected, "{rule} {target}");
        }
        assert!(Policy::new(vec![]).allows(&Url::parse("http://a.test/").unwrap()));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for wrong in ["", "10.0.0.0/33", "10.0.0.0/x", "a.test/8", "http://a.test", ".", "a b"] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }
}
