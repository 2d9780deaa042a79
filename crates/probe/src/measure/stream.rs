//! A thin layer above TCP, or above TLS, that tells request and response from what else passes, and
//! notes when they did.
//!
//! The instants are those of the socket below: around the call that handed bytes to the kernel, and
//! when the kernel took bytes from the network. So what lies between two of them is the network and
//! the other side.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::Log;

/// When request and response passed. Shared between the stream and whoever reads the clock.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    socket: Log,
    noted: Arc<Mutex<Noted>>,
}

#[derive(Debug, Default)]
struct Noted {
    /// The request's first byte, about to be handed over.
    began: Option<Instant>,
    /// Its last byte, handed over.
    sent: Option<Instant>,
    /// The same, about to be.
    sending: Option<Instant>,
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
    /// For a stream over this socket that speaks HTTP/1.
    pub(crate) fn of_http1(socket: Log) -> Self {
        Self { socket, noted: Arc::default() }
    }

    /// For one that speaks HTTP/2: the request and the response each begin with their first HEADERS
    /// frame, not with what the connection itself sends (SETTINGS and the like).
    pub(crate) fn of_http2(socket: Log) -> Self {
        let marks = Self::of_http1(socket);
        marks.lock().frames =
            Some(Frames { written: FrameScan::after(PREFACE), read: FrameScan::after(0) });
        marks
    }

    /// Whether any byte of a response has come.
    pub(crate) fn has_answer(&self) -> bool {
        self.lock().answered.is_some()
    }

    /// When the first byte of the response came.
    pub(crate) fn answered(&self) -> Option<Instant> {
        self.lock().answered
    }

    /// The request's first byte to its last, into the kernel.
    pub(crate) fn request(&self) -> Option<Duration> {
        let noted = self.lock();
        Some(noted.sent?.saturating_duration_since(noted.began?))
    }

    /// Request handed over to first byte of the response.
    pub(crate) fn time_to_first_byte(&self) -> Option<Duration> {
        let noted = self.lock();
        Some(noted.answered?.saturating_duration_since(noted.sent?))
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes were handed over by a call of this span.
    fn wrote(&self, bytes: &[u8], (before, after): (Instant, Instant)) {
        let mut guard = self.lock();
        let noted = &mut *guard;
        let request = match &mut noted.frames {
            Some(frames) => frames.written.sees_headers(bytes) && noted.sent.is_none(),
            // The last write before the answer is the one that completed the request.
            None => noted.answered.is_none(),
        };
        if request {
            noted.began.get_or_insert(before);
            noted.sending = Some(before);
            noted.sent = Some(after);
        }
    }

    /// Bytes came at this instant. True where they began the response.
    fn read(&self, bytes: &[u8], at: Instant) -> bool {
        let mut noted = self.lock();
        if noted.answered.is_some() {
            return false;
        }
        let response = match &mut noted.frames {
            Some(frames) => frames.read.sees_headers(bytes),
            None => true,
        };
        if response {
            // Where the answer came before the call returned, this program was held up in it, and its
            // start says more of when the request went out.
            if noted.sent.is_some_and(|sent| at < sent) {
                noted.sent = noted.sending;
            }
            // A server may answer before it has the whole request; no time is negative.
            noted.answered = noted.sent.max(Some(at));
        }
        response
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
            let at = self.marks.socket.last_arrival().unwrap_or_else(Instant::now);
            if self.marks.read(bytes, at) {
                self.marks.socket.stop();
            }
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
        let before = Instant::now();
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = polled {
            // What TLS has not handed on yet is handed over with the next call.
            let below = self.marks.socket.last_write().filter(|(start, _)| *start >= before);
            self.marks.wrote(&buf[..written], below.unwrap_or_else(|| (before, Instant::now())));
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
        let now = Instant::now();
        let marks = Marks::of_http2(Log::new(now));
        let ms = |n| now + Duration::from_millis(n);
        let span = |n| (ms(n), ms(n + 1));
        marks.wrote(&[b'P'; PREFACE], span(0));
        marks.wrote(&frame(4, 6), span(10));
        assert!(!marks.read(&frame(4, 6), ms(20)));
        assert!(!marks.has_answer());
        marks.wrote(&frame(1, 20), span(30));
        marks.wrote(&frame(4, 0), span(40));
        assert!(!marks.read(&frame(4, 0), ms(50)));
        assert!(marks.read(&frame(1, 9), ms(100)));
        assert_eq!(marks.request(), Some(Duration::from_millis(1)));
        assert_eq!(marks.time_to_first_byte(), Some(Duration::from_millis(69)));
    }

    #[test]
    fn an_answer_before_the_requests_end_takes_no_time() {
        let now = Instant::now();
        let marks = Marks::of_http1(Log::new(now));
        let ms = |n| now + Duration::from_millis(n);
        marks.wrote(b"POST / HTTP/1.1", (ms(1), ms(2)));
        marks.wrote(b"body", (ms(5), ms(9)));
        assert!(marks.read(b"HTTP/1.1 413", ms(4)));
        assert_eq!(marks.request(), Some(Duration::from_millis(4)));
        assert_eq!(marks.time_to_first_byte(), Some(Duration::ZERO));
        assert_eq!(marks.answered(), Some(ms(5)));
    }

    #[test]
    fn an_answer_within_the_call_is_timed_from_its_start() {
        let now = Instant::now();
        let marks = Marks::of_http1(Log::new(now));
        let us = |n| now + Duration::from_micros(n);
        marks.wrote(b"GET / HTTP/1.1", (us(10), us(90)));
        assert!(marks.read(b"HTTP/1.1 200", us(60)));
        assert_eq!(marks.request(), Some(Duration::ZERO));
        assert_eq!(marks.time_to_first_byte(), Some(Duration::from_micros(50)));
    }
}
