//! A stream that gives up on a silent peer and takes leave of one that still talks.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Stream;

/// After an answer that ended a connection early, what the peer still sends is read and thrown
/// away for so long. Closing at once would have the kernel send a reset, which takes the answer
/// out of the peer's hands.
const LINGER: Duration = Duration::from_secs(2);

/// And up to so many bytes.
const LINGER_BYTES: usize = 16 << 20;

/// Fails with `TimedOut` where no byte has moved in either direction for the time allowed.
pub(super) struct Guarded<S> {
    inner: S,
    idle: Duration,
    last_byte: Instant,
    // Set for a moment that may have passed by when a byte moves: moving it with each byte
    // would cost more than waking once too often.
    alarm: Pin<Box<Sleep>>,
    leaving: Leaving,
}

enum Leaving {
    No,
    Yes { until: Pin<Box<Sleep>>, bytes: usize },
}

impl<S: Stream> Guarded<S> {
    pub(super) fn new(inner: S, idle: Duration) -> Self {
        let last_byte = Instant::now();
        let alarm = Box::pin(sleep_until(last_byte + idle));
        Self { inner, idle, last_byte, alarm, leaving: Leaving::No }
    }

    /// Notes a byte, or fails when there has been none for too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        moved: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.last_byte = Instant::now();
            return moved;
        }
        while self.alarm.as_mut().poll(cx).is_ready() {
            let deadline = self.last_byte + self.idle;
            if deadline <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl<S: Stream> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.watch(cx, moved)
    }
}

impl<S: Stream> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.watch(cx, moved)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.watch(cx, moved)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch(cx, moved)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.leaving, Leaving::No) {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            let until = Box::pin(sleep_until(Instant::now() + LINGER));
            this.leaving = Leaving::Yes { until, bytes: 0 };
        }
        let Leaving::Yes { until, bytes } = &mut this.leaving else { return Poll::Ready(Ok(())) };
        let mut thrown_away = [0; 4 << 10];
        while *bytes < LINGER_BYTES && until.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut thrown_away);
            match ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => *bytes += buf.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up_after_the_time_and_not_before() {
        let start = Instant::now();
        let (near, mut far) = duplex(64);
        let mut guarded = Guarded::new(near, IDLE);
        let talk = async {
            tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
            far.write_all(b"x").await.unwrap();
        };
        let (read, ()) = tokio::join!(guarded.read_u8(), talk);
        assert_eq!(read.unwrap(), b'x');
        assert_eq!(guarded.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 2 * IDLE.as_secs() - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up_too() {
        let (near, _far) = duplex(4);
        let mut guarded = Guarded::new(near, IDLE);
        let written = guarded.write_all(b"more than fits").await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn leaving_waits_for_the_peer_to_finish_but_not_for_ever() {
        let start = Instant::now();
        let (near, mut far) = duplex(64);
        let mut guarded = Guarded::new(near, IDLE);
        let finish = async {
            far.write_all(&[0; 1_000]).await.unwrap();
            tokio::time::sleep(LINGER / 2).await;
            drop(far);
        };
        let (left, ()) = tokio::join!(guarded.shutdown(), finish);
        left.unwrap();
        assert_eq!(start.elapsed().as_millis(), (LINGER / 2).as_millis());

        let start = Instant::now();
        let (near, _far) = duplex(64);
        Guarded::new(near, IDLE).shutdown().await.unwrap();
        assert_eq!(start.elapsed().as_millis(), LINGER.as_millis());
    }
}
