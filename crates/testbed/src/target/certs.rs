//! The target's authority and the certificates it can show, made anew at each start.

use std::io;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::faults::Certificate;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Long enough for a target that is left running, and a number of days a person can believe.
const VALID: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The name that the wrong-host certificate is good for.
const WRONG_HOST: &str = "wrong-host.invalid";

/// An authority that exists for one target. Its key never leaves memory.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    names: Vec<String>,
    now: SystemTime,
}

/// A certificate and its key.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Authority {
    /// An authority for certificates of `names` (host names or addresses), from one day before `now`.
    ///
    /// # Errors
    /// A name that no certificate can hold.
    pub(super) fn new(names: Vec<String>, now: SystemTime) -> io::Result<Self> {
        for name in &names {
            CertificateParams::new([name.clone()]).map_err(|error| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("certificate for {name:?}: {error}"),
                )
            })?;
        }
        let issuer = issuer(now).map_err(io::Error::other)?;
        Ok(Self { issuer, names, now })
    }

    /// The authority's own certificate.
    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate as a fault wants it, with a P-256 key of its own.
    pub(super) fn identity(&self, certificate: Certificate) -> Result<Identity, rcgen::Error> {
        let names = match certificate {
            Certificate::WrongHost => vec![WRONG_HOST.to_owned()],
            Certificate::Good | Certificate::Expired | Certificate::SelfSigned => {
                self.names.clone()
            }
        };
        let (not_before, not_after) = match certificate {
            Certificate::Expired => (self.now - 90 * DAY, self.now - DAY),
            Certificate::Good | Certificate::SelfSigned | Certificate::WrongHost => {
                (self.now - DAY, self.now + VALID)
            }
        };
        let mut params = params(names, "qoe test target", not_before, not_after)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];

        let key = KeyPair::generate()?;
        let certificate = match certificate {
            Certificate::SelfSigned => params.self_signed(&key)?,
            Certificate::Good | Certificate::Expired | Certificate::WrongHost => {
                params.use_authority_key_identifier_extension = true;
                params.signed_by(&key, &self.issuer)?
            }
        };
        Ok(Identity {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }
}

fn issuer(now: SystemTime) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = params(Vec::new(), "qoe test target authority", now - DAY, now + VALID)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn params(
    names: Vec<String>,
    common_name: &str,
    not_before: SystemTime,
    not_after: SystemTime,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = not_before.into();
    params.not_after = not_after.into();
    Ok(params)
}
