INSERT INTO diagnosis_queue (client_id, target, oldest_ts, newest_ts, queued_at)
SELECT *, $5::timestamptz
FROM UNNEST($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
ON CONFLICT (client_id, target) DO UPDATE SET
    generation = excluded.generation,
    oldest_ts = least(diagnosis_queue.oldest_ts, excluded.oldest_ts),
    newest_ts = greatest(diagnosis_queue.newest_ts, excluded.newest_ts)
