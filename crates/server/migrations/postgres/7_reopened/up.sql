-- Minutes whose windows changed when the detector no longer looked, so that it goes back to them.
CREATE TABLE reopened (
    window_start_ts timestamptz PRIMARY KEY,
    generation      bigint NOT NULL,
    changed_at      timestamptz NOT NULL
);
