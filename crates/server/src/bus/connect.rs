//! The connection to NATS, which comes back by itself once it stood.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use async_nats::{Client, ConnectOptions, Event};
use percent_encoding::percent_decode_str;
use tokio::sync::watch;
use url::Url;

use super::{BusError, Names};

/// The oldest server that keeps a stream through a kill (nats-server issue 6888).
const OLDEST: (u32, u32, u32) = (2, 10, 23);
pub(super) const OLDEST_TEXT: &str = "2.10.23";

/// The smallest `max_payload` that an event of the largest size fits in with room to spare.
const SMALLEST_PAYLOAD: usize = 64 << 10;

/// How long one request to the server may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How the server is reached.
#[derive(Clone)]
pub struct Connect {
    /// One server of the cluster or several, as `nats://` or `tls://` URLs separated by commas. A
    /// name and password in them are secrets, and never shown.
    pub servers: String,
    /// A file of what we show: credentials (a JWT and its seed), or one line, `user:password` or a
    /// token.
    pub credentials: Option<PathBuf>,
    /// The certificates of who may have signed the server's, PEM; the system's where it is not
    /// given.
    pub ca: Option<PathBuf>,
    /// The certificate and key we show, PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// What the server's list of connections calls us.
    pub name: String,
    /// What streams and subjects are called.
    pub names: Names,
    /// Whether a server is accepted that can lose what it confirmed.
    pub allow_old: bool,
}

impl Connect {
    /// To these servers, with nothing else said.
    pub fn to(servers: impl Into<String>) -> Self {
        Self {
            servers: servers.into(),
            credentials: None,
            ca: None,
            certificate: None,
            name: "qoe".to_owned(),
            names: Names::default(),
            allow_old: false,
        }
    }

    /// The servers without what is secret in their URLs.
    pub fn shown(&self) -> String {
        self.servers.split(',').map(without_secrets).collect::<Vec<_>>().join(",")
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("servers", &self.shown()).finish_non_exhaustive()
    }
}

/// A connection. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    pub(super) client: Client,
    pub(super) jetstream: jetstream::Context,
    pub(super) names: Arc<Names>,
    /// Counts how often a connection was made.
    pub(super) connected: watch::Receiver<u64>,
    shown: Arc<str>,
}

impl Bus {
    /// Connects, and refuses servers that can't keep what they confirm.
    ///
    /// # Errors
    /// Where no server answers, or one that is not fit. Once connected, it reconnects for ever.
    pub async fn connect(connect: &Connect) -> Result<Self, BusError> {
        let shown: Arc<str> = connect.shown().into();
        let (made, connected) = watch::channel(0);
        // Without what is secret in them, since the client may name them in its log.
        let servers: Vec<&str> = shown.split(',').collect();
        let client = options(connect).await?.event_callback(move |event| {
            let made = made.clone();
            async move { heard(&event, &made) }
        });
        let client = client.connect(servers).await.map_err(|error| BusError::Connect {
            at: shown.to_string(),
            detail: error.to_string(),
        })?;
        // Said a moment later, and not to be taken for a new connection.
        let mut first = connected.clone();
        let _ = tokio::time::timeout(REQUEST_TIMEOUT, first.wait_for(|made| *made > 0)).await;
        let jetstream = jetstream::ContextBuilder::new()
            .timeout(REQUEST_TIMEOUT)
            .max_ack_inflight(MOST_UNCONFIRMED)
            .build(client.clone());
        let bus =
            Self { client, jetstream, names: Arc::new(connect.names.clone()), connected, shown };
        bus.check_server(connect.allow_old)?;
        Ok(bus)
    }

    /// Whether the connection stands.
    pub fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// What streams and subjects are called.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The servers, without names and passwords.
    pub fn at(&self) -> &str {
        &self.shown
    }

    /// Sends what is still to be sent, such as acknowledgements, and ends the connection.
    pub async fn close(self) {
        // Whatever is not said now, the server finds out by itself.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.client.flush()).await;
        let _ = tokio::time::timeout(Duration::from_secs(1), self.client.drain()).await;
    }

    fn check_server(&self, allow_old: bool) -> Result<(), BusError> {
        let info = self.client.server_info();
        if !is_new_enough(&info.version) && !allow_old {
            return Err(BusError::TooOld { found: info.version, needed: OLDEST_TEXT });
        }
        if !info.jetstream {
            return Err(BusError::NoJetStream { at: self.shown.to_string() });
        }
        if info.max_payload < SMALLEST_PAYLOAD {
            let (found, needed) = (info.max_payload, SMALLEST_PAYLOAD);
            return Err(BusError::SmallPayload { found, needed });
        }
        Ok(())
    }
}

/// Messages on their way that nobody has confirmed; each is bounded in bytes elsewhere.
const MOST_UNCONFIRMED: usize = 20_000;

async fn options(connect: &Connect) -> Result<ConnectOptions, BusError> {
    let mut options = ConnectOptions::new()
        .name(&connect.name)
        .connection_timeout(REQUEST_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
        // A peer that is gone without a word is found out in two of these.
        .ping_interval(Duration::from_secs(10))
        .reconnect_delay_callback(|attempts| {
            Duration::from_millis(25)
                .saturating_mul(u32::try_from(attempts).unwrap_or(u32::MAX))
                .min(LONGEST_PAUSE)
        });
    match connect.servers.split(',').find_map(user) {
        Some((user, Some(password))) => options = options.user_and_password(user, password),
        Some((token, None)) => options = options.token(token),
        None => {}
    }
    if let Some(path) = &connect.credentials {
        let text = readable(path).await?;
        // The text is a secret: what is wrong with it is not shown.
        options = shows(options, &text).map_err(|wrong| BusError::File {
            path: path.clone(),
            source: std::io::Error::other(wrong),
        })?;
    }
    if let Some(path) = &connect.ca {
        readable(path).await?;
        options = options.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &connect.certificate {
        readable(certificate).await?;
        readable(key).await?;
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

/// What the file of credentials says, in either form.
fn shows(options: ConnectOptions, text: &str) -> Result<ConnectOptions, &'static str> {
    let line = text.trim();
    match (line.contains("-----BEGIN"), line.split_once(':')) {
        (true, _) => options.credentials(text).map_err(|_| "it is no NATS credentials file"),
        _ if line.is_empty() || line.contains(char::is_whitespace) => {
            Err("it is neither a NATS credentials file nor one line, user:password or a token")
        }
        (false, Some((user, password))) => {
            Ok(options.user_and_password(user.to_owned(), password.to_owned()))
        }
        (false, None) => Ok(options.token(line.to_owned())),
    }
}

/// Between two attempts to connect again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

async fn readable(path: &Path) -> Result<String, BusError> {
    let read = tokio::fs::read_to_string(path).await;
    read.map_err(|source| BusError::File { path: path.to_owned(), source })
}

fn heard(event: &Event, made: &watch::Sender<u64>) {
    match event {
        Event::Connected => {
            made.send_modify(|times| *times += 1);
            tracing::info!("connected to NATS");
        }
        Event::Disconnected => tracing::warn!("the connection to NATS is down"),
        Event::ServerError(error) => tracing::warn!(%error, "NATS says"),
        Event::SlowConsumer(subscription) => {
            tracing::warn!(subscription, "messages come faster than they are taken");
        }
        other => tracing::debug!(event = %other, "NATS connection"),
    }
}

fn without_secrets(url: &str) -> String {
    let url = url.trim();
    match url.split_once("://").and_then(|_| Url::parse(url).ok()) {
        Some(url) => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
        }
        // Without a scheme a name and password may stand in front all the same.
        None => url.rsplit('@').next().unwrap_or_default().to_owned(),
    }
}

/// The user of a URL, or its token, and the password where there is one.
fn user(url: &str) -> Option<(String, Option<String>)> {
    let url = url.trim();
    let with_scheme = if url.contains("://") { url.to_owned() } else { format!("nats://{url}") };
    let url = Url::parse(&with_scheme).ok()?;
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    (!url.username().is_empty()).then(|| (plain(url.username()), url.password().map(plain)))
}

/// Whether a server of this version keeps a stream through a kill.
pub(super) fn is_new_enough(text: &str) -> bool {
    version(text).is_some_and(|version| version >= OLDEST)
}

/// `2.10.23`, or with a `v` before and a `-beta` behind it.
pub(super) fn version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts =
        text.trim_start_matches('v').split(['.', '-', '+']).map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_are_not_shown() {
        let connect = Connect::to("nats://u:secret@a.example:4222, tls://tok@b,u:secret@c:4222,d");
        let shown = "nats://a.example:4222,tls://b,c:4222,d";
        assert_eq!(connect.shown(), shown);
        assert_eq!(format!("{connect:?}"), format!("Connect {{ servers: {shown:?}, .. }}"));
    }

    #[test]
    fn users_are_found_with_and_without_a_scheme() {
        let of = |url| user(url).map(|(user, password)| (user, password.unwrap_or_default()));
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(of("tls://u:s%40%2B+@a:4222"), pair("u", "s@++"));
        assert_eq!(of(" u:s@a:4222"), pair("u", "s"));
        assert_eq!(of("nats://token@a"), pair("token", ""));
        assert_eq!(of("nats://a:4222"), None);
        assert_eq!(of("a:4222"), None);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("2.15.1"), Some((2, 15, 1)));
        assert!(version("2.9.10") < Some(OLDEST) && version("2.10.22") < Some(OLDEST));
        assert!(version("v2.12.0-RC.1") > Some(OLDEST));
        assert_eq!(version("two"), None);
    }
}
