//! The streams: what they must be so that nothing is lost, and how they are made.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, GetStreamErrorKind,
};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Info, RetentionPolicy, StorageType, Stream,
};

use super::{Bus, BusError, Names};

/// How much the streams keep, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// How long an event stays, counted or not.
    pub max_age: Duration,
    /// How many bytes of events; 0 is no bound but the server's own.
    pub max_bytes: u64,
    /// How long a dead letter stays.
    pub dead_letter_max_age: Duration,
    /// How many bytes of dead letters; 0 is no bound but the server's own.
    pub dead_letter_max_bytes: u64,
    /// On how many servers of a cluster each message is kept.
    pub replicas: usize,
}

/// Together with the spool of a probe this must stay below what duplicates are remembered for.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            max_age: WEEK,
            max_bytes: 8 << 30,
            dead_letter_max_age: WEEK,
            dead_letter_max_bytes: 512 << 20,
            replicas: 1,
        }
    }
}

/// What became of a stream that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was not there.
    Created,
    /// It was there with other bounds.
    Changed,
    /// It was there.
    Unchanged,
}

/// How long the server remembers message ids. Only repeats of one publish are caught by it; what
/// is counted once is decided in the store.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Bytes that the headers of a dead letter take at most.
const ROOM_FOR_A_REASON: usize = 16 << 10;

impl Bus {
    /// Makes the streams that are missing, and gives those that are there the bounds of
    /// `settings`: an explicit step, since a stream that vanished is to be noticed.
    ///
    /// # Errors
    /// Where the server refuses, or a stream is there that would lose events.
    pub async fn make_streams(
        &self,
        settings: &StreamSettings,
    ) -> Result<Vec<(String, Made)>, BusError> {
        let mut made = Vec::new();
        for wanted in self.wanted(settings) {
            let name = wanted.name.clone();
            made.push((name, self.make(wanted).await?));
        }
        Ok(made)
    }

    /// Checks that the streams are there and lose nothing.
    ///
    /// # Errors
    /// [`BusError::Missing`] and [`BusError::Unsafe`], or where the server does not answer.
    pub async fn check_streams(&self) -> Result<(), BusError> {
        for wanted in self.wanted(&StreamSettings::default()) {
            let stream = self.stream(&wanted.name).await?;
            check(&stream.cached_info().config, &wanted)?;
        }
        Ok(())
    }

    /// How long an event stays in the stream, and how long a dead letter; `None` for ever.
    ///
    /// # Errors
    /// Where a stream is missing, or the server does not answer.
    pub async fn max_ages(&self) -> Result<(Option<Duration>, Option<Duration>), BusError> {
        let events = self.stream(&self.names.events()).await?;
        let dead_letters = self.stream(&self.names.dead_letters()).await?;
        let age = |stream: &Stream| {
            Some(stream.cached_info().config.max_age).filter(|age| !age.is_zero())
        };
        Ok((age(&events), age(&dead_letters)))
    }

    /// A stream that must be there.
    pub(super) async fn stream(&self, name: &str) -> Result<Stream, BusError> {
        self.find(name).await?.ok_or_else(|| BusError::Missing { stream: name.to_owned() })
    }

    pub(super) async fn find(&self, name: &str) -> Result<Option<Stream>, BusError> {
        match self.jetstream.get_stream(name).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error)
                    if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(BusError::request(format!("look for stream {name}"))(&error)),
            },
        }
    }

    async fn make(&self, wanted: Config) -> Result<Made, BusError> {
        let name = wanted.name.clone();
        let bytes = wanted.max_bytes;
        let Some(stream) = self.find(&name).await? else {
            let created = self.jetstream.create_stream(wanted).await;
            created.map_err(|e| refused_to_make(&name, bytes, &e))?;
            return Ok(Made::Created);
        };
        let there = &stream.cached_info().config;
        check(there, &wanted)?;
        let changed = Config {
            max_age: wanted.max_age,
            max_bytes: wanted.max_bytes,
            max_message_size: wanted.max_message_size,
            num_replicas: wanted.num_replicas,
            ..there.clone()
        };
        if changed == *there {
            return Ok(Made::Unchanged);
        }
        let updated = self.jetstream.update_stream(changed).await;
        updated.map_err(|e| refused_to_make(&name, bytes, &e))?;
        Ok(Made::Changed)
    }

    fn wanted(&self, settings: &StreamSettings) -> [Config; 2] {
        let bytes = |bytes: u64| match i64::try_from(bytes) {
            Ok(bytes) if bytes > 0 => bytes,
            _ => -1,
        };
        // Whatever is let in must fit among the dead letters, with the reason.
        let largest = self.client.max_payload().saturating_sub(ROOM_FOR_A_REASON);
        let stream = |(name, subjects), max_age, max_bytes, largest| Config {
            name,
            subjects,
            // What was counted stays, so that a restored database can be filled again.
            retention: RetentionPolicy::Limits,
            // A full stream says so, instead of forgetting what nobody has counted yet.
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            max_age,
            max_bytes: bytes(max_bytes),
            max_messages: -1,
            max_messages_per_subject: -1,
            max_message_size: i32::try_from(largest).unwrap_or(i32::MAX),
            max_consumers: -1,
            num_replicas: settings.replicas,
            duplicate_window: DUPLICATE_WINDOW.min(max_age),
            ..Config::default()
        };
        let [events, dead_letters] = subjects(&self.names);
        [
            stream(events, settings.max_age, settings.max_bytes, largest),
            stream(
                dead_letters,
                settings.dead_letter_max_age,
                settings.dead_letter_max_bytes,
                self.client.max_payload(),
            ),
        ]
    }
}

fn refused_to_make(name: &str, bytes: i64, error: &CreateStreamError) -> BusError {
    let doing = BusError::request(format!("make stream {name}"));
    match error.kind() {
        CreateStreamErrorKind::JetStream(said)
            if said.error_code() == ErrorCode::STORAGE_RESOURCES_EXCEEDED =>
        {
            doing(&format!(
                "the server has no {bytes} bytes left to promise it: give it fewer \
                 (--stream-max-bytes, --dead-letters-max-bytes), or raise the server's \
                 max_file_store, which is three quarters of its free disk unless set"
            ))
        }
        _ => doing(error),
    }
}

/// Whether a stream keeps what it confirmed until it was counted.
pub(super) fn check(there: &Config, wanted: &Config) -> Result<(), BusError> {
    let faults = faults(there, wanted);
    if faults.is_empty() {
        return Ok(());
    }
    Err(BusError::Unsafe { stream: there.name.clone(), detail: faults.join("; ") })
}

fn faults(there: &Config, wanted: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    let mut unless = |good: bool, fault: &str| {
        if !good {
            faults.push(fault.to_owned());
        }
    };
    unless(there.discard == DiscardPolicy::New, "discard is old and must be new");
    unless(there.retention == RetentionPolicy::Limits, "retention must be limits");
    unless(there.storage == StorageType::File, "storage is memory and must be file");
    faults.extend(keeps_nothing(there, &wanted.subjects));
    faults
}

/// By what a stream would not even keep at first what is sent on these subjects.
pub(super) fn keeps_nothing(there: &Config, subjects: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut unless = |good: bool, fault: &str| {
        if !good {
            faults.push(fault.to_owned());
        }
    };
    unless(!there.no_ack, "no_ack is set, so nothing is confirmed");
    unless(!there.sealed, "it is sealed and takes nothing");
    unless(there.max_messages_per_subject <= 0, "it keeps only some messages a subject");
    unless(there.mirror.is_none(), "it is a mirror and takes nothing itself");
    let covered = there.subjects.iter().any(|subject| subjects.contains(subject));
    if !covered {
        faults.push(format!("it does not listen on {}", subjects.join(", ")));
    }
    faults
}

/// The streams, that of events first, and what each listens on.
pub(super) fn subjects(names: &Names) -> [(String, Vec<String>); 2] {
    let all = |subject: String| vec![format!("{subject}.*")];
    [
        (names.events(), all(names.events_subject())),
        (names.dead_letters(), all(names.dead_letters_subject())),
    ]
}

/// The state of a stream, in our own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// Messages in it.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// How many bytes it may hold; `None` for no bound of its own.
    pub max_bytes: Option<u64>,
    /// The first sequence still there.
    pub first_sequence: u64,
    /// The last sequence given.
    pub last_sequence: u64,
}

impl StreamState {
    pub(super) fn of(info: &Info) -> Self {
        Self {
            messages: info.state.messages,
            bytes: info.state.bytes,
            max_bytes: u64::try_from(info.config.max_bytes).ok().filter(|&bytes| bytes > 0),
            first_sequence: info.state.first_sequence,
            last_sequence: info.state.last_sequence,
        }
    }
}

impl StreamState {
    /// Whether more than a little can be added.
    pub fn has_room(&self) -> bool {
        self.max_bytes.is_none_or(|most| self.bytes < most - most / 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_forgets_is_named_with_all_its_faults() {
        let wanted = Config {
            name: "QOE_EVENTS".to_owned(),
            subjects: vec!["qoe.events.*".to_owned()],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            ..Config::default()
        };
        assert!(check(&wanted, &wanted).is_ok());
        let forgetful = Config {
            discard: DiscardPolicy::Old,
            storage: StorageType::Memory,
            subjects: vec!["other".to_owned()],
            ..wanted.clone()
        };
        assert_eq!(
            check(&forgetful, &wanted).unwrap_err().to_string(),
            "stream QOE_EVENTS would lose events: discard is old and must be new; storage is \
             memory and must be file; it does not listen on qoe.events.*"
        );
    }
}
