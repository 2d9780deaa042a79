//! A thin layer around a stream that notes when bytes pass: under TLS for the handshake, above
//! it (or above TCP, for http) for request and response.
//!
//! Instants are taken just before bytes are handed to the kernel and just after they were taken
//! from it, so what lies between two of them is the network and the other side.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// When bytes passed. Shared between the stream and whoever reads the clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    first_write: Option<Instant>,
    sent: Option<Instant>,
    answered: Option<Instant>,
    /// Present for HTTP/2, where other frames come before request and response.
    frames: Option<Frames>,
}

#[derive(Debug)]
struct Frames {
    written: FrameScan,
    read: FrameScan,
}

/// The stream with its notes.
#[derive(Debug)]
pub(crate) struct Marked<S> {
    inner: S,
    marks: Marks,
}

impl Marks {
    /// For a stream that speaks HTTP/2: the request and the response each begin with their
    /// first HEADERS frame, not with what the connection itself sends (SETTINGS and the like).
    pub(crate) fn of_http2() -> Self {
        let marks = Self::default();
        marks.lock().frames =
            Some(Frames { written: FrameScan::after(PREFACE), read: FrameScan::after(0) });
        marks
    }

    /// When the first bytes were handed over: on a stream that TLS writes to, the ClientHello.
    pub(crate) fn first_write(&self) -> Option<Instant> {
        self.lock().first_write
    }

    /// Whether any byte of a response has come.
    pub(crate) fn has_answer(&self) -> bool {
        self.lock().answered.is_some()
    }

    /// When the first byte of the response came.
    pub(crate) fn answered(&self) -> Option<Instant> {
        self.lock().answered
    }

    /// Request handed over to first byte of the response.
    pub(crate) fn time_to_first_byte(&self) -> Option<Duration> {
        let noted = self.lock();
        Some(noted.answered?.saturating_duration_since(noted.sent?))
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrote(&self, bytes: &[u8], at: Instant) {
        let mut guard = self.lock();
        let noted = &mut *guard;
        noted.first_write.get_or_insert(at);
        let request = match &mut noted.frames {
            Some(frames) => frames.written.sees_headers(bytes) && noted.sent.is_none(),
            // The last write before the answer is the one that completed the request.
            None => noted.answered.is_none(),
        };
        if request {
            noted.sent = Some(at);
        }
    }

    fn read(&self, bytes: &[u8], at: Instant) {
        let mut noted = self.lock();
        if noted.answered.is_some() {
            return;
        }
        let response = match &mut noted.frames {
            Some(frames) => frames.read.sees_headers(bytes),
            None => true,
        };
        if response {
            noted.answered = Some(at);
        }
    }
}

impl<S> Marked<S> {
    pub(crate) fn new(inner: S, marks: Marks) -> Self {
        Self { inner, marks }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Marked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Some(bytes) = buf.filled().get(before..)
            && !bytes.is_empty()
        {
            self.marks.read(bytes, Instant::now());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Marked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let at = Instant::now();
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = polled {
            self.marks.wrote(&buf[..written], at);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Length of what an HTTP/2 client says before its first frame.
const PREFACE: usize = 24;
/// Length of a frame's header: 24 bits of length, type, flags, stream.
const FRAME_HEADER: usize = 9;
/// The type that opens a request or a response.
const HEADERS: u8 = 1;

/// Walks HTTP/2 frames, however they are cut up.
#[derive(Debug)]
struct FrameScan {
    skip: usize,
    header: [u8; FRAME_HEADER],
    have: usize,
}

impl FrameScan {
    fn after(skip: usize) -> Self {
        Self { skip, header: [0; FRAME_HEADER], have: 0 }
    }

    /// Whether the header of a HEADERS frame is completed by these bytes.
    fn sees_headers(&mut self, mut bytes: &[u8]) -> bool {
        let mut seen = false;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (FRAME_HEADER - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == FRAME_HEADER {
                let [a, b, c, kind, ..] = self.header;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.have = 0;
                seen |= kind == HEADERS;
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0, 0, u8::try_from(length).unwrap(), kind, 0, 0, 0, 0, 1];
        // A body full of ones would be taken for headers by a scan that lost its place.
        frame.extend(vec![1; length]);
        frame
    }

    #[test]
    fn headers_are_found_however_the_bytes_are_cut() {
        let mut stream = vec![b'P'; PREFACE];
        stream.extend(frame(4, 18));
        stream.extend(frame(8, 4));
        let headers_end = stream.len() + FRAME_HEADER;
        stream.extend(frame(1, 30));
        stream.extend(frame(0, 100));
        for piece in 1..stream.len() {
            let mut scan = FrameScan::after(PREFACE);
            let mut at = 0;
            for bytes in stream.chunks(piece) {
                let seen = scan.sees_headers(bytes);
                let holds = at < headers_end && headers_end <= at + bytes.len();
                assert_eq!(seen, holds, "pieces of {piece}, at {at}");
                at += bytes.len();
            }
        }
    }

    #[test]
    fn http2_settings_are_neither_request_nor_response() {
        let marks = Marks::of_http2();
        let now = Instant::now();
        let ms = |n| now + Duration::from_millis(n);
        marks.wrote(&[b'P'; PREFACE], ms(0));
        marks.wrote(&frame(4, 6), ms(1));
        marks.read(&frame(4, 6), ms(2));
        assert!(!marks.has_answer());
        marks.wrote(&frame(1, 20), ms(3));
        marks.wrote(&frame(4, 0), ms(4));
        marks.read(&frame(4, 0), ms(5));
        marks.read(&frame(1, 9), ms(10));
        assert_eq!(marks.time_to_first_byte(), Some(Duration::from_millis(7)));
        assert_eq!(marks.first_write(), Some(ms(0)));
    }
}
