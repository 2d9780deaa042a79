-- A window is written only where its row is as it was read: `revision` is one more than then, and
-- another transaction that changed it in between has taken that number.
INSERT INTO agg_1m (
    client_id, target, window_start_ts, count_total, count_success, count_error, errors_dns,
    errors_tcp, errors_tls, errors_http, errors_throughput, errors_throughput_timeout,
    errors_parse, dns_p50_ms, dns_p95_ms, dns_p99_ms, tcp_p50_ms, tcp_p95_ms, tcp_p99_ms,
    tls_p50_ms, tls_p95_ms, tls_p99_ms, ttfb_p50_ms, ttfb_p95_ms, ttfb_p99_ms, total_p50_ms,
    total_p95_ms, total_p99_ms, throughput_p50_kbps, throughput_p95_kbps, throughput_p99_kbps,
    sketches, revision, count_troubled, facts, updated_at
)
SELECT *, $36::timestamptz FROM UNNEST(
    $1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
    $13::bigint[], $14::float8[], $15::float8[], $16::float8[], $17::float8[], $18::float8[],
    $19::float8[], $20::float8[], $21::float8[], $22::float8[], $23::float8[], $24::float8[],
    $25::float8[], $26::float8[], $27::float8[], $28::float8[], $29::float8[], $30::float8[],
    $31::float8[], $32::bytea[], $33::bigint[], $34::bigint[],
    $35::bytea[]
)
ON CONFLICT (client_id, target, window_start_ts) DO UPDATE SET
    count_total = excluded.count_total, count_success = excluded.count_success,
    count_error = excluded.count_error, errors_dns = excluded.errors_dns,
    errors_tcp = excluded.errors_tcp, errors_tls = excluded.errors_tls,
    errors_http = excluded.errors_http, errors_throughput = excluded.errors_throughput,
    errors_throughput_timeout = excluded.errors_throughput_timeout,
    errors_parse = excluded.errors_parse, dns_p50_ms = excluded.dns_p50_ms,
    dns_p95_ms = excluded.dns_p95_ms, dns_p99_ms = excluded.dns_p99_ms,
    tcp_p50_ms = excluded.tcp_p50_ms, tcp_p95_ms = excluded.tcp_p95_ms,
    tcp_p99_ms = excluded.tcp_p99_ms, tls_p50_ms = excluded.tls_p50_ms,
    tls_p95_ms = excluded.tls_p95_ms, tls_p99_ms = excluded.tls_p99_ms,
    ttfb_p50_ms = excluded.ttfb_p50_ms, ttfb_p95_ms = excluded.ttfb_p95_ms,
    ttfb_p99_ms = excluded.ttfb_p99_ms, total_p50_ms = excluded.total_p50_ms,
    total_p95_ms = excluded.total_p95_ms, total_p99_ms = excluded.total_p99_ms,
    throughput_p50_kbps = excluded.throughput_p50_kbps,
    throughput_p95_kbps = excluded.throughput_p95_kbps,
    throughput_p99_kbps = excluded.throughput_p99_kbps, sketches = excluded.sketches,
    revision = excluded.revision, count_troubled = excluded.count_troubled,
    facts = excluded.facts,
    updated_at = excluded.updated_at
WHERE agg_1m.revision = excluded.revision - 1
