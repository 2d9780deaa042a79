//! Named points at which a debug build can be told to die, as `kill -9` would have it, so that
//! tests can see what survives.

/// Dies here if `QOE_CRASH_AT` names this point: `before-commit`, or `before-commit:3` for the
/// third time it is reached.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static REACHED: AtomicU32 = AtomicU32::new(0);

    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("QOE_CRASH_AT").ok()?;
        Some(match text.split_once(':').map(|(name, nth)| (name, nth.parse())) {
            Some((name, Ok(nth))) => (name.to_owned(), nth),
            _ => (text, 1),
        })
    });
    if let Some((point, nth)) = wanted
        && point == name
        && REACHED.fetch_add(1, Ordering::Relaxed) + 1 >= *nth
    {
        std::process::abort();
    }
}

/// Nothing, in a release.
#[cfg(not(debug_assertions))]
pub(crate) fn point(_name: &str) {}
