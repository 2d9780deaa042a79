//! A TCP socket that notes when its bytes passed: those it received when the kernel took them from
//! the network, those it sent around the call that handed them over.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::stamp;

/// When bytes passed. Shared between the socket and whoever reads the clock.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<Mutex<Noted>>);

#[derive(Debug)]
struct Noted {
    /// When the connection stood: nothing came before.
    opened: Instant,
    stamping: bool,
    first_write: Option<Instant>,
    /// Just before and just after the latest call.
    last_write: Option<(Instant, Instant)>,
    last_arrival: Option<Instant>,
    /// An arrival that nothing was written after yet.
    unanswered: Option<Instant>,
    local: Duration,
}

/// The socket with its notes.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    log: Log,
}

impl Log {
    pub(super) fn new(opened: Instant) -> Self {
        Self(Arc::new(Mutex::new(Noted {
            opened,
            stamping: true,
            first_write: None,
            last_write: None,
            last_arrival: None,
            unanswered: None,
            local: Duration::ZERO,
        })))
    }

    /// When the first bytes were handed over.
    pub(crate) fn first_write(&self) -> Option<Instant> {
        self.lock().first_write
    }

    /// Just before and just after the latest bytes were handed over.
    pub(crate) fn last_write(&self) -> Option<(Instant, Instant)> {
        self.lock().last_write
    }

    /// When the latest bytes came.
    pub(crate) fn last_arrival(&self) -> Option<Instant> {
        self.lock().last_arrival
    }

    /// How long bytes that had come waited for what was written after them: this machine's share
    /// of a dialogue.
    pub(crate) fn local(&self) -> Duration {
        self.lock().local
    }

    /// From now on reading costs as little as it can, and says no more when bytes came.
    pub(crate) fn stop(&self) {
        self.lock().stamping = false;
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether to stamp, and before what nothing can have come.
    fn stamping(&self) -> Option<Instant> {
        let noted = self.lock();
        noted.stamping.then(|| noted.last_arrival.unwrap_or(noted.opened))
    }

    fn arrived(&self, at: Instant) {
        let mut noted = self.lock();
        noted.last_arrival = Some(at);
        noted.unanswered = Some(at);
    }

    fn wrote(&self, before: Instant, after: Instant) {
        let mut noted = self.lock();
        noted.first_write.get_or_insert(before);
        noted.last_write = Some((before, after));
        if let Some(arrival) = noted.unanswered.take() {
            noted.local += before.saturating_duration_since(arrival);
        }
    }
}

impl Socket {
    /// Around a connection that stands since `opened`.
    pub(crate) fn new(stream: TcpStream, opened: Instant) -> Self {
        Self { stream, log: Log::new(opened) }
    }

    /// The address it is connected from.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }

    /// Its notes.
    pub(crate) fn log(&self) -> Log {
        self.log.clone()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(not_before) = this.log.stamping() else {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        };
        loop {
            ready!(this.stream.poll_read_ready(cx))?;
            let stream = &this.stream;
            let room = buf.initialize_unfilled();
            let received =
                stream.try_io(Interest::READABLE, || stamp::receive(stream, room, not_before));
            match received {
                Ok((length, at)) => {
                    buf.advance(length);
                    if length > 0 {
                        this.log.arrived(at);
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let before = Instant::now();
        let polled = Pin::new(&mut this.stream).poll_write(cx, buf);
        if matches!(polled, Poll::Ready(Ok(1..))) {
            this.log.wrote(before, Instant::now());
        }
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let before = Instant::now();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        if matches!(polled, Poll::Ready(Ok(1..))) {
            this.log.wrote(before, Instant::now());
        }
        polled
    }

    /// TLS hands over many records at once, which then leave in one packet.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_share_is_from_an_arrival_to_the_write_after_it() {
        let start = Instant::now();
        let ms = |n| start + Duration::from_millis(n);
        let log = Log::new(start);
        log.wrote(ms(1), ms(2));
        log.arrived(ms(10));
        log.arrived(ms(12));
        log.wrote(ms(15), ms(16));
        log.wrote(ms(17), ms(18));
        log.arrived(ms(30));
        assert_eq!(log.local(), Duration::from_millis(3));
        assert_eq!(log.first_write(), Some(ms(1)));
        assert_eq!(log.last_write(), Some((ms(17), ms(18))));
        assert_eq!(log.last_arrival(), Some(ms(30)));
    }
}
