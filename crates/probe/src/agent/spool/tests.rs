//! The spool against a disk that keeps, loses and damages what it was given.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::agent::testing;

fn event(n: u64) -> WireEvent {
    testing::event(i64::try_from(n).unwrap())
}

fn line(n: u64) -> Line {
    Line::of(&event(n), Gap::default()).unwrap()
}

/// Settles what is left of a batch that was peeked last.
fn settle(spool: &mut Spool, count: usize) {
    let batch = spool.peek(count);
    spool.settle(&batch, Gap::default());
}

fn gap_of(line: &Line) -> Gap {
    line.told().gap.map(Gap::from).unwrap_or_default()
}

fn open(dir: &Path) -> Spool {
    Spool::open(dir, Bounds::default()).unwrap()
}

/// Numbers of all that waits, in order.
fn waiting(spool: &mut Spool) -> Vec<i64> {
    let batch = spool.peek(usize::MAX);
    batch.lines.iter().map(|line| line.told().ts_ms.unwrap()).collect()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    files::segments(dir).unwrap().into_iter().map(|(_, path)| path).collect()
}

#[test]
fn what_is_not_settled_is_there_after_any_end() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("spool");
    let mut spool = open(&dir);
    (0..10).for_each(|n| spool.push(&event(n)));
    let batch = spool.peek(4);
    assert_eq!((batch.lines.len(), batch.upto, spool.len()), (4, 4, 10));
    spool.settle(&batch, Gap::default());
    assert_eq!(spool.peek(3).lines, [4, 5, 6].map(line));
    drop(spool);
    for start in 0..3 {
        let mut spool = open(&dir);
        spool.push(&event(10 + start));
        assert_eq!(
            waiting(&mut spool),
            (4..=10 + i64::try_from(start).unwrap()).collect::<Vec<_>>()
        );
    }
    let mut spool = open(&dir);
    settle(&mut spool, usize::MAX);
    drop(spool);
    assert_eq!(open(&dir).len(), 0);
    assert_eq!(segments(&dir).len(), 0, "nothing is left of what is settled");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("settled"))), (0o700, 0o600));
}

#[test]
fn one_process_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let told = Spool::open(dir.path(), Bounds::default()).unwrap_err().to_string();
    assert!(told.contains(&format!("(process {})", std::process::id())), "{told}");
    drop(first);
    open(dir.path());
}

#[test]
fn damage_costs_the_lines_it_is_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    (0..5).for_each(|n| spool.push(&event(n)));
    drop(spool);
    let [path] = &segments(dir.path())[..] else { panic!() };
    let mut bytes = fs::read(path).unwrap();
    let second = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 20;
    bytes[second] ^= 4;
    // And a line that was not written to its end.
    bytes.truncate(bytes.len() - 5);
    fs::write(path, bytes).unwrap();
    let mut spool = open(dir.path());
    spool.push(&event(5));
    assert_eq!(waiting(&mut spool), [0, 2, 3, 5]);
    settle(&mut spool, usize::MAX);
    assert_eq!((spool.len(), spool.lost()), (0, 2));
    // What could not be read is told of by the next event.
    spool.push(&event(6));
    assert_eq!(gap_of(&spool.peek(1).lines[0]), Gap::unknown(2));
}

#[test]
fn what_is_no_segment_of_ours_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    fs::write(&other, "secret\n").unwrap();
    fs::create_dir(dir.path().join("00000000000000000003.spool")).unwrap();
    symlink(&other, dir.path().join("00000000000000000007.spool")).unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    fs::write(dir.path().join("settled"), "soon").unwrap();
    let mut spool = open(dir.path());
    assert_eq!(spool.len(), 0);
    (0..3).for_each(|n| spool.push(&event(n)));
    assert_eq!(waiting(&mut spool), [0, 1, 2]);
    assert_eq!(fs::read_to_string(&other).unwrap(), "secret\n");
}

#[test]
fn only_damage_is_passed_over_and_a_lost_note_sends_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    (0..3).for_each(|n| spool.push(&event(n)));
    settle(&mut spool, 2);
    drop(spool);
    fs::remove_file(dir.path().join("settled")).unwrap();
    assert_eq!(waiting(&mut open(dir.path())), [0, 1, 2]);
    let [path, ..] = &segments(dir.path())[..] else { panic!() };
    fs::write(path, [0; 3_000]).unwrap();
    let mut spool = open(dir.path());
    assert_eq!(waiting(&mut spool), [0; 0]);
    assert_eq!(spool.len(), 0, "it waits for nothing that can't be read");
    spool.push(&event(9));
    assert_eq!(waiting(&mut spool), [9]);
}

#[test]
fn a_full_spool_loses_the_oldest_and_says_what() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds { bytes: 32 << 10, ..Bounds::default() };
    let mut spool = Spool::open(dir.path(), bounds).unwrap();
    let on_disk = |dir: &Path| {
        segments(dir).iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>()
    };
    for n in 0..2_000 {
        spool.push(&event(n));
        assert!(on_disk(dir.path()) <= bounds.bytes);
    }
    let left = waiting(&mut spool);
    assert_eq!(spool.lost() + spool.len(), 2_000);
    let told = spool.peek(usize::MAX).lines.iter().map(gap_of).fold(Gap::default(), Gap::and);
    assert_eq!(told.and(spool.losses.untold()).count, spool.lost());
    assert_eq!((told.first_ts_ms, told.last_ts_ms), (Some(0), Some(left[0] - 1)));
    assert_eq!(*left.last().unwrap(), 1_999);
    assert!(on_disk(dir.path()) > bounds.bytes * 9 / 10, "it is used");
}

#[test]
fn what_grew_too_old_is_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    spool.push(&event(0));
    drop(spool);
    let [path] = &segments(dir.path())[..] else { panic!() };
    let week_ago = SystemTime::now() - Duration::from_secs(8 * 24 * 3_600);
    OpenOptions::new().append(true).open(path).unwrap().set_modified(week_ago).unwrap();
    let mut spool = open(dir.path());
    spool.push(&event(1));
    assert_eq!((waiting(&mut spool), spool.lost()), (vec![1], 1));
}

/// A file where the folder was: nothing can be written, and what comes is kept in memory.
#[test]
fn a_disk_that_takes_nothing_costs_nothing_until_memory_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("spool");
    let mut spool = open(&dir);
    spool.push(&event(0));
    spool.writing = None;
    let aside = dir.with_extension("aside");
    fs::rename(&dir, &aside).unwrap();
    (1..4).for_each(|n| spool.push(&event(n)));
    assert_eq!(spool.len(), 4);
    fs::rename(&aside, &dir).unwrap();
    assert_eq!(waiting(&mut spool), [0, 1, 2, 3]);
    settle(&mut spool, 2);
    spool.push(&event(4));
    drop(spool);
    assert_eq!(waiting(&mut open(&dir)), [2, 3, 4]);

    let mut spool = open(&dir);
    spool.writing = None;
    fs::rename(&dir, &aside).unwrap();
    let many = u64::try_from(UNWRITTEN).unwrap() + 5;
    (0..many).for_each(|n| spool.push(&event(n)));
    assert_eq!((spool.lost(), spool.losses.untold().count), (5, 5));
}

#[derive(Clone, Debug)]
enum Step {
    Push(u64),
    Peek(usize),
    Settle,
    /// The process ends, and of the newest file so many bytes are lost.
    Crash(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_u64..30).prop_map(Step::Push),
        (1_usize..40).prop_map(Step::Peek),
        Just(Step::Settle),
        (0_usize..60).prop_map(Step::Crash),
    ]
}

proptest! {
    /// Whatever happens in whatever order: what was not settled and not in the lost tail is sent,
    /// in order, and nothing that was settled before the end of a process is sent after it.
    #[test]
    fn nothing_is_lost_but_a_torn_tail(steps in prop::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(dir.path());
        let mut expected: Vec<i64> = Vec::new();
        let mut made = 0;
        let mut batch = Batch::default();
        for step in steps {
            match step {
                Step::Push(count) => {
                    for n in made..made + count {
                        spool.push(&event(n));
                        expected.push(i64::try_from(n).unwrap());
                    }
                    made += count;
                }
                Step::Peek(count) => {
                    batch = spool.peek(count);
                    let sent: Vec<i64> = batch.lines.iter().map(|l| l.told().ts_ms.unwrap()).collect();
                    let wanted = expected.len().min(count);
                    prop_assert_eq!(&sent[..], &expected[..wanted]);
                }
                Step::Settle => {
                    expected.drain(..batch.lines.len());
                    if !batch.lines.is_empty() {
                        spool.settle(&batch, Gap::default());
                    }
                    batch = Batch::default();
                }
                Step::Crash(torn) => {
                    drop(spool);
                    batch = Batch::default();
                    if let Some(newest) = segments(dir.path()).last() {
                        let bytes = fs::read(newest).unwrap();
                        let kept = bytes.len() - torn.min(bytes.len());
                        let lines = bytes[kept..].iter().filter(|&&byte| byte == b'\n').count();
                        fs::write(newest, &bytes[..kept]).unwrap();
                        expected.truncate(expected.len().saturating_sub(lines));
                    }
                    spool = open(dir.path());
                }
            }
            prop_assert!(spool.len() >= expected.len() as u64);
        }
        prop_assert_eq!(waiting(&mut spool), expected);
    }
}

#[test]
fn the_last_line_of_a_crash_does_not_swallow_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    spool.push(&event(0));
    drop(spool);
    let [path] = &segments(dir.path())[..] else { panic!() };
    OpenOptions::new().append(true).open(path).unwrap().write_all(b"0000").unwrap();
    let mut spool = open(dir.path());
    spool.push(&event(1));
    assert_eq!(waiting(&mut spool), [0, 1]);
}

#[test]
fn a_line_that_was_written_again_is_not_passed_over_for_its_first_half() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    (0..2).for_each(|n| spool.push(&event(n)));
    // As a write that failed half-way leaves it.
    let [path] = &segments(dir.path())[..] else { panic!() };
    OpenOptions::new().append(true).open(path).unwrap().write_all(b"0000").unwrap();
    spool.writing = None;
    spool.push(&event(2));
    drop(spool);
    let mut spool = open(dir.path());
    assert_eq!((waiting(&mut spool), spool.lost()), (vec![0, 1, 2], 0));
}

/// A step of a probe whose spool is too small.
#[derive(Clone, Debug)]
enum Strain {
    Push(u64),
    Peek(usize),
    /// The batch was taken, or all of it refused.
    Settle(bool),
    Kill,
}

fn strain() -> impl Strategy<Value = Strain> {
    prop_oneof![
        4 => (1_u64..60).prop_map(Strain::Push),
        3 => (1_usize..40).prop_map(Strain::Peek),
        3 => prop::bool::weighted(0.8).prop_map(Strain::Settle),
        1 => Just(Strain::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Every event that was made has arrived, was refused, waits, or is in a gap that has arrived,
    /// waits or is noted; through any kill, and once.
    #[test]
    fn what_is_lost_is_told_once(steps in prop::collection::vec(strain(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let bounds = Bounds { bytes: 16 << 10, ..Bounds::default() };
        let mut spool = Spool::open(dir.path(), bounds).unwrap();
        let (mut made, mut gone, mut told) = (0, 0, 0);
        let mut batch = Batch::default();
        for step in steps {
            match step {
                Strain::Push(count) => {
                    (made..made + count).for_each(|n| spool.push(&event(n)));
                    made += count;
                }
                Strain::Peek(count) => batch = spool.peek(count),
                Strain::Settle(taken) => {
                    let carried = batch.lines.iter().map(gap_of).fold(Gap::default(), Gap::and);
                    gone += batch.lines.len() as u64;
                    told += if taken { carried.count } else { 0 };
                    if !batch.lines.is_empty() {
                        spool.settle(&batch, if taken { Gap::default() } else { carried });
                    }
                    batch = Batch::default();
                }
                Strain::Kill => {
                    drop(spool);
                    batch = Batch::default();
                    spool = Spool::open(dir.path(), bounds).unwrap();
                }
            }
        }
        let waits = spool.peek(usize::MAX).lines;
        let carried = waits.iter().map(gap_of).fold(Gap::default(), Gap::and);
        let noted = spool.losses.untold();
        prop_assert_eq!(made, gone + waits.len() as u64 + told + carried.count + noted.count);
    }
}
