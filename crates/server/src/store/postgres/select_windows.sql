SELECT
    client_id, target, window_start_ts, revision, updated_at, diagnosis_label,
    count_total, count_success,
    errors_dns, errors_tcp, errors_tls, errors_http,
    errors_throughput, errors_throughput_timeout, errors_parse,
    dns_p50_ms, dns_p95_ms, dns_p99_ms,
    tcp_p50_ms, tcp_p95_ms, tcp_p99_ms,
    tls_p50_ms, tls_p95_ms, tls_p99_ms,
    ttfb_p50_ms, ttfb_p95_ms, ttfb_p99_ms,
    total_p50_ms, total_p95_ms, total_p99_ms,
    throughput_p50_kbps, throughput_p95_kbps, throughput_p99_kbps,
    count_troubled
FROM agg_1m
WHERE window_start_ts >= $1 AND window_start_ts < $2
  AND ($3::text IS NULL OR client_id = $3) AND ($4::text IS NULL OR target = $4)
ORDER BY client_id, target, window_start_ts DESC
LIMIT $5
