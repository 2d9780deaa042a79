//! The echo server: small datagrams sent back, for loss and jitter.
//!
//! It answers nothing but the probe's own requests, with as many bytes as came, so it makes no attack
//! larger; and an answer is no request, so that two such servers never answer each other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::accept::Tasks;
use super::faults::EchoFault;
use super::switch::Slot;

/// How a request begins, and what becomes of that in the answer.
const REQUEST: &[u8] = b"qoe?";
const ANSWER: &[u8] = b"qoe!";

/// A request: its beginning, eight bytes of the sender's own, and a number of two.
const LENGTH: usize = REQUEST.len() + 10;

/// Answers that are held back at a time; one beyond is lost, as datagrams may be.
const MAX_DELAYED: usize = 10_000;

/// Answers datagrams for as long as the target runs.
pub(super) async fn serve(socket: UdpSocket, slot: Arc<Slot>, tasks: Tasks) {
    let socket = Arc::new(socket);
    let room = Arc::new(Semaphore::new(MAX_DELAYED));
    // One more than a request has, or a longer one would look like it.
    let mut buffer = [0; LENGTH + 1];
    let mut count = 0;
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "receive an echo request");
                continue;
            }
        };
        let Some(answer) = answer(&buffer[..length]) else { continue };
        count += 1;
        match fate(count, slot.faults().echo) {
            Fate::Lost => {}
            Fate::Answered => send(&socket, &answer, client).await,
            Fate::Late(delay) => {
                let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
                let socket = Arc::clone(&socket);
                tasks.spawn(async move {
                    sleep(delay).await;
                    send(&socket, &answer, client).await;
                    drop(permit);
                });
            }
        }
    }
}

/// Binds the socket.
pub(super) async fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
    UdpSocket::bind(addr).await
}

/// The answer to a request; `None`: it is none.
fn answer(datagram: &[u8]) -> Option<[u8; LENGTH]> {
    let mut answer = <[u8; LENGTH]>::try_from(datagram).ok()?;
    answer.strip_prefix(REQUEST)?;
    answer[..ANSWER.len()].copy_from_slice(ANSWER);
    Some(answer)
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    Late(Duration),
    Lost,
}

/// What becomes of the request of this number, from 1.
fn fate(number: u64, fault: EchoFault) -> Fate {
    let falls_on = |every: u64| every > 0 && number.is_multiple_of(every);
    if falls_on(fault.lose_every) {
        Fate::Lost
    } else if falls_on(fault.delay_every) && fault.delay_ms > 0 {
        Fate::Late(Duration::from_millis(fault.delay_ms))
    } else {
        Fate::Answered
    }
}

async fn send(socket: &UdpSocket, answer: &[u8], client: SocketAddr) {
    if let Err(error) = socket.send_to(answer, client).await {
        tracing::debug!(%error, %client, "send an echo");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_alone_are_answered_and_by_no_more_bytes() {
        let request = [REQUEST, &[7; 10]].concat();
        let answered = answer(&request).unwrap();
        assert_eq!((answered.len(), &answered[4..]), (request.len(), &request[4..]));
        assert_eq!(answer(&answered), None, "an answer is no request");
        assert_eq!(answer(&request[..13]), None);
        assert_eq!(answer(&[REQUEST, &[7; 11]].concat()), None);
        assert_eq!(answer(&[7; LENGTH]), None);
    }

    #[test]
    fn every_so_many_are_lost_or_late() {
        let fault = EchoFault { lose_every: 3, delay_every: 2, delay_ms: 5 };
        let late = Fate::Late(Duration::from_millis(5));
        let fates: Vec<_> = (1..=6).map(|number| fate(number, fault)).collect();
        use Fate::{Answered, Lost};
        assert_eq!(fates[..3], [Answered, Fate::Late(Duration::from_millis(5)), Lost]);
        assert_eq!(fates[3..], [late, Answered, Lost]);
        assert_eq!(fate(3, EchoFault::default()), Answered);
    }
}
