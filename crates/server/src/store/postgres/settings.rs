//! Which database, and how it is reached.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::tls;
use crate::store::StoreError;

/// A database and how it is reached. Cheap to clone; shown without the password.
#[derive(Clone)]
pub struct Settings {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    tls: Option<tls::Connector>,
    accept_data_loss: bool,
}

impl Settings {
    /// Reads a URL (`postgres://user:password@host:port/database`) or a list of `key=value`.
    ///
    /// The way to another machine is encrypted, and its certificate must be good for its name (a
    /// public authority, or one in `ca_file`); `sslmode=disable` says that it need not be.
    ///
    /// # Errors
    /// Where the text is no such URL, or the authorities can't be read.
    pub fn parse(url: &str, ca_file: Option<&Path>) -> Result<Self, StoreError> {
        // What is wrong is said without the text, which holds a password.
        let mut config: Config = url.trim().parse().map_err(|error: tokio_postgres::Error| {
            let source = std::error::Error::source(&error);
            let source = source.map_or_else(|| error.to_string(), ToString::to_string);
            StoreError::Url(source)
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(StoreError::Url("it names no host".to_owned()));
        }
        let here = config.get_hosts().iter().all(is_here);
        match config.get_ssl_mode() {
            SslMode::Prefer if here => {
                config.ssl_mode(SslMode::Disable);
            }
            SslMode::Prefer => {
                config.ssl_mode(SslMode::Require);
            }
            _ => {}
        }
        let encrypted = config.get_ssl_mode() != SslMode::Disable;
        let tls = encrypted.then(|| tls::Connector::new(ca_file)).transpose()?;
        if config.get_application_name().is_none() {
            config.application_name("qoe");
        }
        Ok(Self { inner: Arc::new(Inner { config, tls, accept_data_loss: false }) })
    }

    /// Takes a server that may lose what it has committed (`fsync = off`), as a test may.
    #[must_use]
    pub fn accept_data_loss(&self) -> Self {
        let Inner { config, tls, .. } = &*self.inner;
        let inner = Inner { config: config.clone(), tls: tls.clone(), accept_data_loss: true };
        Self { inner: Arc::new(inner) }
    }

    pub(super) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(super) fn tls(&self) -> Option<&tls::Connector> {
        self.inner.tls.as_ref()
    }

    pub(super) fn accepts_data_loss(&self) -> bool {
        self.inner.accept_data_loss
    }
}

/// On this machine, where nobody listens on the way.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name.parse().is_ok_and(|addr: std::net::IpAddr| addr.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.config();
        f.write_str("postgres://")?;
        for (at, host) in config.get_hosts().iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            let ports = config.get_ports();
            if let Some(port) = ports.get(at).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
        write!(f, "/{database}")
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<Settings> for crate::store::Location {
    fn from(settings: Settings) -> Self {
        Self::Postgres(settings)
    }
}

/// For messages about a file of authorities.
pub(super) fn unreadable(ca_file: &Path, source: std::io::Error) -> StoreError {
    StoreError::Path { doing: "read", path: PathBuf::from(ca_file), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Settings {
        Settings::parse(url, None).unwrap()
    }

    #[test]
    fn what_is_shown_names_the_database_and_no_password() {
        let shown = format!("{0} {0:?}", parse("postgres://u:s3cret@127.0.0.1:5433/qoe"));
        assert_eq!(shown, "postgres://127.0.0.1:5433/qoe postgres://127.0.0.1:5433/qoe");
        let refused = Settings::parse("postgres://u:s3cret@h/d?nonsense=1", None).unwrap_err();
        assert!(!refused.to_string().contains("s3cret"), "{refused}");
        assert!(refused.to_string().contains("nonsense"), "{refused}");
        Settings::parse("user=u dbname=d", None).unwrap_err();
    }

    #[test]
    fn the_way_to_another_machine_is_encrypted_unless_told_otherwise() {
        let encrypted = |url: &str| parse(url).tls().is_some();
        assert!(!encrypted("postgres://u@127.0.0.1/d") && !encrypted("postgres://u@localhost/d"));
        assert!(!encrypted("host=/run/postgresql user=u"));
        assert!(encrypted("postgres://u@db.example/d"));
        assert!(encrypted("postgres://u@localhost/d?sslmode=require"));
        assert!(!encrypted("postgres://u@db.example/d?sslmode=disable"));
    }
}
