-- Minutes whose windows changed when the detector no longer looked, so that it goes back to them.
CREATE TABLE reopened (
    window_start_ts INTEGER PRIMARY KEY,
    generation      INTEGER NOT NULL,
    changed_at      INTEGER NOT NULL
);
