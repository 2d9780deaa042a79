INSERT INTO rollup_queue (client_id, target, span, window_start_ts, due_ts)
SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])
ON CONFLICT (client_id, target, span, window_start_ts)
    DO UPDATE SET generation = excluded.generation
