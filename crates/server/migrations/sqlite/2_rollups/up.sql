-- Windows of an hour and of a day (UTC), merged from the sketches of shorter ones. The columns are
-- those of agg_1m.
CREATE TABLE agg_1h (
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
    PRIMARY KEY (client_id, target, window_start_ts)
) STRICT;
CREATE INDEX agg_1h_by_start ON agg_1h (window_start_ts);

CREATE TABLE agg_1d (
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
    PRIMARY KEY (client_id, target, window_start_ts)
) STRICT;
CREATE INDEX agg_1d_by_start ON agg_1d (window_start_ts);

-- Hours and days to merge again: queued where a cell's windows were judged, due when the span has
-- ended. `generation` grows with each entry, so that what changes while it is merged is not lost.
CREATE TABLE rollup_queue (
    client_id       TEXT NOT NULL,
    target          TEXT NOT NULL,
    span            TEXT NOT NULL CHECK (span IN ('1h', '1d')),
    window_start_ts INTEGER NOT NULL,
    generation      INTEGER NOT NULL,
    due_ts          INTEGER NOT NULL,
    PRIMARY KEY (client_id, target, span, window_start_ts)
) STRICT, WITHOUT ROWID;

CREATE INDEX rollup_queue_by_due ON rollup_queue (due_ts);

-- What is there already, in its hours; their days follow.
INSERT INTO rollup_queue (client_id, target, span, window_start_ts, generation, due_ts)
SELECT DISTINCT client_id, target, '1h',
    window_start_ts / 3600000 * 3600000, 1,
    window_start_ts / 3600000 * 3600000 + 65 * 60000
FROM agg_1m;
