-- Text is compared by its bytes, as the program and the embedded store have it: the same order
-- everywhere, and no lookups in a locale.

-- Who has sent. `last_seen` is kept to ten minutes.
CREATE TABLE clients (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id  text COLLATE "C" NOT NULL UNIQUE,
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL
);

-- The ids of counted events, for as long as a sender may repeat one. The event's own minute
-- leads, so that inserts stay in one small part of the index whatever the ids are; `client_id` is
-- `clients.id`, which halves the index. A partition a day (UTC), made by the program.
CREATE TABLE events_seen (
    window_start_ts timestamptz NOT NULL,
    client_id       bigint NOT NULL,
    event_id        uuid NOT NULL,
    PRIMARY KEY (window_start_ts, client_id, event_id)
) PARTITION BY RANGE (window_start_ts);

-- One row a client, target and minute. A percentile is NULL where nothing was measured.
-- `sketches` holds the whole window (counts, sums, sketches); the other columns are read out of it.
-- A partition a day (UTC), made by the program.
CREATE TABLE agg_1m (
    client_id                 text COLLATE "C" NOT NULL,
    target                    text COLLATE "C" NOT NULL,
    window_start_ts           timestamptz NOT NULL,
    count_total               bigint NOT NULL,
    count_success             bigint NOT NULL,
    count_error               bigint NOT NULL,
    errors_dns                bigint NOT NULL,
    errors_tcp                bigint NOT NULL,
    errors_tls                bigint NOT NULL,
    errors_http               bigint NOT NULL,
    errors_throughput         bigint NOT NULL,
    errors_throughput_timeout bigint NOT NULL,
    errors_parse              bigint NOT NULL,
    dns_p50_ms                double precision,
    dns_p95_ms                double precision,
    dns_p99_ms                double precision,
    tcp_p50_ms                double precision,
    tcp_p95_ms                double precision,
    tcp_p99_ms                double precision,
    tls_p50_ms                double precision,
    tls_p95_ms                double precision,
    tls_p99_ms                double precision,
    ttfb_p50_ms               double precision,
    ttfb_p95_ms               double precision,
    ttfb_p99_ms               double precision,
    total_p50_ms              double precision,
    total_p95_ms              double precision,
    total_p99_ms              double precision,
    throughput_p50_kbps       double precision,
    throughput_p95_kbps       double precision,
    throughput_p99_kbps       double precision,
    sketches                  bytea NOT NULL,
    revision                  bigint NOT NULL,
    updated_at                timestamptz NOT NULL,
    diagnosis_label           text,
    PRIMARY KEY (client_id, target, window_start_ts)
) PARTITION BY RANGE (window_start_ts);

-- Cells (client and target) with windows to judge: an outbox, written with the windows.
-- `generation` is new with each entry and never comes again, so that what arrives while a cell is
-- judged is not lost, whoever judges it.
CREATE SEQUENCE diagnosis_generation CACHE 1000;
CREATE TABLE diagnosis_queue (
    client_id  text COLLATE "C" NOT NULL,
    target     text COLLATE "C" NOT NULL,
    generation bigint NOT NULL DEFAULT nextval('diagnosis_generation'),
    oldest_ts  timestamptz NOT NULL,
    newest_ts  timestamptz NOT NULL,
    queued_at  timestamptz NOT NULL,
    PRIMARY KEY (client_id, target)
) WITH (fillfactor = 50);
CREATE INDEX diagnosis_queue_by_wait ON diagnosis_queue (queued_at);

-- Runs of windows of one cell with one label. `last_ts` is the start of the last of them;
-- `evidence` holds the diagnosis of that one and of the worst one.
CREATE TABLE diagnoses (
    client_id text COLLATE "C" NOT NULL,
    target    text COLLATE "C" NOT NULL,
    since_ts  timestamptz NOT NULL,
    label     text NOT NULL,
    last_ts   timestamptz NOT NULL,
    windows   bigint NOT NULL,
    open      boolean NOT NULL,
    evidence  jsonb NOT NULL,
    PRIMARY KEY (client_id, target, since_ts, label)
);
CREATE INDEX diagnoses_by_last ON diagnoses (last_ts);

-- `sha256` is of the token's whole text, which is not kept.
CREATE TABLE tokens (
    id         text PRIMARY KEY,
    sha256     bytea NOT NULL,
    client_id  text NOT NULL,
    scope      text NOT NULL CHECK (scope IN ('ingest', 'read', 'admin')),
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);
