//! What gathers, and into which messages it goes.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::super::message::{Draft, PER_EVENT};
use super::answer::Answer;
use super::send::Sender;
use super::{LINGER, Place, ROUNDS};
use crate::partition::PARTITIONS;

/// A request's events on their way into messages.
pub(super) struct Job {
    pub(super) body: Bytes,
    pub(super) places: Vec<Place>,
    pub(super) answer: Answer,
    pub(super) received_ms: i64,
}

impl Job {
    fn bytes(&self) -> usize {
        self.places.iter().map(|(_, place)| place.len() + PER_EVENT).sum()
    }
}

/// A message takes the events of some parts alone only where that makes it no smaller than this:
/// the server syncs its disk for each message, so that small ones cost far more an event.
const WORTH_A_MESSAGE: usize = 256 << 10;

/// No message is made larger, whatever the server would take.
const LARGEST: usize = 512 << 10;

/// The one task that gathers and hands out.
pub(super) struct Dispatcher {
    queue: mpsc::UnboundedReceiver<Job>,
    sender: Arc<Sender>,
    rounds: Arc<Semaphore>,
    /// Bytes of events in one message.
    most: usize,
}

/// A message that is being filled, and whose events are in it.
pub(super) struct Load {
    pub(super) draft: Draft,
    pub(super) received_ms: i64,
    pub(super) answers: Vec<Arc<Answer>>,
}

impl Dispatcher {
    pub(super) fn new(
        queue: mpsc::UnboundedReceiver<Job>,
        sender: Sender,
        max_payload: usize,
    ) -> Self {
        let most = (max_payload / 2).min(LARGEST);
        Self { queue, sender: Arc::new(sender), rounds: Arc::new(Semaphore::new(ROUNDS)), most }
    }

    pub(super) async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            let (jobs, turn) = self.gather(first).await;
            self.hand_out(jobs, turn);
        }
    }

    /// Takes what is queued, and what comes until it is this round's turn, its time is up, or
    /// there is enough for a message.
    async fn gather(&mut self, first: Job) -> (Vec<Job>, Option<OwnedSemaphorePermit>) {
        let mut bytes = first.bytes();
        let mut jobs = vec![first];
        // Requests that are ready to run may as well come along.
        tokio::task::yield_now().await;
        let time_is_up = tokio::time::sleep(LINGER);
        tokio::pin!(time_is_up);
        loop {
            while bytes < PARTITIONS * self.most
                && let Ok(job) = self.queue.try_recv()
            {
                bytes += job.bytes();
                jobs.push(job);
            }
            if bytes >= self.most {
                return (jobs, None);
            }
            tokio::select! {
                biased;
                turn = Arc::clone(&self.rounds).acquire_owned() => return (jobs, turn.ok()),
                () = &mut time_is_up => return (jobs, None),
                job = self.queue.recv() => match job {
                    Some(job) => {
                        bytes += job.bytes();
                        jobs.push(job);
                    }
                    None => return (jobs, None),
                },
            }
        }
    }

    /// Copies each event into the message of its lane.
    fn hand_out(&self, jobs: Vec<Job>, turn: Option<OwnedSemaphorePermit>) {
        let turn = turn.map(Arc::new);
        let total: usize = jobs.iter().map(Job::bytes).sum();
        let lanes = lanes(total);
        let mut open: [Option<Load>; PARTITIONS] = Default::default();
        let room = (total / lanes + total / (4 * lanes)).min(self.most);
        for job in jobs {
            let answer = Arc::new(job.answer);
            for (partition, place) in job.places {
                let lane = partition * lanes / PARTITIONS;
                let text = &job.body[place];
                if let Some(full) =
                    open[lane].take_if(|load| load.draft.len() + text.len() + PER_EVENT > self.most)
                {
                    self.send(full, lanes, lane, turn.clone());
                }
                let load = open[lane].get_or_insert_with(|| Load {
                    draft: Draft::with_room(room),
                    received_ms: job.received_ms,
                    answers: Vec::new(),
                });
                load.draft.push(text);
                if !load.answers.last().is_some_and(|last| Arc::ptr_eq(last, &answer)) {
                    answer.expect();
                    load.answers.push(Arc::clone(&answer));
                }
            }
            answer.settle(&Ok(()));
        }
        for (lane, load) in open.into_iter().enumerate() {
            if let Some(load) = load {
                self.send(load, lanes, lane, turn.clone());
            }
        }
    }

    fn send(&self, load: Load, lanes: usize, lane: usize, turn: Option<Arc<OwnedSemaphorePermit>>) {
        let sender = Arc::clone(&self.sender);
        tokio::spawn(async move {
            sender.send(load, lanes, lane).await;
            drop(turn);
        });
    }
}

/// Into how many messages so many bytes go: 1, 2, 4, 8 or 16, each for its share of the clients.
fn lanes(bytes: usize) -> usize {
    let most = (bytes / WORTH_A_MESSAGE).clamp(1, PARTITIONS);
    // The largest power of two that is no larger.
    1 << most.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_parted_as_they_grow() {
        let of = |messages: usize| lanes(messages * WORTH_A_MESSAGE);
        assert_eq!([0, 1, 2, 3, 4, 7, 8, 16, 99].map(of), [1, 1, 2, 2, 4, 4, 8, 16, 16]);
    }
}
