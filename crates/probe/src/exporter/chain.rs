//! What blackbox_exporter tells of the certificates that a server shows, in the form in which Go's
//! libraries write it. Pure.

use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Name};

/// The server's certificate and those it showed beside it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// When the first of all that were shown expires, seconds since the Unix epoch.
    pub(super) earliest_expiry: i64,
    /// When the first on the way from the server's own to its root expires. The root itself is known
    /// to this program by name and key alone, and is left out.
    pub(super) expiry: i64,
    /// Of the server's own, in hexadecimal.
    pub(super) fingerprint: String,
    pub(super) issuer: String,
    pub(super) serial: String,
    pub(super) subject: String,
    /// Names of hosts, with commas between them.
    pub(super) names: String,
}

impl Chain {
    /// `None` where the first is no certificate.
    pub(super) fn read(shown: &[Vec<u8>]) -> Option<Self> {
        let parsed: Vec<_> =
            shown.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1)).collect();
        let (_, own) = X509Certificate::from_der(shown.first()?).ok()?;
        let expiry =
            |certificate: &X509Certificate<'_>| certificate.validity().not_after.timestamp();
        let names = own.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|extension| &extension.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        });
        Some(Self {
            earliest_expiry: parsed.iter().map(expiry).min()?,
            expiry: way_up(&parsed).map(expiry).min()?,
            fingerprint: hex(&Sha256::digest(shown.first()?)),
            issuer: distinguished(own.issuer()),
            serial: hex(&own.tbs_certificate.serial.to_bytes_be()),
            subject: distinguished(own.subject()),
            names: names.collect::<Vec<_>>().join(","),
        })
    }
}

/// From the first to its issuer, and so on for as long as issuers were shown.
fn way_up<'a, 'b>(
    shown: &'b [X509Certificate<'a>],
) -> impl Iterator<Item = &'b X509Certificate<'a>> {
    let next = move |certificate: &&'b X509Certificate<'a>| {
        let issuer = certificate.issuer();
        // One that issued itself ends it.
        let known = issuer != certificate.subject();
        known.then(|| shown.iter().find(|other| other.subject() == issuer)).flatten()
    };
    // A circle is no longer than all of them.
    std::iter::successors(shown.first(), next).take(shown.len())
}

/// The kinds of names that Go's libraries know, in the order in which they write them.
const KINDS: [(&str, &str); 9] = [
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.3", "CN"),
    ("2.5.4.17", "POSTALCODE"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.8", "ST"),
    ("2.5.4.7", "L"),
    ("2.5.4.11", "OU"),
    ("2.5.4.10", "O"),
    ("2.5.4.6", "C"),
];

/// As RFC 2253 has it: `CN=www.example,O=Example\, Inc.,C=PT`.
fn distinguished(name: &X509Name<'_>) -> String {
    let attributes: Vec<_> = name.iter_attributes().collect();
    let of_kind = |(oid, short): &(&str, &str)| {
        let values = attributes
            .iter()
            .filter(|attribute| attribute.attr_type().to_id_string() == *oid)
            .filter_map(|attribute| Some(format!("{short}={}", escaped(attribute.as_str().ok()?))));
        let values = values.collect::<Vec<_>>().join("+");
        (!values.is_empty()).then_some(values)
    };
    KINDS.iter().filter_map(of_kind).collect::<Vec<_>>().join(",")
}

fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::new();
    for (at, c) in value.chars().enumerate() {
        let special = match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            ' ' => at == 0 || at == last,
            '#' => at == 0,
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SerialNumber,
        date_time_ymd,
    };

    /// A root of 2040, an issuer of 2030 and a server's own of 2035.
    fn shown() -> [Vec<u8>; 3] {
        let ca = |name: &str, year| {
            let mut params = CertificateParams::new(vec![]).unwrap();
            params.distinguished_name.push(DnType::OrganizationName, "Trust, Inc.");
            params.distinguished_name.push(DnType::CommonName, name);
            params.distinguished_name.push(DnType::CountryName, "PT");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.not_after = date_time_ymd(year, 1, 1);
            params
        };
        let (root, middle) = (ca("root", 2040), ca("middle", 2030));
        let keys = [(); 3].map(|()| KeyPair::generate().unwrap());
        let root_der = root.self_signed(&keys[0]).unwrap().der().to_vec();
        let root = Issuer::new(root, &keys[0]);
        let middle_der = middle.signed_by(&keys[1], &root).unwrap().der().to_vec();
        let middle = Issuer::new(middle, &keys[1]);
        let mut own = CertificateParams::new(vec!["a.test".into(), "b.test".into()]).unwrap();
        own.distinguished_name.push(DnType::CommonName, "a.test");
        own.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0xbc]));
        own.not_after = date_time_ymd(2035, 1, 1);
        let own = own.signed_by(&keys[2], &middle).unwrap().der().to_vec();
        [own, middle_der, root_der]
    }

    const Y2030: i64 = 1_893_456_000;
    const Y2035: i64 = 2_051_222_400;

    #[test]
    fn it_is_told_as_go_would() {
        let [own, middle, root] = shown();
        let chain = Chain::read(&[own.clone(), middle.clone(), root.clone()]).unwrap();
        assert_eq!(chain.issuer, r"CN=middle,O=Trust\, Inc.,C=PT");
        assert_eq!((chain.serial.as_str(), chain.names.as_str()), ("0abc", "a.test,b.test"));
        assert_eq!((chain.earliest_expiry, chain.expiry), (Y2030, Y2030));
        assert_eq!(chain.fingerprint.len(), 64);
        // What is shown and not on the way up is not of the chain.
        let stray = Chain::read(&[root, middle]).unwrap();
        assert_eq!(stray.earliest_expiry, Y2030);
        assert!(stray.expiry > Y2035);
        assert_eq!(Chain::read(&[own]).unwrap().expiry, Y2035);
        assert_eq!((Chain::read(&[]), Chain::read(&[vec![7]])), (None, None));
    }

    #[test]
    fn what_has_a_meaning_in_names_is_escaped() {
        assert_eq!(escaped(" a+b; c\\ "), r"\ a\+b\; c\\\ ");
        assert_eq!(escaped("#a#"), r"\#a#");
        assert_eq!(escaped(""), "");
    }
}
