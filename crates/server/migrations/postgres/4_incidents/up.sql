-- What tells whose fault it is, beside counts and times: places, certificates, the loaded line. NULL
-- where events say nothing of it. Older programs go on below the new columns.
ALTER TABLE agg_1m ADD COLUMN facts bytea;
ALTER TABLE agg_1h ADD COLUMN facts bytea;
ALTER TABLE agg_1d ADD COLUMN facts bytea;
-- A fleet is judged a minute at a time. Days that are there already do without: to index them would
-- keep everybody from writing.
CREATE INDEX agg_1m_by_time ON ONLY agg_1m USING brin (window_start_ts)
    WITH (pages_per_range = 32, autosummarize = on);

-- One row for one cause, from its onset to its end. `body` holds the numbers.
CREATE TABLE incidents (
    id          text COLLATE "C" PRIMARY KEY,
    label       text NOT NULL,
    scope_type  text NOT NULL,
    scope_id    text COLLATE "C" NOT NULL,
    severity    text NOT NULL,
    onset_ts    timestamptz NOT NULL,
    opened_ts   timestamptz NOT NULL,
    told_ts     timestamptz NOT NULL,
    last_bad_ts timestamptz NOT NULL,
    end_ts      timestamptz,
    body        jsonb NOT NULL
);
CREATE INDEX incidents_by_last ON incidents (last_bad_ts);

-- How the detector stood after a minute, so that it goes on from there as if it had never stopped.
CREATE TABLE detector_state (
    minute_ts timestamptz PRIMARY KEY,
    state     bytea NOT NULL
);
ALTER TABLE detector_state ALTER COLUMN state SET STORAGE EXTERNAL;
