-- What tells whose fault it is, beside counts and times: places, certificates, the loaded line. NULL
-- where events say nothing of it.
ALTER TABLE agg_1m ADD COLUMN facts BLOB;
ALTER TABLE agg_1h ADD COLUMN facts BLOB;
ALTER TABLE agg_1d ADD COLUMN facts BLOB;
-- A fleet is judged a minute at a time.
CREATE INDEX agg_1m_by_time ON agg_1m (window_start_ts);

-- One row for one cause, from its onset to its end. `body` holds the numbers, as JSON.
CREATE TABLE incidents (
    id          TEXT PRIMARY KEY,
    label       TEXT NOT NULL,
    scope_type  TEXT NOT NULL,
    scope_id    TEXT NOT NULL,
    severity    TEXT NOT NULL,
    onset_ts    INTEGER NOT NULL,
    opened_ts   INTEGER NOT NULL,
    told_ts     INTEGER NOT NULL,
    last_bad_ts INTEGER NOT NULL,
    end_ts      INTEGER,
    body        TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX incidents_by_last ON incidents (last_bad_ts);

-- How the detector stood after a minute, so that it goes on from there as if it had never stopped.
CREATE TABLE detector_state (
    minute_ts INTEGER PRIMARY KEY,
    state     BLOB NOT NULL
) STRICT;
