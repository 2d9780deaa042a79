-- What is told of incidents, and to whom: outbox and log in one. A notice is its incident's next one
-- to that receiver, so that two who plan at once write it once. Older programs go on beside it.
CREATE TABLE alerts (
    incident_id  text COLLATE "C" NOT NULL,
    receiver     text COLLATE "C" NOT NULL,
    seq          integer NOT NULL,
    event        text NOT NULL,
    -- Notices that go out together, and the same each time.
    message      text COLLATE "C" NOT NULL,
    created_ts   timestamptz NOT NULL,
    due_ts       timestamptz NOT NULL,
    attempts     integer NOT NULL DEFAULT 0,
    state        text NOT NULL DEFAULT 'pending',
    delivered_ts timestamptz,
    failed_ts    timestamptz,
    tried_ts     timestamptz,
    last_error   text,
    body         text NOT NULL,
    PRIMARY KEY (incident_id, receiver, seq)
);
CREATE INDEX alerts_by_time ON alerts (created_ts);
CREATE INDEX alerts_by_message ON alerts (message);
CREATE INDEX alerts_pending ON alerts (receiver, created_ts) WHERE state = 'pending';
