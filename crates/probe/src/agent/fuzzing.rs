//! The spool's reader as a function of the bytes that a disk may hold, and the file's.

use std::fs;

use super::file;
use super::gap::Gap;
use super::spool::{Bounds, Spool};

/// Opens a spool whose one segment holds these bytes, and ships all of it.
pub fn spool(bytes: &[u8]) {
    let name = format!("qoe-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
    let dir = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&dir);
    if fs::create_dir(&dir).is_err() {
        return;
    }
    let _ = fs::write(dir.join("00000000000000000007.spool"), bytes);
    if let Ok(mut spool) = Spool::open(&dir, Bounds::default()) {
        let mut rounds = 0;
        while spool.len() > 0 {
            let batch = spool.peek(3);
            spool.settle(&batch, Gap::default());
            rounds += 1;
            assert!(rounds <= bytes.len() + 1, "it goes round in a circle");
        }
    }
    let _ = fs::remove_dir_all(&dir);
}

/// What a person may have written into the agent's file. It is read within its bounds, or what is
/// wrong stands in one of its lines.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match file::read(text) {
        Ok(file) => {
            let targets = file.targets(std::time::Duration::from_secs(1));
            assert!(targets.len() <= file::MOST_TARGETS, "too many");
        }
        Err(fault) => {
            let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
            assert!((1..=lines).contains(&fault.line), "there is no such line");
        }
    }
}
