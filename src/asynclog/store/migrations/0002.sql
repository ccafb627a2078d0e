-- What runs by itself.

-- When a plugin is started by itself, and where that stands. Exactly one of cron and interval is given.
CREATE TABLE schedules (
    id           TEXT    PRIMARY KEY,
    name         TEXT    NOT NULL,
    plugin       TEXT    NOT NULL,
    params       TEXT    NOT NULL,                     -- as they are handed to the plugin
    account      TEXT,
    site         TEXT,
    cron         TEXT,
    interval     INTEGER CHECK (interval > 0),         -- microseconds, counted from created_at
    time_zone    TEXT    NOT NULL,
    missed       TEXT    NOT NULL CHECK (missed IN ('run', 'skip')),
    paused       INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    next_at      INTEGER,                              -- NULL while paused
    last_at      INTEGER,                              -- the last due time that was dealt with
    last_task_id TEXT,
    last_error   TEXT,
    skipped      INTEGER NOT NULL,
    CHECK ((cron IS NULL) <> (interval IS NULL))
) STRICT, WITHOUT ROWID;
