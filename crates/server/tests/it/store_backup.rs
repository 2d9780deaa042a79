//! Files that are no backup, or none any more, and stores that are in use.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use server::store::backup::{BackupError, backup, restore};
use server::store::{DATABASE, Store, lock, schema};
use tempfile::TempDir;

use crate::world::{T0, World, event};

/// A store with events, and a backup of it.
struct Kept {
    world: World,
    dir: TempDir,
    file: PathBuf,
}

impl Kept {
    fn new() -> Self {
        let world = World::new();
        let events = (0..500).map(|n| event(&format!("c{}", n % 50), n, T0)).collect();
        world.store.writer().unwrap().apply(&[events], T0).unwrap();
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("copy.db");
        let copied = backup(&world.dir(), &file, false).unwrap();
        assert_eq!(copied.schema, schema::LATEST);
        assert_eq!(copied.bytes, file.metadata().unwrap().len());
        Self { world, dir, file }
    }

    fn goal(&self) -> PathBuf {
        self.dir.path().join("goal")
    }

    /// Restoring fails, and makes no store.
    fn refused(&self) -> BackupError {
        let refused = restore(&self.file, &self.goal(), false).unwrap_err();
        assert!(!self.goal().join(DATABASE).exists());
        assert!(refused.to_string().contains("copy.db"), "{refused}");
        refused
    }

    fn sql(&self, statements: &str) {
        Connection::open(&self.file).unwrap().execute_batch(statements).unwrap();
    }
}

#[test]
fn a_backup_holds_what_the_store_held() {
    let kept = Kept::new();
    restore(&kept.file, &kept.goal(), false).unwrap();
    let restored = Store::open(&kept.goal()).unwrap();
    let windows = |store: &Store| {
        let reader = server::store::Reader::open(store.location()).unwrap();
        let span = crate::world::ALWAYS;
        let query =
            server::store::WindowQuery { client_id: None, target: None, span, limit: 1_000 };
        reader.windows(&query, T0).unwrap().0
    };
    assert_eq!(windows(&restored), windows(&kept.world.store));
    let events = vec![event("c0", 0, T0), event("c0", 10_000, T0)];
    assert_eq!(restored.writer().unwrap().apply(&[events], T0).unwrap(), [1]);
}

#[test]
fn half_a_file_and_a_spoilt_one_are_named_damaged() {
    let kept = Kept::new();
    let whole = fs::read(&kept.file).unwrap();
    for end in [whole.len() / 2, whole.len() - 1_000, 5_000] {
        fs::write(&kept.file, &whole[..end]).unwrap();
        let refused = kept.refused();
        assert!(matches!(refused, BackupError::Damaged { .. }), "{end}: {refused}");
    }
    let mut spoilt = whole.clone();
    spoilt[4_096 * 3..4_096 * 4].fill(0xA5);
    fs::write(&kept.file, &spoilt).unwrap();
    let refused = kept.refused();
    assert!(matches!(refused, BackupError::Damaged { .. }), "{refused}");
}

#[test]
fn other_files_are_named_foreign() {
    let kept = Kept::new();
    for text in ["", "SQLite", "event_id,client_id\n1,2\n"] {
        fs::write(&kept.file, text).unwrap();
        assert!(matches!(kept.refused(), BackupError::Foreign { .. }));
    }
    assert!(!kept.goal().exists(), "a wrong name leaves nothing behind");
    fs::remove_file(&kept.file).unwrap();
    assert!(matches!(kept.refused(), BackupError::File { .. }));
    kept.sql("CREATE TABLE songs (name TEXT); PRAGMA user_version = 1");
    let refused = kept.refused().to_string();
    assert!(refused.contains("no table agg_1m"), "{refused}");
    fs::remove_file(&kept.file).unwrap();
    fs::create_dir(&kept.file).unwrap();
    assert!(matches!(kept.refused(), BackupError::Foreign { .. }));
}

#[test]
fn newer_tables_are_named_by_their_version_and_older_ones_brought_up_to_date() {
    let kept = Kept::new();
    kept.sql("PRAGMA user_version = 99");
    let refused = kept.refused().to_string();
    assert!(refused.contains("schema version 99"), "{refused}");
    schema::down(&kept.world.dir(), 1).unwrap();
    assert_eq!(backup(&kept.world.dir(), &kept.file, true).unwrap().schema, 1);
    assert_eq!(restore(&kept.file, &kept.goal(), false).unwrap().schema, 1);
    Store::open(&kept.goal()).unwrap();
    assert_eq!(schema::version(&kept.goal()).unwrap(), schema::LATEST);
}

/// Part of it stands in its log, and would be lost in silence.
#[test]
fn a_database_at_work_is_no_backup() {
    let kept = Kept::new();
    let _writer = kept.world.store.writer().unwrap();
    let events = vec![event("c0", 20_000, T0)];
    kept.world.store.writer().unwrap().apply(&[events], T0).unwrap();
    for suffix in ["", "-wal"] {
        let from = kept.world.dir().join(format!("{DATABASE}{suffix}"));
        fs::copy(from, kept.file.with_file_name(format!("copy.db{suffix}"))).unwrap();
    }
    let refused = kept.refused().to_string();
    assert!(refused.contains("-wal") && refused.contains("qoe backup"), "{refused}");
    let itself = restore(&kept.world.dir().join(DATABASE), &kept.world.dir(), true).unwrap_err();
    assert!(matches!(itself, BackupError::Foreign { .. } | BackupError::Itself(_)), "{itself}");
}

#[test]
fn a_store_in_use_is_not_replaced_and_a_damaged_one_is() {
    let kept = Kept::new();
    let goal = kept.goal();
    let held = lock(&goal).unwrap();
    let refused = restore(&kept.file, &goal, true).unwrap_err().to_string();
    assert!(refused.contains("another qoe serves"), "{refused}");
    drop(held);

    let old = Store::open(&goal).unwrap();
    let mut writer = old.writer().unwrap();
    writer.apply(&[vec![event("old", 1, T0)]], T0).unwrap();
    assert!(matches!(restore(&kept.file, &goal, false), Err(BackupError::StoreExists(_))));
    assert!(matches!(restore(&kept.file, &goal, true), Err(BackupError::InUse(_))));
    // It counts on.
    writer.apply(&[vec![event("old", 2, T0)]], T0).unwrap();
    drop((writer, old));
    fs::write(goal.join(DATABASE), "no database at all").unwrap();
    fs::write(goal.join(format!("{DATABASE}-wal")), "of another").unwrap();
    restore(&kept.file, &goal, true).unwrap();
    assert!(!goal.join(format!("{DATABASE}-wal")).exists());
    let events = vec![event("c0", 0, T0)];
    assert_eq!(Store::open(&goal).unwrap().writer().unwrap().apply(&[events], T0).unwrap(), [1]);
}
