-- What a probe says of itself: measurements it made while it was in trouble, which are set aside,
-- and measurements it lost.
ALTER TABLE agg_1m ADD COLUMN count_troubled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agg_1h ADD COLUMN count_troubled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agg_1d ADD COLUMN count_troubled INTEGER NOT NULL DEFAULT 0;

-- One row a gap, named by the event that told of it, at the time `at_ts` of that event. The times
-- of what was lost are NULL where the probe does not know them.
CREATE TABLE probe_gaps (
    client_id TEXT NOT NULL,
    event_id  BLOB NOT NULL,
    at_ts     INTEGER NOT NULL,
    count     INTEGER NOT NULL,
    first_ts  INTEGER,
    last_ts   INTEGER,
    PRIMARY KEY (client_id, at_ts, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX probe_gaps_by_time ON probe_gaps (at_ts);
