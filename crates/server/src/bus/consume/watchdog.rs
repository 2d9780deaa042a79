//! Looks after a consumer: how much waits, and whether anything comes.

use async_nats::jetstream::consumer::Info;
use async_nats::jetstream::stream;
use tokio::sync::watch;

use super::{Consumer, MOST_UNACKNOWLEDGED};
use crate::bus::BusError;

impl Consumer {
    /// Looks, for ever. Has the pulls start anew where nothing comes although something waits:
    /// consumers have been seen to fall silent after a reconnect.
    pub(super) async fn watch(&self, rebuild: &watch::Sender<()>) {
        let (mut in_a_row, mut done_before) = (0, 0);
        let mut accounted = 0;
        loop {
            tokio::time::sleep(self.settings.look_every).await;
            let connected = self.bus.connected();
            self.health.update(|fares| fares.connected = connected);
            if !connected {
                continue;
            }
            let (stream, info) = match self.info().await {
                Ok(both) => both,
                Err(error) => {
                    tracing::debug!(%error, "can't see how much waits");
                    continue;
                }
            };
            self.note(&stream, &info);
            if let Ok((letters, _)) = self.bus.dead_letter_count().await {
                self.health.update(|fares| fares.dead_letters_kept = Some(letters));
            }
            accounted = self.miss(&stream, &info, accounted);
            if !self.is_silent(&info) {
                continue;
            }
            // Whether anything came since the last time it was begun anew.
            let done = self.health.fares().done;
            in_a_row = if done == done_before { in_a_row + 1 } else { 1 };
            done_before = done;
            tracing::warn!(waiting = info.num_pending, "nothing comes though messages wait");
            self.health.rebuilt();
            rebuild.send_replace(());
            // A second time the connection itself is not to be trusted.
            if in_a_row > 1 {
                let _ = self.bus.client.force_reconnect().await;
            }
        }
    }

    /// The stream first: what the consumer is done with only grows meanwhile.
    async fn info(&self) -> Result<(stream::Info, Info), BusError> {
        let stream = self.bus.stream(&self.bus.names.events()).await?;
        let info = stream.consumer_info(&self.settings.durable).await;
        let info = info.map_err(|error| BusError::request("look at the consumer")(&error))?;
        Ok((stream.cached_info().clone(), info))
    }

    /// Tells of messages that grew too old in the stream before they were acknowledged. (Of what
    /// somebody purges, the server says that it was.) `accounted` is the last sequence that needs no telling, before and after.
    fn miss(&self, stream: &stream::Info, info: &Info, accounted: u64) -> u64 {
        let gone = stream.state.first_sequence.saturating_sub(1);
        let accounted = accounted.max(info.ack_floor.stream_sequence);
        if gone <= accounted {
            return accounted;
        }
        let (from, missing) = (accounted + 1, gone - accounted);
        tracing::error!(from, to = gone, "messages left the stream that nobody has acknowledged");
        self.health.update(|fares| fares.missing += missing);
        gone
    }

    fn note(&self, stream: &stream::Info, info: &Info) {
        self.health.update(|fares| {
            fares.stream_bytes = Some(stream.state.bytes);
            fares.waiting = Some(info.num_pending);
            fares.at_work = info.num_ack_pending as u64;
            fares.ack_floor = info.ack_floor.stream_sequence;
        });
    }

    fn is_silent(&self, info: &Info) -> bool {
        // Where all places are taken, or others hold all that may be out, nothing has to come.
        let busy = self.health.busy() > self.settings.at_work as usize / 2;
        let full = i64::try_from(info.num_ack_pending).is_ok_and(|out| out >= MOST_UNACKNOWLEDGED);
        let halted = self.health.fares().halted.is_some();
        info.num_pending > 0
            && !(busy || full || halted)
            && self.health.silent_for() >= self.settings.silence
    }
}
