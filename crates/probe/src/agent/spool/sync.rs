//! Syncs to disk beside the work. While one sync runs the next writes gather, so that its rate is
//! the disk's.

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;

/// A thread that syncs. It ends with this.
#[derive(Debug)]
pub(super) struct Syncer {
    written: Sender<Arc<File>>,
}

impl Syncer {
    pub(super) fn start() -> Self {
        let (written, queue) = mpsc::channel::<Arc<File>>();
        let run = move || {
            while let Ok(first) = queue.recv() {
                let mut files = vec![first];
                files.extend(queue.try_iter());
                files.dedup_by(|a, b| Arc::ptr_eq(a, b));
                for file in files {
                    if let Err(error) = file.sync_data() {
                        tracing::warn!("cannot sync the spool: {error}");
                    }
                }
            }
        };
        // Without the thread nothing is synced, and all else goes on.
        if let Err(error) = thread::Builder::new().name("spool".to_owned()).spawn(run) {
            tracing::warn!("cannot start the spool's thread: {error}");
        }
        Self { written }
    }

    /// Has what was written to this file until now synced soon.
    pub(super) fn sync(&self, file: Arc<File>) {
        let _ = self.written.send(file);
    }
}
