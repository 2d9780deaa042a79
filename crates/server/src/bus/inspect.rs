//! What a server can promise, as far as it tells: for `qoe doctor`.

use std::time::Duration;

use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use bytes::Bytes;
use serde::Deserialize;
use url::Url;

use super::connect::{OLDEST_TEXT, is_new_enough};
use super::{Bus, BusError, StreamState, consume, stream};
use crate::plain;

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
    /// Why its monitoring port did not say so, where that was asked in vain.
    pub monitor_failed: Option<String>,
    /// The stream of events, then that of dead letters.
    pub streams: [StreamReport; 2],
    /// How far the aggregators are; `None` where none has ever run.
    pub backlog: Option<Backlog>,
}

/// How far the aggregators are with the stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Every message up to this sequence is counted or laid aside.
    pub ack_floor: u64,
    /// From there to the last message: what is not yet, at most.
    pub lag: u64,
    /// Messages that were taken and not acknowledged yet.
    pub at_work: u64,
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
    /// What else is set so that it does not keep what it is sent.
    pub faults: Vec<String>,
}

impl Bus {
    /// Looks at the server and the streams. `monitor` is the URL of the server's monitoring port
    /// (`http://host:8222`), by which it tells its sync policy where the account may not ask.
    ///
    /// # Errors
    /// Where the server does not answer. A missing stream is no error, but found so; a monitoring
    /// port that does not answer is told beside the rest.
    pub async fn inspect(&self, monitor: Option<&Url>) -> Result<Report, BusError> {
        let info = self.client.server_info();
        let mut sync = self.sync_by_system_account(&info.server_id).await;
        let mut monitor_failed = None;
        if let (Sync::Unknown, Some(monitor)) = (sync, monitor) {
            match sync_by_monitor(monitor).await {
                Ok(said) => sync = said,
                Err(error) => monitor_failed = Some(error.to_string()),
            }
        }
        // The floor first: it only rises, so the lag is never told too small.
        let floor = self.floor().await?;
        let [events, dead_letters] = stream::subjects(&self.names);
        let streams = [self.report(events).await?, self.report(dead_letters).await?];
        let backlog = floor.zip(streams[0].found.as_ref()).map(|((ack_floor, at_work), found)| {
            Backlog { ack_floor, at_work, lag: found.state.last_sequence.saturating_sub(ack_floor) }
        });
        Ok(Report {
            at: self.at().to_owned(),
            version: info.version,
            cluster: info.cluster,
            max_payload: info.max_payload,
            sync,
            monitor_failed,
            streams,
            backlog,
        })
    }

    async fn report(
        &self,
        (name, subjects): (String, Vec<String>),
    ) -> Result<StreamReport, BusError> {
        let found = self.find(&name).await?.map(|stream| {
            let info = stream.cached_info();
            StreamFound::of(&info.config, &subjects, StreamState::of(info))
        });
        Ok(StreamReport { name, found })
    }

    /// What the aggregators have acknowledged, and how much they have at work.
    async fn floor(&self) -> Result<Option<(u64, u64)>, BusError> {
        let Some(events) = self.find(&self.names.events()).await? else { return Ok(None) };
        match events.consumer_info(consume::DURABLE).await {
            Ok(info) => Ok(Some((info.ack_floor.stream_sequence, info.num_ack_pending as u64))),
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(BusError::request(format!("look at consumer {}", consume::DURABLE))(&error))
            }
        }
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
        if !self.is_new_enough() {
            risks.push(format!(
                "NATS {} can forget a whole stream when it is killed; upgrade it to {OLDEST_TEXT} \
                 or newer",
                self.version
            ));
        }
        let kept_elsewhere = self.streams.iter().all(StreamReport::is_replicated);
        match self.sync {
            Sync::Always => {}
            Sync::Every(every) => risks.push(format!(
                "sync_interval is {} s: a power cut {} lose up to that much of what was \
                 confirmed; set sync_interval: always",
                every.as_secs_f64(),
                if kept_elsewhere { "of several servers at once can" } else { "will" },
            )),
            Sync::Unknown => risks.push(
                "the server does not say its sync_interval, and its default of 2 minutes loses that \
                 much with the power; set sync_interval: always, and have it checked with \
                 --bus-monitor http://HOST:8222"
                    .to_owned(),
            ),
        }
        for stream in &self.streams {
            risks.extend(stream.risks());
        }
        if let (Some(backlog), Some(events)) = (&self.backlog, &self.streams[0].found) {
            let (next, first) = (backlog.ack_floor + 1, events.state.first_sequence);
            if first > next {
                risks.push(format!(
                    "messages {next} to {} of {} are gone, and no aggregator has counted them",
                    first - 1,
                    self.streams[0].name
                ));
            }
        }
        risks
    }

    /// What is worth knowing and puts nothing at risk that was promised.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        notes.extend(self.monitor_failed.clone());
        for stream in &self.streams {
            if stream.found.is_some() && !stream.is_replicated() {
                notes.push(format!(
                    "{} is kept on one server: what is in it is lost with its disk",
                    stream.name
                ));
            }
        }
        if self.streams[0].found.is_some() && self.backlog.is_none() {
            notes.push("no aggregator has run yet: events wait until one does".to_owned());
        }
        notes
    }

    /// Whether the server is of a version that keeps what it has.
    pub fn is_new_enough(&self) -> bool {
        is_new_enough(&self.version)
    }
}

impl StreamReport {
    fn is_replicated(&self) -> bool {
        self.found.as_ref().is_some_and(|found| found.replicas > 1)
    }

    fn risks(&self) -> Vec<String> {
        let name = &self.name;
        let Some(found) = &self.found else {
            return vec![format!(
                "stream {name} is missing, with all that was in it; if it never was there, make \
                 it with qoe migrate up"
            )];
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
        if found.state.max_bytes.is_none() {
            risks.push(format!(
                "{name} has no max_bytes: it fills the disk, at which JetStream turns itself off"
            ));
        }
        if !found.state.has_room() {
            risks.push(format!(
                "{name} is full and takes no more: what probes can't hold until it does is lost"
            ));
        }
        risks.extend(found.faults.iter().map(|fault| format!("{name}: {fault}")));
        risks
    }
}

impl StreamFound {
    fn of(config: &Config, subjects: &[String], state: StreamState) -> Self {
        Self {
            faults: stream::keeps_nothing(config, subjects),
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

const MONITOR_PORT: u16 = 8222;

/// The monitoring port speaks plain HTTP inside the network of the servers.
async fn sync_by_monitor(monitor: &Url) -> Result<Sync, BusError> {
    let mut server = monitor.clone();
    if server.port().is_none() {
        // Refused where it is no http://, which is told then.
        let _ = server.set_port(Some(MONITOR_PORT));
    }
    let failed = || BusError::request(format!("ask the monitoring port at {monitor}"));
    let (status, body) = plain::get(&server, "/jsz").await.map_err(|error| failed()(&error))?;
    if !status.is_success() {
        return Err(failed()(&format!("it answers {status}")));
    }
    Ok(sync_of(&body))
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
