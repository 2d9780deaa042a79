INSERT INTO diagnosis_queue (client_id, target, generation, oldest_ts, newest_ts, queued_at)
VALUES (?1, ?2, 1, ?3, ?4, ?5)
ON CONFLICT (client_id, target) DO UPDATE SET
    generation = generation + 1,
    oldest_ts = min(oldest_ts, excluded.oldest_ts),
    newest_ts = max(newest_ts, excluded.newest_ts)
