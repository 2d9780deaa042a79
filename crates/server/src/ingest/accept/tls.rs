//! What a listener presents, and where it may do without.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why a certificate and key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or holds no PEM of that kind.
    #[error("read the {what} in {}: {source}", path.display())]
    File {
        /// `certificate` or `private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// They don't fit each other, or are of a kind that is not supported.
    #[error("use the certificate: {0}")]
    Unusable(#[from] rustls::Error),
}

/// A configuration for [`super::serve`] from PEM files: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
///
/// # Errors
/// When the files don't hold a certificate chain and its key.
pub fn server_config(certificates: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let file = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { what, path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(file("certificate", certificates))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(file("private key", key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Tokens would cross a network in the clear.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "refusing to listen on {0} without TLS, since tokens and measurements would cross the network \
     in the clear: give a certificate and key, listen on a loopback address behind a proxy that \
     has them, or allow it explicitly"
)]
pub struct Exposed(SocketAddr);

/// Refuses an address that others can reach, unless TLS protects it or `allowed` says that
/// somebody decided so.
///
/// # Errors
/// [`Exposed`], which says what to do instead.
pub fn check_exposure(addr: SocketAddr, tls: bool, allowed: bool) -> Result<(), Exposed> {
    let safe = tls || allowed || addr.ip().to_canonical().is_loopback();
    if safe { Ok(()) } else { Err(Exposed(addr)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_goes_without_tls_unless_allowed() {
        let check =
            |addr: &str, tls, allowed| check_exposure(addr.parse().unwrap(), tls, allowed).is_ok();
        for addr in ["127.0.0.1:8460", "127.9.9.9:1", "[::1]:8460", "[::ffff:127.0.0.1]:80"] {
            assert!(check(addr, false, false), "{addr}");
        }
        for addr in ["0.0.0.0:8460", "[::]:8460", "192.168.1.2:80", "[::ffff:10.0.0.1]:80"] {
            assert!(!check(addr, false, false), "{addr}");
            assert!(check(addr, true, false) && check(addr, false, true), "{addr}");
        }
        let said = check_exposure("0.0.0.0:8460".parse().unwrap(), false, false).unwrap_err();
        assert!(said.to_string().starts_with("refusing to listen on 0.0.0.0:8460 without TLS"));
    }
}
