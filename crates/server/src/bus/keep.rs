//! One message into a stream, and what the server says to it.

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};

use super::{Bus, Refused};

impl Bus {
    /// Publishes, and returns when `stream` has confirmed that it keeps it.
    pub(super) async fn keep(
        &self,
        stream: &str,
        subject: String,
        message: PublishMessage,
    ) -> Result<(), Refused> {
        // The client would hold it back until it is connected again.
        if !self.connected() {
            return Err(Refused::Disconnected);
        }
        let confirmed = match self.jetstream.send_publish(subject, message).await {
            Ok(confirmed) => confirmed.await,
            Err(error) => Err(error),
        };
        let confirmed = confirmed.map_err(|error| refused(&error))?;
        // A stream of somebody else's that listens on our subject keeps it by its own rules.
        if confirmed.stream == stream { Ok(()) } else { Err(Refused::Foreign(stream.to_owned())) }
    }
}

/// How JetStream says that there is no room: of resources, of the account's, in the store (which is
/// what a full stream of `discard: new` says), of memory, of the server's.
const NO_ROOM: [ErrorCode; 5] = [
    ErrorCode::INSUFFICIENT_RESOURCES,
    ErrorCode::STORAGE_RESOURCES_EXCEEDED,
    ErrorCode::STREAM_STORE_FAILED,
    ErrorCode::MEMORY_RESOURCES_EXCEEDED,
    ErrorCode::STREAM_MAX_STREAM_BYTES_EXCEEDED,
];

fn refused(error: &PublishError) -> Refused {
    match error.kind() {
        PublishErrorKind::StreamNotFound => Refused::Missing,
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => Refused::Unconfirmed,
        _ => {
            let source = std::error::Error::source(error);
            match source.and_then(|source| source.downcast_ref::<jetstream::Error>()) {
                Some(said) if NO_ROOM.contains(&said.error_code()) => {
                    Refused::Full(said.to_string())
                }
                Some(said) => Refused::Other(said.to_string()),
                None => Refused::Other(error.to_string()),
            }
        }
    }
}
