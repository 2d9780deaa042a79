//! Events as lines of a file.

use std::io;

use model::wire::WireEvent;

/// Writes events as NDJSON, one line each, and says how many. Buffers by itself; the writer is
/// flushed at the end.
///
/// # Errors
/// The writer's.
pub fn write_ndjson(
    out: &mut impl io::Write,
    events: impl IntoIterator<Item = WireEvent>,
) -> io::Result<u64> {
    let mut buffer = Vec::with_capacity(2 * FLUSH_BYTES);
    let mut written = 0;
    for event in events {
        serde_json::to_writer(&mut buffer, &event)?;
        buffer.push(b'\n');
        written += 1;
        if buffer.len() >= FLUSH_BYTES {
            out.write_all(&buffer)?;
            buffer.clear();
        }
    }
    out.write_all(&buffer)?;
    out.flush()?;
    Ok(written)
}

const FLUSH_BYTES: usize = 64 * 1024;
