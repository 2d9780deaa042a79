//! Response bodies: bytes from one shared buffer, paced or cut short where a fault says so.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::flush::Flushed;
use super::pace::Pace;

/// A mebibyte that does not compress, the same on every machine. Handing it out costs no copy.
pub(super) static PATTERN: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let words = (0..PATTERN_LEN / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect::<Vec<u8>>().into()
});

/// Length of [`PATTERN`].
const PATTERN_LEN: usize = 1 << 20;

/// Largest frame: few wake-ups at full speed, and still several frames in a mebibyte.
const FRAME: u64 = 256 * 1024;

/// `length` bytes of a source that is repeated as needed.
#[derive(Debug)]
pub(super) struct Body {
    source: Bytes,
    sent: u64,
    length: u64,
    /// Where a fault ends it, before `length`.
    cut: Option<Cut>,
    pace: Option<Pace>,
}

/// The end of a body that is shorter than promised.
#[derive(Debug)]
struct Cut {
    at: u64,
    /// The connection's flushes, and their number when the last byte had been handed over. hyper
    /// drops what it still holds when a body ends too early, so the end has to wait for a flush.
    flushed: Option<(Flushed, Option<u64>)>,
}

impl Body {
    /// A body that is `source` repeated up to `length` bytes.
    pub(super) fn new(source: Bytes, length: u64) -> Self {
        let length = if source.is_empty() { 0 } else { length };
        Self { source, sent: 0, length, cut: None, pace: None }
    }

    /// Lets it through at `bits_per_second`.
    pub(super) fn paced(self, bits_per_second: Option<u64>) -> Self {
        Self { pace: bits_per_second.map(Pace::new), ..self }
    }

    /// Ends it after `at` bytes, if it is longer. `flushed` is the connection's, on HTTP/1.1.
    pub(super) fn cut(self, at: Option<u64>, flushed: Option<&Flushed>) -> Self {
        let cut = at.filter(|at| *at < self.length);
        Self {
            cut: cut.map(|at| Cut { at, flushed: flushed.map(|flushed| (flushed.clone(), None)) }),
            ..self
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        let end = this.cut.as_ref().map_or(this.length, |cut| cut.at);
        if this.sent == end {
            if let Some(Cut { flushed: Some((flushed, seen)), .. }) = &mut this.cut {
                ready!(flushed.poll_next(cx, seen));
            }
            return Poll::Ready(None);
        }
        let source_len = this.source.len() as u64;
        let offset = this.sent % source_len;
        let piece = this.pace.as_ref().map_or(FRAME, Pace::piece);
        let len = piece.min(FRAME).min(end - this.sent).min(source_len - offset);
        if let Some(pace) = &mut this.pace {
            ready!(pace.poll_take(cx, len));
        }
        this.sent += len;
        // Both are at most the length of a buffer in memory.
        let data = this.source.slice(offset as usize..(offset + len) as usize);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent == self.length
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length - self.sent)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_body_repeats_its_source() {
        let body = Body::new(Bytes::from_static(b"abc"), 8).collect().await.unwrap();
        assert_eq!(body.to_bytes(), "abcabcab");
    }

    #[tokio::test]
    async fn frames_share_the_pattern() {
        let mut body = Body::new(PATTERN.clone(), 3 << 20);
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first.as_ptr(), PATTERN.as_ptr());
        assert_eq!(body.collect().await.unwrap().to_bytes().len() + first.len(), 3 << 20);
    }

    #[tokio::test]
    async fn a_cut_body_still_promises_its_length() {
        let body = Body::new(PATTERN.clone(), 1000).cut(Some(10), None);
        assert_eq!(hyper::body::Body::size_hint(&body).exact(), Some(1000));
        assert_eq!(body.collect().await.unwrap().to_bytes(), PATTERN[..10]);
    }

    #[test]
    fn a_cut_at_or_past_the_end_is_none() {
        for at in [1000, 1001] {
            assert!(Body::new(PATTERN.clone(), 1000).cut(Some(at), None).cut.is_none());
        }
    }
}
