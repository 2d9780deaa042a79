-- What is told of incidents, and to whom: outbox and log in one. A notice is its incident's next one
-- to that receiver, so that two who plan at once write it once.
CREATE TABLE alerts (
    incident_id  TEXT NOT NULL,
    receiver     TEXT NOT NULL,
    seq          INTEGER NOT NULL,
    event        TEXT NOT NULL,
    -- Notices that go out together, and the same each time.
    message      TEXT NOT NULL,
    created_ts   INTEGER NOT NULL,
    due_ts       INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    state        TEXT NOT NULL DEFAULT 'pending',
    delivered_ts INTEGER,
    failed_ts    INTEGER,
    tried_ts     INTEGER,
    last_error   TEXT,
    body         TEXT NOT NULL,
    PRIMARY KEY (incident_id, receiver, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX alerts_by_time ON alerts (created_ts);
CREATE INDEX alerts_by_message ON alerts (message);
CREATE INDEX alerts_pending ON alerts (receiver, created_ts) WHERE state = 'pending';
