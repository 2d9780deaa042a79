//! Makes room in the stream of events before it is full, out of what was counted. A full stream of
//! counted events would keep new ones out.

use std::time::Duration;

use async_nats::jetstream::context::ConsumerInfoErrorKind;
use tokio_util::sync::CancellationToken;

use super::{Bus, BusError, StreamState};

/// Percent of the stream's bytes: above the first, room is made down to the second. What is left
/// can be counted again into a restored database.
const FULL: u64 = 80;
const AFTER: u64 = 60;

/// How often it is looked how full the stream is.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Makes room until `shutdown`. Any number may run at once.
pub async fn run(bus: Bus, durable: &str, shutdown: CancellationToken) {
    let look = async {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match step(&bus, durable).await {
                Ok(0) => {}
                Ok(purged) => tracing::info!(purged, "made room in the stream"),
                Err(error) => tracing::debug!(%error, "can't make room in the stream"),
            }
        }
    };
    shutdown.run_until_cancelled(look).await;
}

/// Removes the oldest messages where the stream is nearly full, and only such as `durable` is done
/// with: how many.
///
/// # Errors
/// Where the server does not answer, or there is no such stream.
pub async fn step(bus: &Bus, durable: &str) -> Result<u64, BusError> {
    let name = bus.names.events();
    // The floor first: it only rises, so what it says stays true of the state looked at next.
    let floor = floor(bus, &name, durable).await?;
    let stream = bus.stream(&name).await?;
    let state = StreamState::of(stream.cached_info());
    let Some(first_kept) = floor.and_then(|floor| keep_from(&state, floor)) else { return Ok(0) };
    let purged = stream.purge().sequence(first_kept).await;
    let purged = purged.map_err(|e| BusError::request(format!("purge stream {name}"))(&e))?;
    Ok(purged.purged)
}

/// Every message up to this sequence is acknowledged; `None` where there is no such consumer, so
/// that nobody has counted anything.
async fn floor(bus: &Bus, name: &str, durable: &str) -> Result<Option<u64>, BusError> {
    let asking = || BusError::request(format!("look at consumer {durable}"));
    let stream = bus.jetstream.get_stream_no_info(name).await;
    let stream = stream.map_err(|error| asking()(&error))?;
    match stream.consumer_info(durable).await {
        Ok(info) => Ok(Some(info.ack_floor.stream_sequence)),
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(None),
        Err(error) => Err(asking()(&error)),
    }
}

/// The first sequence to keep, where room is to be made.
fn keep_from(state: &StreamState, floor: u64) -> Option<u64> {
    let most = state.max_bytes?;
    if state.messages == 0 || state.bytes < most / 100 * FULL {
        return None;
    }
    // Messages differ in size, so this is a guess; the next look makes up for it.
    let surplus = state.bytes.saturating_sub(most / 100 * AFTER);
    let mean = (state.bytes / state.messages).max(1);
    let wanted = state.first_sequence.saturating_add(surplus / mean).saturating_add(1);
    let first_kept = wanted.min(floor.saturating_add(1));
    (first_kept > state.first_sequence).then_some(first_kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state(bytes: u64, messages: u64, first_sequence: u64) -> StreamState {
        let last_sequence = first_sequence + messages - 1;
        StreamState { messages, bytes, max_bytes: Some(1_000_000), first_sequence, last_sequence }
    }

    #[test]
    fn room_is_made_when_it_is_nearly_full_and_as_far_as_allowed() {
        assert_eq!(keep_from(&state(799_000, 1_000, 1), 1_000), None);
        assert_eq!(keep_from(&state(800_000, 1_000, 1), 1_000), Some(252));
        assert_eq!(keep_from(&state(800_000, 1_000, 501), 1_500), Some(752));
        assert_eq!(keep_from(&state(800_000, 1_000, 501), 600), Some(601));
        assert_eq!(keep_from(&state(999_999, 1_000, 501), 500), None);
        let endless = StreamState { max_bytes: None, ..state(800_000, 1_000, 1) };
        assert_eq!(keep_from(&endless, 1_000), None);
    }

    proptest! {
        #[test]
        fn nothing_above_the_floor_is_ever_removed(
            bytes: u64, messages in 1_u64.., first in 0_u64.., floor: u64, max_bytes: Option<u64>,
        ) {
            let state = StreamState {
                messages, bytes, max_bytes, first_sequence: first, last_sequence: u64::MAX,
            };
            if let Some(first_kept) = keep_from(&state, floor) {
                prop_assert!(first_kept - 1 <= floor && first_kept > first);
            }
        }
    }
}
