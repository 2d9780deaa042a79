-- Times (`*_ts`, `*_seen`, `*_at`) are milliseconds since the Unix epoch.

-- Who has sent. `last_seen` is kept to the minute.
CREATE TABLE clients (
    id         INTEGER PRIMARY KEY,
    client_id  TEXT NOT NULL UNIQUE,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) STRICT;

-- The ids of counted events, for as long as a sender may repeat one. The event's own minute
-- leads, so that inserts stay in one small part of the tree whatever the ids are; `client_id` is
-- `clients.id`, which halves the tree.
CREATE TABLE events_seen (
    window_start_ts INTEGER NOT NULL,
    client_id       INTEGER NOT NULL,
    event_id        BLOB NOT NULL,
    PRIMARY KEY (window_start_ts, client_id, event_id)
) STRICT, WITHOUT ROWID;

-- One row a client, target and minute. A percentile is NULL where nothing was measured.
-- `sketches` holds the whole window (counts, sums, sketches); the other columns are read out of it.
-- Rows lie in the order they began, so that those of this minute, of all cells, share pages.
CREATE TABLE agg_1m (
    client_id                 TEXT NOT NULL,
    target                    TEXT NOT NULL,
    window_start_ts           INTEGER NOT NULL,
    count_total               INTEGER NOT NULL,
    count_success             INTEGER NOT NULL,
    count_error               INTEGER NOT NULL,
    errors_dns                INTEGER NOT NULL,
    errors_tcp                INTEGER NOT NULL,
    errors_tls                INTEGER NOT NULL,
    errors_http               INTEGER NOT NULL,
    errors_throughput         INTEGER NOT NULL,
    errors_throughput_timeout INTEGER NOT NULL,
    errors_parse              INTEGER NOT NULL,
    dns_p50_ms                REAL,
    dns_p95_ms                REAL,
    dns_p99_ms                REAL,
    tcp_p50_ms                REAL,
    tcp_p95_ms                REAL,
    tcp_p99_ms                REAL,
    tls_p50_ms                REAL,
    tls_p95_ms                REAL,
    tls_p99_ms                REAL,
    ttfb_p50_ms               REAL,
    ttfb_p95_ms               REAL,
    ttfb_p99_ms               REAL,
    total_p50_ms              REAL,
    total_p95_ms              REAL,
    total_p99_ms              REAL,
    throughput_p50_kbps       REAL,
    throughput_p95_kbps       REAL,
    throughput_p99_kbps       REAL,
    sketches                  BLOB NOT NULL,
    revision                  INTEGER NOT NULL,
    updated_at                INTEGER NOT NULL,
    diagnosis_label           TEXT,
    PRIMARY KEY (client_id, target, window_start_ts)
) STRICT;

-- Cells (client and target) with windows to judge: an outbox, written with the windows.
-- `generation` grows with each entry, so that what arrives while a cell is judged is not lost.
CREATE TABLE diagnosis_queue (
    client_id  TEXT NOT NULL,
    target     TEXT NOT NULL,
    generation INTEGER NOT NULL,
    oldest_ts  INTEGER NOT NULL,
    newest_ts  INTEGER NOT NULL,
    queued_at  INTEGER NOT NULL,
    PRIMARY KEY (client_id, target)
) STRICT, WITHOUT ROWID;

-- Runs of windows of one cell with one label. `last_ts` is the start of the last of them;
-- `evidence` holds the diagnosis of that one and of the worst one, as JSON.
CREATE TABLE diagnoses (
    client_id TEXT NOT NULL,
    target    TEXT NOT NULL,
    since_ts  INTEGER NOT NULL,
    label     TEXT NOT NULL,
    last_ts   INTEGER NOT NULL,
    windows   INTEGER NOT NULL,
    open      INTEGER NOT NULL,
    evidence  TEXT NOT NULL,
    PRIMARY KEY (client_id, target, since_ts, label)
) STRICT;

CREATE INDEX diagnoses_by_last ON diagnoses (last_ts);

-- `sha256` is of the token's whole text, which is not kept.
CREATE TABLE tokens (
    id         TEXT PRIMARY KEY,
    sha256     BLOB NOT NULL,
    client_id  TEXT NOT NULL,
    scope      TEXT NOT NULL CHECK (scope IN ('ingest', 'read', 'admin')),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
