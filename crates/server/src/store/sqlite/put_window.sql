INSERT INTO agg_1m (
    client_id, target, window_start_ts,
    count_total, count_success, count_error,
    errors_dns, errors_tcp, errors_tls, errors_http,
    errors_throughput, errors_throughput_timeout, errors_parse,
    dns_p50_ms, dns_p95_ms, dns_p99_ms,
    tcp_p50_ms, tcp_p95_ms, tcp_p99_ms,
    tls_p50_ms, tls_p95_ms, tls_p99_ms,
    ttfb_p50_ms, ttfb_p95_ms, ttfb_p99_ms,
    total_p50_ms, total_p95_ms, total_p99_ms,
    throughput_p50_kbps, throughput_p95_kbps, throughput_p99_kbps,
    sketches, updated_at, count_troubled, facts, revision
) VALUES (
    ?1, ?2, ?3,
    ?4, ?5, ?6,
    ?7, ?8, ?9, ?10,
    ?11, ?12, ?13,
    ?14, ?15, ?16,
    ?17, ?18, ?19,
    ?20, ?21, ?22,
    ?23, ?24, ?25,
    ?26, ?27, ?28,
    ?29, ?30, ?31,
    ?32, ?33, ?34, ?35, 1
)
ON CONFLICT (client_id, target, window_start_ts) DO UPDATE SET
    count_total = ?4, count_success = ?5, count_error = ?6,
    errors_dns = ?7, errors_tcp = ?8, errors_tls = ?9, errors_http = ?10,
    errors_throughput = ?11, errors_throughput_timeout = ?12, errors_parse = ?13,
    dns_p50_ms = ?14, dns_p95_ms = ?15, dns_p99_ms = ?16,
    tcp_p50_ms = ?17, tcp_p95_ms = ?18, tcp_p99_ms = ?19,
    tls_p50_ms = ?20, tls_p95_ms = ?21, tls_p99_ms = ?22,
    ttfb_p50_ms = ?23, ttfb_p95_ms = ?24, ttfb_p99_ms = ?25,
    total_p50_ms = ?26, total_p95_ms = ?27, total_p99_ms = ?28,
    throughput_p50_kbps = ?29, throughput_p95_kbps = ?30, throughput_p99_kbps = ?31,
    sketches = ?32, updated_at = ?33, count_troubled = ?34, facts = ?35,
    revision = revision + 1
