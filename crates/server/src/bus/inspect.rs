//! What a server can promise, as far as it tells: for `qoe doctor`.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use url::Url;

use super::{Bus, BusError, StreamState};

/// When the server writes what it confirmed to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Before it confirms.
    Always,
    /// So often; what came since is lost with the power.
    Every(Duration),
    /// It does not say: only the system account and the monitoring port tell.
    Unknown,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The servers that were asked.
    pub at: String,
    /// The version of the one that answered.
    pub version: String,
    /// The cluster it is part of.
    pub cluster: Option<String>,
    /// The largest message it takes, bytes.
    pub max_payload: usize,
    /// When it writes to the disk.
    pub sync: Sync,
    /// The stream of events, then that of dead letters.
    pub streams: [StreamReport; 2],
}

/// What was found of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamReport {
    /// Its name.
    pub name: String,
    /// What it is set to, where it is there.
    pub found: Option<StreamFound>,
}

/// How a stream is set up and how full it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFound {
    /// `new` or `old`.
    pub discard: &'static str,
    /// `limits`, `interest` or `workqueue`.
    pub retention: &'static str,
    /// `file` or `memory`.
    pub storage: &'static str,
    /// On how many servers a message is kept.
    pub replicas: usize,
    /// How long a message stays; `None` for ever.
    pub max_age: Option<Duration>,
    /// How full it is.
    pub state: StreamState,
}

impl Bus {
    /// Looks at the server and the streams. `monitor` is the URL of the server's monitoring port
    /// (`http://host:8222`), by which it tells its sync policy where the account may not ask.
    ///
    /// # Errors
    /// Where the server does not answer. A missing stream is no error, but found so.
    pub async fn inspect(&self, monitor: Option<&Url>) -> Result<Report, BusError> {
        let info = self.client.server_info();
        let mut sync = self.sync_by_system_account(&info.server_id).await;
        if let (Sync::Unknown, Some(monitor)) = (sync, monitor) {
            sync = sync_by_monitor(monitor).await?;
        }
        let streams = [self.names.events(), self.names.dead_letters()];
        let [events, dead_letters] = streams.map(|name| self.report(name));
        Ok(Report {
            at: self.at().to_owned(),
            version: info.version,
            cluster: info.cluster,
            max_payload: info.max_payload,
            sync,
            streams: [events.await?, dead_letters.await?],
        })
    }

    async fn report(&self, name: String) -> Result<StreamReport, BusError> {
        let found = self.find(&name).await?.map(|stream| {
            let info = stream.cached_info();
            StreamFound::of(&info.config, StreamState::of(info))
        });
        Ok(StreamReport { name, found })
    }

    /// Only connections of the system account get an answer.
    async fn sync_by_system_account(&self, server_id: &str) -> Sync {
        let request = self.client.request(format!("$SYS.REQ.SERVER.{server_id}.JSZ"), Bytes::new());
        match tokio::time::timeout(Duration::from_secs(1), request).await {
            Ok(Ok(answer)) => sync_of(&answer.payload),
            _ => Sync::Unknown,
        }
    }
}

impl Report {
    /// What can be lost as things stand, and what to do about it; empty where nothing can.
    pub fn risks(&self) -> Vec<String> {
        let mut risks = Vec::new();
        let replicated =
            |stream: &StreamReport| stream.found.as_ref().is_some_and(|found| found.replicas > 1);
        let kept_elsewhere = self.streams.iter().all(replicated);
        match self.sync {
            Sync::Always => {}
            Sync::Every(every) => risks.push(format!(
                "sync_interval is {every:?}: a power cut {} lose up to that much of what was \
                 confirmed; set sync_interval: always",
                if kept_elsewhere { "of several servers at once can" } else { "will" },
            )),
            Sync::Unknown => risks.push(
                "the server does not say its sync_interval, whose default of 2 minutes loses that \
                 much with the power: give its monitoring URL, and set sync_interval: always"
                    .to_owned(),
            ),
        }
        for stream in &self.streams {
            risks.extend(stream.risks());
        }
        risks
    }
}

impl StreamReport {
    fn risks(&self) -> Vec<String> {
        let name = &self.name;
        let Some(found) = &self.found else {
            return vec![format!("stream {name} is missing: nothing is taken; qoe migrate up")];
        };
        let mut risks = Vec::new();
        if found.discard != "new" {
            risks.push(format!("{name} discards old messages when full, counted or not"));
        }
        if found.retention != "limits" {
            risks.push(format!("{name} drops what was taken: a database can't be filled again"));
        }
        if found.storage != "file" {
            risks.push(format!("{name} is kept in memory and lost with the process"));
        }
        if found.replicas < 2 {
            risks.push(format!("{name} is on one server: lost with its disk"));
        }
        if found.state.max_bytes.is_none() {
            risks.push(format!(
                "{name} has no max_bytes: it fills the disk, at which JetStream turns itself off"
            ));
        }
        risks
    }
}

impl StreamFound {
    fn of(config: &Config, state: StreamState) -> Self {
        Self {
            discard: match config.discard {
                DiscardPolicy::New => "new",
                DiscardPolicy::Old => "old",
            },
            retention: match config.retention {
                RetentionPolicy::Limits => "limits",
                RetentionPolicy::Interest => "interest",
                RetentionPolicy::WorkQueue => "workqueue",
            },
            storage: match config.storage {
                StorageType::File => "file",
                StorageType::Memory => "memory",
            },
            replicas: config.num_replicas,
            max_age: Some(config.max_age).filter(|age| !age.is_zero()),
            state,
        }
    }
}

/// What the server says of JetStream: as it is on the monitoring port, within `data` on the bus.
#[derive(Deserialize)]
struct Jsz {
    config: Option<JszConfig>,
    data: Option<Box<Jsz>>,
}

#[derive(Deserialize)]
struct JszConfig {
    #[serde(default)]
    sync_always: bool,
    sync_interval: Option<u64>,
}

fn sync_of(answer: &[u8]) -> Sync {
    let Ok(answer) = serde_json::from_slice::<Jsz>(answer) else { return Sync::Unknown };
    match answer.config.or(answer.data.and_then(|data| data.config)) {
        Some(JszConfig { sync_always: true, .. }) => Sync::Always,
        Some(JszConfig { sync_interval: Some(nanos), .. }) => {
            Sync::Every(Duration::from_nanos(nanos))
        }
        _ => Sync::Unknown,
    }
}

/// The answer is some hundred bytes.
const MONITOR_BYTES: usize = 1 << 20;
const MONITOR_TIMEOUT: Duration = Duration::from_secs(5);

async fn sync_by_monitor(monitor: &Url) -> Result<Sync, BusError> {
    let failed = || BusError::request(format!("ask the monitoring port at {monitor}"));
    let asked = tokio::time::timeout(MONITOR_TIMEOUT, get(monitor, "/jsz")).await;
    let answer = asked.map_err(|_| failed()(&"no answer in time"))?;
    answer.map(|body| sync_of(&body)).map_err(|error| failed()(&error))
}

/// The monitoring port speaks plain HTTP inside the network of the servers.
async fn get(base: &Url, path: &str) -> anyhow::Result<Bytes> {
    anyhow::ensure!(base.scheme() == "http", "only http:// is supported");
    let host = base.host_str().unwrap_or_default();
    let port = base.port().unwrap_or(8222);
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::get(path)
        .header(http::header::HOST, format!("{host}:{port}"))
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    anyhow::ensure!(answer.status().is_success(), "it answers {}", answer.status());
    let body = Limited::new(answer.into_body(), MONITOR_BYTES).collect().await;
    connection.abort();
    Ok(body.map_err(|error| anyhow::anyhow!(error))?.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sync_policy_is_read_from_both_answers() {
        let always = br#"{"config": {"sync_interval": 120000000000, "sync_always": true}}"#;
        assert_eq!(sync_of(always), Sync::Always);
        let lazy = br#"{"server": {}, "data": {"config": {"sync_interval": 120000000000}}}"#;
        assert_eq!(sync_of(lazy), Sync::Every(Duration::from_secs(120)));
        for unsaid in [&b"{}"[..], b"[]", b"", br#"{"config": {}}"#, br#"{"error": "no"}"#] {
            assert_eq!(sync_of(unsaid), Sync::Unknown);
        }
    }
}
