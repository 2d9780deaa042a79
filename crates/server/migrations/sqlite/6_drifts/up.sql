-- What grows slowly, noted once a day and cell.
CREATE TABLE drifts (
    client_id        TEXT NOT NULL,
    target           TEXT NOT NULL,
    noted_ts         INTEGER NOT NULL,
    signal           TEXT NOT NULL,
    since_ts         INTEGER NOT NULL,
    percent_per_hour REAL NOT NULL,
    PRIMARY KEY (client_id, target, noted_ts)
) STRICT, WITHOUT ROWID;
CREATE INDEX drifts_by_time ON drifts (noted_ts);
