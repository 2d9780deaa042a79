INSERT INTO rollup_queue (client_id, target, span, window_start_ts, generation, due_ts)
VALUES (?1, ?2, ?3, ?4, 1, ?5)
ON CONFLICT (client_id, target, span, window_start_ts)
    DO UPDATE SET generation = generation + 1
