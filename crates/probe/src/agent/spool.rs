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
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::gap::{Gap, Losses};
use super::queue::{Batch, Line};
use files::KeptGap;
use model::wire::WireEvent;
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

/// What a gap adds to a line at most, with the line's checksum.
const WITH_GAP: usize = 130;

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
    losses: Losses,
    /// Numbers up to where the last peek ended of which nothing could be read.
    missing: Vec<Range<u64>>,
    /// The number of the event that carries what the note of losses holds, where there is one.
    carrier: Option<u64>,
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
        Segment::part(&mut segments);
        let kept = files::lost(dir);
        let noted = files::settled(dir).unwrap_or(0).max(kept.map_or(0, |kept| kept.settled));
        // A lost note has events sent again, and none of those before them taken for lost.
        let settled = noted.max(segments.front().map_or(0, |oldest| oldest.first));
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
            losses: Losses::default(),
            missing: Vec::new(),
            carrier: kept.map(|kept| kept.carrier),
        };
        if let Some(kept) = kept
            && !spool.is_told(&kept)
        {
            spool.losses = Losses::left(kept.gap.into());
            spool.keep_lost();
        }
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

    /// How many events were lost since it was opened.
    pub(super) fn lost(&self) -> u64 {
        self.losses.lost()
    }

    /// Adds an event. It outlives the process at once, and a loss of power some milliseconds later.
    pub(super) fn push(&mut self, event: &WireEvent) {
        let Ok(mut line) = Line::of(event, Gap::default()) else {
            self.losses.hand_back(Gap::one(Some(event.ts_ms)));
            return self.keep_lost();
        };
        // What has to go for it goes first, so that it can carry that.
        self.make_room((line.0.len() + WITH_GAP) as u64);
        if self.losses.is_pending() && self.carrier != Some(self.next) {
            // The note names another event, which did not carry it.
            self.keep_lost();
        }
        let gap = self.losses.take();
        if !gap.is_empty()
            && let Ok(carrying) = Line::of(event, gap)
        {
            line = carrying;
        }
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
        if !self.losses.untold().is_empty() {
            // The event tells of all but what is on its way: that waits for the next one.
            self.keep_lost();
        }
        if self.unwritten.len() > UNWRITTEN {
            // Those before it have their numbers, and may be on their way.
            self.next -= 1;
            if let Some(lost) = self.unwritten.pop_back() {
                self.losses.lose(self.next, &lost);
            }
            self.keep_lost();
        }
    }

    /// The oldest events that are not settled. What an earlier peek gave did not arrive.
    pub(super) fn peek(&mut self, count: usize) -> Batch {
        let mut expected = self.settled;
        self.missing.clear();
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
                    for (number, line) in lines {
                        self.missing.extend((expected < number).then_some(expected..number));
                        expected = number + 1;
                        batch.lines.push(line);
                    }
                    batch.upto = mark.number;
                    self.peeked = Some(mark);
                }
                Err(error) => {
                    tracing::warn!("cannot read {}: {error}", self.path(segment.first).display());
                    batch.upto = segment.end();
                }
            }
        }
        self.missing.extend((expected < batch.upto).then_some(expected..batch.upto));
        if batch.upto >= written {
            let rest = self.unwritten.iter().take(count - batch.lines.len()).cloned();
            let before = batch.lines.len();
            batch.lines.extend(rest);
            batch.upto += (batch.lines.len() - before) as u64;
        }
        self.losses.sending(batch.upto);
        if batch.lines.is_empty() && batch.upto > self.settled {
            // Nothing of it can be read: it is not waited for.
            self.settle(&batch, Gap::default());
        }
        batch
    }

    /// The batch that was peeked last is done with. What those of it carried that were refused is
    /// not told yet.
    pub(super) fn settle(&mut self, batch: &Batch, untold: Gap) {
        let (before, handed_back) = (self.losses.untold(), !untold.is_empty());
        let missing = std::mem::take(&mut self.missing).into_iter();
        // What was lost since it was peeked is counted already.
        let missing =
            missing.map(|numbers| numbers.end.saturating_sub(numbers.start.max(self.settled)));
        self.losses.settled();
        self.losses.hand_back(untold);
        self.losses.lose_unread(missing.sum());
        let upto = batch.upto;
        let newer = upto > self.settled;
        if newer {
            self.done(upto);
        }
        // The note holds both, so that neither comes without the other. One that says the same as the
        // note before it has another carrier all the same.
        if self.losses.untold() != before || handed_back {
            self.keep_lost();
        } else if before.is_empty() && self.carrier.is_some_and(|carrier| carrier < self.settled) {
            self.carrier = None;
            self.keep_settled();
            files::forget_lost(&self.dir);
        }
        if newer {
            self.keep_settled();
            self.forget_settled();
        }
    }

    /// Everything before this number is.
    fn done(&mut self, upto: u64) {
        let written = self.next - self.unwritten.len() as u64;
        let of_memory = usize::try_from(upto.saturating_sub(written)).unwrap_or(usize::MAX);
        self.unwritten.drain(..of_memory.min(self.unwritten.len()));
        self.settled = upto.min(self.next);
        self.mark = self.peeked.filter(|mark| mark.number == upto);
    }

    fn keep_settled(&self) {
        if let Err(error) = files::keep_settled(&self.dir, self.settled) {
            tracing::debug!("cannot note what is settled: {error}");
        }
    }

    /// Notes what is lost and not told, to be carried by the next event, in this process or a later.
    fn keep_lost(&mut self) {
        let Some(gap) = self.losses.untold().to_wire() else {
            if self.carrier.take().is_some() {
                files::forget_lost(&self.dir);
            }
            return;
        };
        let kept = KeptGap { gap, carrier: self.next, settled: self.settled };
        self.carrier = Some(self.next);
        if let Err(error) = files::keep_lost(&self.dir, &kept) {
            tracing::debug!("cannot note what is lost: {error}");
        }
    }

    /// Whether the event that was to carry this is there, or was.
    fn is_told(&self, kept: &KeptGap) -> bool {
        let carrier = kept.carrier;
        if carrier < self.settled {
            return true;
        }
        let holds = |segment: &&Segment| (segment.first..segment.end()).contains(&carrier);
        let Some(segment) = self.segments.iter().find(holds) else { return false };
        let mut room = usize::MAX;
        let read = self.read(segment, carrier, 1, &mut room);
        read.is_ok_and(|(_, lines)| {
            lines
                .first()
                .is_some_and(|(number, line)| *number == carrier && line.told().gap.is_some())
        })
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
        let (from, end) = (self.settled.max(oldest.first), oldest.end());
        if from < end {
            let mut room = usize::MAX;
            let lost = self.read(oldest, from, usize::MAX, &mut room);
            let lost = lost.map(|(_, lines)| lines).unwrap_or_default();
            lost.iter().for_each(|(number, line)| self.losses.lose(*number, line));
            self.losses.lose_unread((end - from).saturating_sub(lost.len() as u64));
        }
        self.settled = self.settled.max(end);
        // First the note, then the file: a crash between them loses nothing twice.
        if from < end {
            self.keep_lost();
            self.keep_settled();
        }
        if let Some(oldest) = self.segments.pop_front() {
            files::remove(&self.path(oldest.first));
        }
    }

    /// Reads events of a segment from `number` on, with their numbers. Lines that are not whole are
    /// passed over.
    fn read(
        &self,
        segment: &Segment,
        number: u64,
        count: usize,
        room: &mut usize,
    ) -> io::Result<(Mark, Vec<(u64, Line)>)> {
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
                        lines.push((mark.number, line));
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

    /// Numbers belong to the newer of two files: where a write failed, its line was written again
    /// into the next one, and what stands half in the older is nothing.
    fn part(segments: &mut VecDeque<Self>) {
        let firsts: Vec<u64> = segments.iter().skip(1).map(|segment| segment.first).collect();
        for (segment, next) in segments.iter_mut().zip(firsts) {
            segment.lines = segment.lines.min(next.saturating_sub(segment.first));
        }
    }

    /// The number after its last event.
    fn end(&self) -> u64 {
        self.first + self.lines
    }
}

#[cfg(test)]
mod tests;
