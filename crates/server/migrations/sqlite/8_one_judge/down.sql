-- As 1_initial has them.
CREATE TABLE diagnosis_queue (
    client_id  TEXT NOT NULL,
    target     TEXT NOT NULL,
    generation INTEGER NOT NULL,
    oldest_ts  INTEGER NOT NULL,
    newest_ts  INTEGER NOT NULL,
    queued_at  INTEGER NOT NULL,
    PRIMARY KEY (client_id, target)
) STRICT, WITHOUT ROWID;
CREATE TABLE diagnoses (
    client_id TEXT NOT NULL,
    target    TEXT NOT NULL,
    since_ts  INTEGER NOT NULL,
    label     TEXT NOT NULL,
    last_ts   INTEGER NOT NULL,
    windows   INTEGER NOT NULL,
    open      INTEGER NOT NULL,
    evidence  TEXT NOT NULL,
    PRIMARY KEY (client_id, target, since_ts, label)
) STRICT;
CREATE INDEX diagnoses_by_last ON diagnoses (last_ts);
