//! Knowing when an HTTP/1.1 connection has written out all that it held.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Counts the flushes of one connection. hyper flushes the stream below it only when its own buffer
/// is empty, so the next flush tells that everything handed over before is with the kernel.
#[derive(Clone, Debug, Default)]
pub(super) struct Flushed(Arc<Mutex<Count>>);

#[derive(Debug, Default)]
struct Count {
    flushes: u64,
    waiting: Option<Waker>,
}

impl Flushed {
    /// Ready at the first flush after the first call. `seen` belongs to the caller and starts as
    /// `None`.
    pub(super) fn poll_next(&self, cx: &Context<'_>, seen: &mut Option<u64>) -> Poll<()> {
        let mut count = self.count();
        if count.flushes > *seen.get_or_insert(count.flushes) {
            return Poll::Ready(());
        }
        count.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    fn tell(&self) {
        let mut count = self.count();
        count.flushes += 1;
        if let Some(waiting) = count.waiting.take() {
            waiting.wake();
        }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that tells of its flushes.
#[derive(Debug)]
pub(super) struct Flushing<S> {
    stream: S,
    flushed: Flushed,
}

impl<S> Flushing<S> {
    pub(super) fn new(stream: S, flushed: Flushed) -> Self {
        Self { stream, flushed }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Flushing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Flushing<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.flushed.tell();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
