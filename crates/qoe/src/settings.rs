//! Settings that can stand in the environment or in a file: flags over `QOE_*` variables over
//! one TOML file over defaults. A key nobody knows is refused by name, in either place. Secrets
//! are never settings: a setting may name the file that holds one.

use std::collections::HashMap;
use std::env;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use config::{Config, ConfigError, Environment, File, FileFormat};
use serde::Deserialize;

/// What the environment and the file said. Absent is "not said": the command has the default.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where the server keeps everything.
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the server listens.
    pub(crate) listen: Option<SocketAddr>,
    /// Certificate chain of the server, PEM.
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub(crate) tls_key: Option<PathBuf>,
    /// Plain HTTP on an address others can reach.
    pub(crate) insecure_http: Option<bool>,
    /// The bus: NATS servers.
    pub(crate) bus: Option<String>,
    /// The file of what we show them.
    pub(crate) bus_credentials: Option<PathBuf>,
    /// Who may have signed their certificate, PEM.
    pub(crate) bus_ca: Option<PathBuf>,
    /// What streams and subjects begin with.
    pub(crate) bus_prefix: Option<String>,
    /// Where they tell about themselves.
    pub(crate) bus_monitor: Option<String>,
    /// The file of the shared database's URL.
    pub(crate) database_file: Option<PathBuf>,
    /// Who may have signed its certificate, PEM.
    pub(crate) database_ca: Option<PathBuf>,
    /// Servers that can lose what they confirmed are good enough.
    pub(crate) allow_data_loss: Option<bool>,
    /// How long ids of counted events are kept.
    #[serde(with = "humantime_serde")]
    pub(crate) keep_ids: Option<Duration>,
    /// The file that says who is told of incidents.
    pub(crate) alerts: Option<PathBuf>,
    /// A collector that traces go to.
    pub(crate) otlp: Option<String>,
    /// What the probe measures.
    pub(crate) targets: Vec<String>,
    /// How often it measures each.
    #[serde(with = "humantime_serde")]
    pub(crate) interval: Option<Duration>,
    /// How long one measurement may take.
    #[serde(with = "humantime_serde")]
    pub(crate) timeout: Option<Duration>,
    /// DNS server to ask instead of the system's.
    pub(crate) resolver: Option<Resolver>,
    /// Certificates to trust beside the built-in ones, PEM.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether throughput is measured.
    pub(crate) throughput: Option<bool>,
}

/// A setting that can't be used: which, where, and why.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The file or the environment does not read as settings.
    #[error("reading settings: {0}")]
    Read(#[from] ConfigError),
    /// A file was named and is not there.
    #[error("reading settings: there is no file {}", .0.display())]
    NoFile(PathBuf),
}

/// Whether a variable is one of ours. Some begin as ours do and are none: the file's own name,
/// the probe's own variables, and the tests', one of which makes a server crash at a named point.
fn is_setting(variable: &str) -> bool {
    variable.starts_with("QOE_")
        && !variable.starts_with("QOE_PROBE_")
        && !variable.starts_with("QOE_TEST_")
        && !["QOE_CONFIG", "QOE_LOG_FORMAT", "QOE_CRASH_AT"].contains(&variable)
}

impl Settings {
    /// Reads the environment and the file: the one that was named, by a flag or by `QOE_CONFIG`, or
    /// the user's own if it is there.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, SettingsError> {
        let variable = env::var_os("QOE_CONFIG").filter(|path| !path.is_empty());
        let file = match named.map(Path::to_owned).or_else(|| variable.map(PathBuf::from)) {
            Some(path) if !path.is_file() => return Err(SettingsError::NoFile(path)),
            Some(path) => Some(path),
            None => own_file().filter(|path| path.is_file()),
        };
        let variables = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| is_setting(name))
            .collect();
        Self::from_sources(file.as_deref(), variables)
    }

    fn from_sources(
        file: Option<&Path>,
        variables: HashMap<String, String>,
    ) -> Result<Self, SettingsError> {
        if file.is_none() && variables.is_empty() {
            return Ok(Self::default());
        }
        let mut builder = Config::builder();
        if let Some(path) = file {
            builder = builder.add_source(File::from(path).format(FileFormat::Toml));
        }
        let environment = Environment::with_prefix("QOE")
            .prefix_separator("_")
            .separator("__")
            .try_parsing(true)
            .list_separator(",")
            .with_list_parse_key("targets")
            .ignore_empty(true)
            .source(Some(variables));
        Ok(builder.add_source(environment).build()?.try_deserialize()?)
    }
}

/// A DNS server: an address, with port 53 unless it names another.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub(crate) struct Resolver(pub(crate) SocketAddr);

impl FromStr for Resolver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<SocketAddr>()
            .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)))
            .map(Self)
            .map_err(|_| format!("`{text}` is not an address, with or without a port"))
    }
}

impl TryFrom<String> for Resolver {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// `$XDG_CONFIG_HOME/qoe/config.toml`, or the same below `~/.config`.
fn own_file() -> Option<PathBuf> {
    xdg("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("qoe/config.toml"))
}

/// `$XDG_DATA_HOME/qoe`, or the same below `~/.local/share`.
pub(crate) fn default_data_dir() -> Option<PathBuf> {
    xdg("XDG_DATA_HOME", ".local/share").map(|dir| dir.join("qoe"))
}

/// A base directory of the XDG specification, which ignores relative paths.
fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    env::var_os(variable).map(PathBuf::from).and_then(absolute).or_else(|| {
        let home = env::var_os("HOME").map(PathBuf::from).and_then(absolute)?;
        Some(home.join(below_home))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, file).unwrap();
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::from_sources(Some(&path), variables).map_err(|error| error.to_string())
    }

    #[test]
    fn the_sample_file_is_understood() {
        let sample = include_str!("../../../config/qoe.toml");
        assert_eq!(read(sample, &[]), Ok(Settings::default()), "everything in it is commented out");

        let active: String = sample
            .lines()
            .filter_map(|line| line.strip_prefix("#").filter(|rest| !rest.starts_with(' ')))
            .flat_map(|line| [line, "\n"])
            .collect();
        let settings = read(&active, &[]).unwrap();
        let keys = active.lines().filter(|line| line.contains(" = ")).count();
        assert_eq!(keys, 22, "the sample shows every setting");
        assert_eq!(settings.interval, Some(Duration::from_secs(10)));
        assert_eq!(settings.targets.len(), 2);
    }

    #[test]
    fn the_environment_stands_over_the_file() {
        let settings = read(
            "interval = '5s'\nlisten = '127.0.0.1:1'",
            &[
                ("QOE_LISTEN", "[::1]:2"),
                ("QOE_TARGETS", "http://a/,http://b/"),
                ("QOE_THROUGHPUT", "false"),
            ],
        )
        .unwrap();
        assert_eq!(settings.listen, Some("[::1]:2".parse().unwrap()));
        assert_eq!(settings.interval, Some(Duration::from_secs(5)));
        assert_eq!(settings.targets, ["http://a/", "http://b/"]);
        assert_eq!(settings.throughput, Some(false));
    }

    #[test]
    fn unknown_keys_are_named() {
        let error = read("intervall = '5s'", &[]).unwrap_err();
        assert!(error.contains("intervall"), "{error}");
        let error = read("", &[("QOE_LISTENN", "x")]).unwrap_err();
        assert!(error.contains("listenn"), "{error}");
        let error = read("resolver = 'dns.example'", &[]).unwrap_err();
        assert!(error.contains("dns.example") && error.contains("resolver"), "{error}");
    }

    #[test]
    fn a_resolver_has_a_port_or_53() {
        assert_eq!("192.0.2.53".parse(), Ok(Resolver("192.0.2.53:53".parse().unwrap())));
        assert_eq!("[2001:db8::1]:54".parse(), Ok(Resolver("[2001:db8::1]:54".parse().unwrap())));
        assert_eq!("2001:db8::1".parse(), Ok(Resolver("[2001:db8::1]:53".parse().unwrap())));
    }
}
