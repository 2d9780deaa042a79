-- As 1_initial has them.
ALTER TABLE rollup_queue RESET (fillfactor);
CREATE SEQUENCE diagnosis_generation CACHE 1000;
CREATE TABLE diagnosis_queue (
    client_id  text COLLATE "C" NOT NULL,
    target     text COLLATE "C" NOT NULL,
    generation bigint NOT NULL DEFAULT nextval('diagnosis_generation'),
    oldest_ts  timestamptz NOT NULL,
    newest_ts  timestamptz NOT NULL,
    queued_at  timestamptz NOT NULL,
    PRIMARY KEY (client_id, target)
) WITH (fillfactor = 50);
CREATE INDEX diagnosis_queue_by_wait ON diagnosis_queue (queued_at);
CREATE TABLE diagnoses (
    client_id text COLLATE "C" NOT NULL,
    target    text COLLATE "C" NOT NULL,
    since_ts  timestamptz NOT NULL,
    label     text NOT NULL,
    last_ts   timestamptz NOT NULL,
    windows   bigint NOT NULL,
    open      boolean NOT NULL,
    evidence  jsonb NOT NULL,
    PRIMARY KEY (client_id, target, since_ts, label)
);
CREATE INDEX diagnoses_by_last ON diagnoses (last_ts);
