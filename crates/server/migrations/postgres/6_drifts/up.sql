-- What grows slowly, noted once a day and cell. Older programs go on beside it.
CREATE TABLE drifts (
    client_id        text COLLATE "C" NOT NULL,
    target           text COLLATE "C" NOT NULL,
    noted_ts         timestamptz NOT NULL,
    signal           text NOT NULL,
    since_ts         timestamptz NOT NULL,
    percent_per_hour double precision NOT NULL,
    PRIMARY KEY (client_id, target, noted_ts)
);
CREATE INDEX drifts_by_time ON drifts (noted_ts);
