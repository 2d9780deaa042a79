-- The rules that judged each cell by itself are gone, with their queue and what they found. The hours
-- in which windows changed are queued by who changes them.

-- What was not judged yet was not queued to be merged either.
INSERT INTO rollup_queue (client_id, target, span, window_start_ts, generation, due_ts)
SELECT DISTINCT queued.client_id, queued.target, '1h',
    window_start_ts / 3600000 * 3600000, 1,
    window_start_ts / 3600000 * 3600000 + 65 * 60000
FROM diagnosis_queue AS queued CROSS JOIN agg_1m AS windows
WHERE windows.client_id = queued.client_id AND windows.target = queued.target
  AND window_start_ts >= oldest_ts AND window_start_ts <= newest_ts
ON CONFLICT (client_id, target, span, window_start_ts)
    DO UPDATE SET generation = generation + 1;

DROP TABLE diagnosis_queue;
DROP TABLE diagnoses;
