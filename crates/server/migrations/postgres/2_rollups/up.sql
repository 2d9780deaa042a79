-- Windows of an hour and of a day (UTC), merged from the sketches of shorter ones. The columns are
-- those of agg_1m.
CREATE TABLE agg_1h (
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
    PRIMARY KEY (client_id, target, window_start_ts)
);
CREATE INDEX agg_1h_by_start ON agg_1h (window_start_ts);

CREATE TABLE agg_1d (
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
    PRIMARY KEY (client_id, target, window_start_ts)
);
CREATE INDEX agg_1d_by_start ON agg_1d (window_start_ts);

-- Hours and days to merge again: queued where a cell's windows were judged, due when the span has
-- ended. `generation` is new with each entry and never comes again, so that what changes while it
-- is merged is not lost, whoever merges it.
CREATE SEQUENCE rollup_generation CACHE 1000;
CREATE TABLE rollup_queue (
    client_id       text COLLATE "C" NOT NULL,
    target          text COLLATE "C" NOT NULL,
    span            text COLLATE "C" NOT NULL CHECK (span IN ('1h', '1d')),
    window_start_ts timestamptz NOT NULL,
    generation      bigint NOT NULL DEFAULT nextval('rollup_generation'),
    due_ts          timestamptz NOT NULL,
    PRIMARY KEY (client_id, target, span, window_start_ts)
);
CREATE INDEX rollup_queue_by_due ON rollup_queue (due_ts);

-- What is there already, in its hours; their days follow.
INSERT INTO rollup_queue (client_id, target, span, window_start_ts, due_ts)
SELECT DISTINCT client_id, target, '1h',
    date_trunc('hour', window_start_ts, 'UTC'),
    date_trunc('hour', window_start_ts, 'UTC') + interval '65 minutes'
FROM agg_1m;
