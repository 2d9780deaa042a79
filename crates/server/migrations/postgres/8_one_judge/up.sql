-- The rules that judged each cell by itself are gone, with their queue and what they found. The hours
-- in which windows changed are queued by who changes them, so older programs can't go on.

-- Waits for those that count, and keeps them out: what they commit is seen below, or fails.
LOCK TABLE diagnoses, diagnosis_queue IN ACCESS EXCLUSIVE MODE;

-- What was not judged yet was not queued to be merged either. LIMIT binds the planner: a look into
-- the index for each hour.
INSERT INTO rollup_queue (client_id, target, span, window_start_ts, due_ts)
SELECT client_id, target, '1h', hour, hour + interval '65 minutes'
FROM diagnosis_queue AS queued,
    generate_series(date_trunc('hour', oldest_ts, 'UTC'), newest_ts, interval '1 hour') AS hour,
    LATERAL (
        SELECT FROM agg_1m
        WHERE client_id = queued.client_id AND target = queued.target
          AND window_start_ts >= hour AND window_start_ts < hour + interval '1 hour'
        LIMIT 1
    ) AS windows
ORDER BY client_id, target, hour
ON CONFLICT (client_id, target, span, window_start_ts)
    DO UPDATE SET generation = excluded.generation;

DROP TABLE diagnosis_queue;
DROP SEQUENCE diagnosis_generation;
DROP TABLE diagnoses;

-- Each transaction that counts touches the hours of its cells: room for their next versions.
ALTER TABLE rollup_queue SET (fillfactor = 50);
