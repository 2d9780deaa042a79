//! The directory, tokens, retention, and reading beside the writer.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use server::store::{DATABASE, Reader, Retention, Scope, Store, schema};

use crate::world::{T0, World, event};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[test]
fn what_is_kept_is_for_its_owner_alone() {
    let world = World::new();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut writer = world.store.writer().unwrap();
    writer.apply(&[vec![event("c", 1, T0)]], T0).unwrap();
    assert_eq!(mode(world.dir()), 0o700);
    for file in fs::read_dir(world.dir()).unwrap() {
        assert_eq!(mode(file.unwrap().path()), 0o600);
    }
}

#[test]
fn a_directory_open_to_others_is_refused_with_what_to_do() {
    let world = World::new();
    let dir = world.dir();
    fs::set_permissions(&dir, Permissions::from_mode(0o750)).unwrap();
    let refused = Store::open(&dir).err().unwrap().to_string();
    assert!(refused.contains(&format!("chmod 700 {}", dir.display())), "{refused}");
    fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(dir.join(DATABASE), Permissions::from_mode(0o644)).unwrap();
    let refused = Store::open(&dir).err().unwrap().to_string();
    assert!(refused.contains("chmod 600"), "{refused}");
}

#[test]
fn reading_without_a_database_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let refused = Reader::open(dir.path()).err().unwrap().to_string();
    assert!(refused.starts_with("cannot open") && refused.contains(DATABASE), "{refused}");
}

#[test]
fn readers_see_each_commit_while_the_writer_stays() {
    let world = World::new();
    let mut writer = world.store.writer().unwrap();
    let reader = world.reader();
    for n in 1..=3 {
        writer.apply(&[vec![event("c", n, T0)]], T0).unwrap();
        let summary = reader.summary(crate::world::ALWAYS, T0).unwrap();
        assert_eq!(summary[0].counts.total, n);
    }
}

#[tokio::test]
async fn a_token_made_elsewhere_works_at_once_and_not_after_it_was_revoked() {
    let world = World::new();
    let tokens = world.store.tokens();
    // As another process would.
    let elsewhere = Store::open(&world.dir()).unwrap().tokens();
    let text = elsewhere.create("c", Scope::Ingest, Some(Duration::from_secs(60))).unwrap();
    let id = server::store::tokens::id_of(&text);
    let record = tokens.lookup(&id).await.unwrap().unwrap();
    assert_eq!(record.sha256, server::store::tokens::sha256(&text));
    assert_eq!((record.client_id.as_str(), record.scope), ("c", Scope::Ingest));
    let expires = record.expires_ms.unwrap();
    assert_eq!(expires - record.created_ms, 60_000);
    assert!(record.is_good(expires - 1) && !record.is_good(expires));
    assert!(elsewhere.revoke(&id).unwrap());
    let record = tokens.lookup(&id).await.unwrap().unwrap();
    assert!(record.revoked && !record.is_good(record.created_ms));
    assert!(!elsewhere.revoke("nobody's").unwrap());
    assert_eq!(tokens.lookup("nobody's").await.unwrap(), None);
    assert_eq!(elsewhere.list().unwrap().len(), 1);
    let kept = fs::read(world.dir().join(DATABASE)).unwrap();
    let holds = |text: &str| kept.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(!holds(&text) && !holds(&text[13..]));
}

/// Removes until there is nothing more to remove, and says how many rows went.
fn prune(world: &World, keep: &Retention, now_ms: i64) -> (usize, usize) {
    let mut writer = world.store.writer().unwrap();
    let mut gone = (0, 0);
    loop {
        let step = writer.prune(keep, now_ms).unwrap();
        gone = (gone.0 + step.seen, gone.1 + step.windows);
        if !step.more {
            return gone;
        }
    }
}

#[test]
fn ids_outlive_the_events_that_are_accepted_and_windows_outlive_ids() {
    let world = World::new();
    let mut writer = world.store.writer().unwrap();
    let old = [100, 20, 9, 7, 0].map(|days| event("c", days, T0 - days.cast_signed() * DAY_MS));
    writer.apply(&[old.to_vec()], T0).unwrap();
    // Ids of 100, 20 and 9 days, the window of 100 days.
    assert_eq!(prune(&world, &Retention::default(), T0), (3, 1));
    assert_eq!(world.windows().len(), 4);
    // The oldest that ingest accepts is still known.
    assert_eq!(writer.apply(&[old[3..].to_vec()], T0).unwrap(), [2]);
}

#[test]
fn many_rows_go_in_steps() {
    let world = World::new();
    let mut writer = world.store.writer().unwrap();
    let old = (0..12_000).map(|n| event("c", n, T0 - 20 * DAY_MS));
    writer.apply(&[old.collect(), vec![event("c", 0, T0)]], T0).unwrap();
    let step = writer.prune(&Retention::default(), T0).unwrap();
    assert!(step.more && step.seen < 12_000, "{step:?}");
    assert_eq!(prune(&world, &Retention::default(), T0).0, 12_000 - step.seen);
}

#[test]
fn a_clock_that_leaps_ahead_removes_nothing() {
    let world = World::new();
    let mut writer = world.store.writer().unwrap();
    writer.apply(&[vec![event("c", 1, T0)]], T0).unwrap();
    assert_eq!(prune(&world, &Retention::default(), T0 + 1_000 * DAY_MS), (0, 0));
}

#[test]
fn a_store_that_can_write_but_not_count_is_not_taken_for_well() {
    let world = World::new();
    let mut writer = world.store.writer().unwrap();
    writer.probe().unwrap();
    schema::down(&world.dir(), 0).unwrap();
    writer.probe().unwrap_err();
    schema::up(&world.dir()).unwrap();
    writer.probe().unwrap();
}
