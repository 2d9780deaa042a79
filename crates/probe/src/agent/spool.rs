//! The spool: events on disk until an ingest has them, through kill -9 and power loss.
//!
//! A folder holds segments, text files of one event a line with its checksum, named by the number
//! of their first event. They are only ever appended to, and removed when all of it is settled, or
//! for want of room, the oldest first. Every start begins a new one, so that what a crash left half
//! written stays where it is and costs its line alone. How far they are settled stands in a small
//! file, which may be lost: what is sent twice is counted once.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::queue::{Batch, Gap, Line};
use sync::Syncer;

mod files;
mod line;
mod lock;
mod sync;

use lock::Lock;
pub use lock::SpoolError;

/// How much a spool may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes on disk.
    pub bytes: u64,
    /// How old an event may grow: an ingest refuses older ones.
    pub age: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: 64 << 20, age: Duration::from_secs(7 * 24 * 3_600) }
    }
}

/// A spool is that many segments when it is full, so that little is lost at a time.
const SEGMENTS: u64 = 32;

/// Bytes of a batch, so that it stays below what an ingest takes.
const BATCH_BYTES: usize = 900 << 10;

/// Lines that wait in memory while the disk takes none.
const UNWRITTEN: usize = 1_000;

/// Events on disk, and one process that owns them.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    bounds: Bounds,
    _lock: Lock,
    /// Oldest first; the last is written to.
    segments: VecDeque<Segment>,
    writing: Option<Arc<File>>,
    syncer: Syncer,
    /// Everything before this number is settled.
    settled: u64,
    /// Where in its segment the first event that is not settled begins, where that is known.
    mark: Option<Mark>,
    /// Where the last peek ended.
    peeked: Option<Mark>,
    /// The number of the next event.
    next: u64,
    /// Came while the disk took nothing; the last numbers are theirs.
    unwritten: VecDeque<Line>,
    gap: Gap,
}

/// One file.
#[derive(Debug)]
struct Segment {
    first: u64,
    lines: u64,
    bytes: u64,
    written: SystemTime,
}

/// A place in the spool.
#[derive(Clone, Copy, Debug)]
struct Mark {
    number: u64,
    segment: u64,
    offset: u64,
}

impl Spool {
    /// Opens the spool in a folder, or makes one, for this process alone.
    ///
    /// # Errors
    /// Another process has it, or the folder can't be used. What can't be read in it is no error.
    pub(super) fn open(dir: &Path, bounds: Bounds) -> Result<Self, SpoolError> {
        let lock = Lock::take(dir)?;
        let reading = |source| SpoolError::Io { path: dir.to_owned(), source };
        let mut segments = VecDeque::new();
        for (first, path) in files::segments(dir).map_err(reading)? {
            match Segment::scan(first, &path) {
                Ok(segment) => segments.push_back(segment),
                Err(error) => tracing::warn!("passing over {}: {error}", path.display()),
            }
        }
        let settled = files::settled(dir).unwrap_or(0);
        // No number is given twice, also where a loss of power took events that were settled.
        let next = segments.iter().map(Segment::end).max().unwrap_or(0).max(settled);
        let syncer = Syncer::start();
        let mut spool = Self {
            dir: dir.to_owned(),
            bounds,
            _lock: lock,
            segments,
            writing: None,
            syncer,
            settled,
            mark: None,
            peeked: None,
            next,
            unwritten: VecDeque::new(),
            gap: Gap::default(),
        };
        spool.forget_settled();
        spool.make_room(0);
        if spool.len() > 0 {
            tracing::info!(events = spool.len(), "found events to ship in {}", dir.display());
        }
        Ok(spool)
    }

    pub(super) fn len(&self) -> u64 {
        // Between two segments numbers may be missing.
        let waiting =
            |segment: &Segment| segment.end().saturating_sub(segment.first.max(self.settled));
        self.segments.iter().map(waiting).sum::<u64>() + self.unwritten.len() as u64
    }

    pub(super) fn gap(&self) -> Gap {
        self.gap
    }

    /// Adds an event. It outlives the process at once, and a loss of power some milliseconds later.
    pub(super) fn push(&mut self, line: Line) {
        self.next += 1;
        self.unwritten.push_back(line);
        while let Some(line) = self.unwritten.front() {
            let text = line::sealed(line);
            if let Err(error) = self.write(text.as_bytes()) {
                tracing::warn!("cannot write to {}: {error}", self.dir.display());
                // What may stand there half is left behind.
                self.writing = None;
                break;
            }
            self.unwritten.pop_front();
        }
        if self.unwritten.len() > UNWRITTEN {
            // Those before it have their numbers, and may be on their way.
            let lost = self.unwritten.pop_back();
            self.next -= 1;
            self.gap.add(lost.and_then(|line| line.ts_ms()));
        }
    }

    /// The oldest events that are not settled.
    pub(super) fn peek(&mut self, count: usize) -> Batch {
        let mut batch = Batch { lines: Vec::new(), upto: self.settled };
        let mut room = BATCH_BYTES;
        self.peeked = None;
        let written = self.next - self.unwritten.len() as u64;
        while batch.upto < written && batch.lines.len() < count && room > 0 {
            let Some(at) = self.segments.iter().position(|segment| batch.upto < segment.end())
            else {
                // Nothing is there to be read.
                batch.upto = written;
                break;
            };
            let segment = &self.segments[at];
            // Between two segments numbers may be missing: a file was lost.
            batch.upto = batch.upto.max(segment.first);
            let read = self.read(segment, batch.upto, count - batch.lines.len(), &mut room);
            match read {
                Ok((mark, lines)) => {
                    batch.lines.extend(lines);
                    batch.upto = mark.number;
                    self.peeked = Some(mark);
                }
                Err(error) => {
                    tracing::warn!("cannot read {}: {error}", self.path(segment.first).display());
                    batch.upto = segment.end();
                }
            }
        }
        if batch.upto >= written {
            let rest = self.unwritten.iter().take(count - batch.lines.len()).cloned();
            let before = batch.lines.len();
            batch.lines.extend(rest);
            batch.upto += (batch.lines.len() - before) as u64;
        }
        if batch.lines.is_empty() && batch.upto > self.settled {
            // Nothing of it can be read: it is not waited for.
            self.settle(batch.upto);
        }
        batch
    }

    /// Everything before this number is done with.
    pub(super) fn settle(&mut self, upto: u64) {
        if upto <= self.settled {
            return;
        }
        let written = self.next - self.unwritten.len() as u64;
        let of_memory = usize::try_from(upto.saturating_sub(written)).unwrap_or(usize::MAX);
        self.unwritten.drain(..of_memory.min(self.unwritten.len()));
        self.settled = upto.min(self.next);
        self.mark = self.peeked.filter(|mark| mark.number == upto);
        if let Err(error) = files::keep_settled(&self.dir, self.settled) {
            tracing::debug!("cannot note what is settled: {error}");
        }
        self.forget_settled();
    }

    /// Nothing more is written; what is settled leaves no file.
    pub(super) fn close(&mut self) {
        self.writing = None;
        self.forget_settled();
    }

    /// Removes segments of which nothing is left to ship; the one that is written to stays.
    fn forget_settled(&mut self) {
        while let Some(oldest) = self.segments.front()
            && oldest.end() <= self.settled
            && (self.segments.len() > 1 || self.writing.is_none())
        {
            let path = self.path(oldest.first);
            files::remove(&path);
            self.segments.pop_front();
        }
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.make_room(text.len() as u64);
        let full = self.bounds.bytes / SEGMENTS;
        if self.segments.back().is_some_and(|segment| segment.bytes >= full) {
            self.writing = None;
        }
        let file = match &self.writing {
            Some(file) => Arc::clone(file),
            None => self.begin()?,
        };
        (&*file).write_all(text)?;
        let segment = self.segments.back_mut().expect("one was begun");
        segment.lines += 1;
        segment.bytes += text.len() as u64;
        segment.written = SystemTime::now();
        self.syncer.sync(file);
        Ok(())
    }

    /// Begins a segment.
    fn begin(&mut self) -> io::Result<Arc<File>> {
        let first = self.next - self.unwritten.len() as u64;
        // One that a write failed in may have taken this number.
        let file = Arc::new(files::create(&self.path(first))?);
        self.segments.retain(|segment| segment.first != first);
        let segment = Segment { first, lines: 0, bytes: 0, written: SystemTime::now() };
        self.segments.push_back(segment);
        self.writing = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Loses the oldest segments that are too many, or too old.
    fn make_room(&mut self, bytes: u64) {
        let now = SystemTime::now();
        while let Some(oldest) = self.segments.front() {
            let held: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
            let age = now.duration_since(oldest.written).unwrap_or_default();
            if held + bytes <= self.bounds.bytes && age <= self.bounds.age {
                return;
            }
            if self.segments.len() == 1 {
                self.writing = None;
            }
            self.lose_oldest();
        }
    }

    fn lose_oldest(&mut self) {
        let Some(oldest) = self.segments.front() else { return };
        let mut room = usize::MAX;
        let from = self.settled.max(oldest.first);
        if from < oldest.end() {
            let lost = self.read(oldest, from, usize::MAX, &mut room);
            let times: Vec<_> =
                lost.map(|(_, lines)| lines.iter().map(Line::ts_ms).collect()).unwrap_or_default();
            times.into_iter().for_each(|ts_ms| self.gap.add(ts_ms));
        }
        let end = self.segments.front().map_or(self.settled, Segment::end);
        let path = self.segments.pop_front().map(|oldest| self.path(oldest.first));
        path.as_deref().map(files::remove);
        self.settled = self.settled.max(end);
    }

    /// Reads events of a segment from `number` on. Lines that are not whole are passed over.
    fn read(
        &self,
        segment: &Segment,
        number: u64,
        count: usize,
        room: &mut usize,
    ) -> io::Result<(Mark, Vec<Line>)> {
        let mut reader = BufReader::new(files::open(&self.path(segment.first))?);
        let mut mark = Mark { number: segment.first, segment: segment.first, offset: 0 };
        if let Some(known) = self.mark
            && (known.segment, known.number) == (segment.first, number)
        {
            reader.seek(SeekFrom::Start(known.offset))?;
            mark = known;
        }
        let (mut lines, mut bytes) = (Vec::new(), Vec::new());
        while mark.number < segment.end() && lines.len() < count && *room > 0 {
            bytes.clear();
            let read = reader.read_until(b'\n', &mut bytes)?;
            if read == 0 {
                // Shorter than it was: cut off by somebody.
                mark.number = segment.end();
                break;
            }
            if mark.number >= number {
                match line::open(&bytes) {
                    Some(line) => {
                        *room = room.saturating_sub(line.0.len());
                        lines.push(line);
                    }
                    None => tracing::warn!(
                        "a line of {} is damaged",
                        self.path(segment.first).display()
                    ),
                }
            }
            mark.number += 1;
            mark.offset += read as u64;
        }
        Ok((mark, lines))
    }

    fn path(&self, first: u64) -> PathBuf {
        files::path(&self.dir, first)
    }
}

impl Segment {
    /// Counts the lines of a file, also of one that ends in half a line.
    fn scan(first: u64, path: &Path) -> io::Result<Self> {
        let file = files::open(path)?;
        let written = file.metadata()?.modified()?;
        let mut reader = BufReader::new(file);
        let (mut lines, mut bytes, mut line) = (0, 0, Vec::new());
        loop {
            line.clear();
            match reader.read_until(b'\n', &mut line)? {
                0 => return Ok(Self { first, lines, bytes, written }),
                read => {
                    lines += 1;
                    bytes += read as u64;
                }
            }
        }
    }

    /// The number after its last event.
    fn end(&self) -> u64 {
        self.first + self.lines
    }
}

#[cfg(test)]
mod tests;
