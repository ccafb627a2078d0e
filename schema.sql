-- The one schema of asynclog's SQLite database. It travels inside the wheel and creates new databases;
-- the numbered files in src/asynclog/store/migrations bring old ones to it (a test proves both ways end equal).
-- Times are INTEGER microseconds since the epoch, UTC. JSON columns hold valid JSON or NULL.

CREATE TABLE tasks (
    rank          INTEGER PRIMARY KEY AUTOINCREMENT,   -- order of creation; also the reference from counts
    id            TEXT    NOT NULL UNIQUE,
    name          TEXT    NOT NULL,
    plugin        TEXT    NOT NULL,
    account       TEXT,
    site          TEXT,
    parent_id     TEXT,
    schedule_id   TEXT,
    run_id        TEXT,
    external      INTEGER NOT NULL DEFAULT 0,
    trigger_type  TEXT    NOT NULL DEFAULT 'manual'
                  CHECK (trigger_type IN ('manual', 'schedule', 'webhook', 'db_change', 'internal_event', 'api')),
    trigger_data  TEXT,
    params        TEXT,
    status        TEXT    NOT NULL
                  CHECK (status IN ('pending', 'running', 'success', 'failed', 'cancelled', 'interrupted')),
    cancelling    INTEGER NOT NULL DEFAULT 0,
    progress      TEXT,
    result        TEXT,
    error_message TEXT,
    error_stack   TEXT,
    created_at    INTEGER NOT NULL,
    started_at    INTEGER,
    finished_at   INTEGER,
    duration      INTEGER GENERATED ALWAYS AS (finished_at - started_at) VIRTUAL,   -- microseconds
    sealed        TEXT,
    lease_until   INTEGER,                             -- external tasks: interrupted when this passes
    metadata      TEXT,
    deleted_at    INTEGER,                             -- being removed: invisible, its entries go in chunks
    last_seq      INTEGER NOT NULL DEFAULT 0,          -- kept by the writer, with the entries, in one transaction
    debug_count   INTEGER NOT NULL DEFAULT 0,
    info_count    INTEGER NOT NULL DEFAULT 0,
    warning_count INTEGER NOT NULL DEFAULT 0,
    error_count   INTEGER NOT NULL DEFAULT 0,
    dropped       INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX tasks_plugin   ON tasks (plugin, rank);
CREATE INDEX tasks_status   ON tasks (status, rank);
CREATE INDEX tasks_started  ON tasks (started_at, rank, plugin, status, account);
CREATE INDEX tasks_finished ON tasks (finished_at);
CREATE INDEX tasks_duration ON tasks (duration, rank, plugin, status, account);
CREATE INDEX tasks_parent   ON tasks (parent_id, rank) WHERE parent_id IS NOT NULL;
CREATE INDEX tasks_schedule ON tasks (schedule_id, rank) WHERE schedule_id IS NOT NULL;
CREATE INDEX tasks_account  ON tasks (account, rank) WHERE account IS NOT NULL;
CREATE INDEX tasks_deleted  ON tasks (deleted_at) WHERE deleted_at IS NOT NULL;

-- A plugin's numbers from the index alone.
CREATE INDEX tasks_outcome  ON tasks (plugin, duration, status, account, site) WHERE deleted_at IS NULL;

CREATE TABLE task_logs (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,   -- the record number; never used again
    task_id       TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    seq           INTEGER NOT NULL,
    timestamp     INTEGER NOT NULL,
    level         TEXT    NOT NULL CHECK (level = 'INFO' OR level = 'DEBUG' OR level = 'WARNING' OR level = 'ERROR'),
    source        TEXT    NOT NULL DEFAULT 'system' CHECK (length(source) BETWEEN 1 AND 64),
    stage         TEXT,
    unit          TEXT,
    step_id       TEXT,
    message       TEXT    NOT NULL,
    metadata_json TEXT,
    UNIQUE (task_id, seq)
);

-- Rare values get an index of their own; the frequent ones are found fast by reading in order.
-- Trouble is in the order of reading, so that warnings and errors together need no sorting.
CREATE INDEX task_logs_trouble      ON task_logs (id, level, timestamp) WHERE level IN ('WARNING', 'ERROR');
CREATE INDEX task_logs_task_trouble ON task_logs (task_id, seq, level) WHERE level IN ('WARNING', 'ERROR');
CREATE INDEX task_logs_unit         ON task_logs (unit, id) WHERE unit IS NOT NULL;
CREATE INDEX task_logs_step         ON task_logs (step_id, id) WHERE step_id IS NOT NULL;

-- Bounds the ids of "the last hour" across tasks; written in order, so it costs little.
CREATE INDEX task_logs_time         ON task_logs (timestamp);

-- How many entries of a task have this level, source and stage ('' for none): stats without a scan.
CREATE TABLE entry_counts (
    task_id TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    source  TEXT    NOT NULL,
    level   TEXT    NOT NULL,
    stage   TEXT    NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (task_id, source, level, stage)
) STRICT, WITHOUT ROWID;

-- The block index (see src/asynclog/store/blocks.py): proposes where entries that match may be. Made from task_logs
-- behind the writer, a segment of 64 blocks of 128 ids at a time; removing any segment changes no answer.

CREATE TABLE log_segments (
    id        INTEGER PRIMARY KEY,                     -- the ids of its entries, divided by 8192
    first_at  INTEGER NOT NULL,                        -- the earliest and the latest timestamp
    last_at   INTEGER NOT NULL,
    open      INTEGER NOT NULL,                        -- a bit for each block whose texts have to be read
    counted   INTEGER NOT NULL,                        -- whether log_units has its numbers
    skeletons INTEGER NOT NULL                         -- whether log_terms has the runs of its messages' skeletons
) STRICT;

CREATE TABLE log_blocks (
    id       INTEGER PRIMARY KEY,                      -- the ids of its entries, divided by 128
    task_id  TEXT,                                     -- NULL when there are entries of several
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    debug    INTEGER NOT NULL,                         -- how many entries of each level
    info     INTEGER NOT NULL,
    warning  INTEGER NOT NULL,
    error    INTEGER NOT NULL
) STRICT;

CREATE TABLE log_terms (
    segment  INTEGER NOT NULL,
    term     TEXT    NOT NULL,                         -- its first letter says of what it is
    blocks   INTEGER NOT NULL,                         -- a bit for each block where it occurs
    PRIMARY KEY (segment, term)
) STRICT, WITHOUT ROWID;

CREATE TABLE log_places (
    segment INTEGER NOT NULL,
    term    TEXT    NOT NULL,                          -- that of the label in log_terms
    places  TEXT    NOT NULL,                          -- a character for each entry: 256 and its id modulo 8192
    PRIMARY KEY (segment, term)
) STRICT, WITHOUT ROWID;

CREATE TABLE log_units (
    segment   INTEGER NOT NULL,
    task_id   TEXT    NOT NULL,
    stage     TEXT    NOT NULL,
    unit      TEXT    NOT NULL,
    entries   INTEGER NOT NULL,                        -- that have both
    first_seq INTEGER NOT NULL,
    PRIMARY KEY (segment, task_id, stage, unit)
) STRICT, WITHOUT ROWID;

CREATE TABLE stages (
    id            TEXT    PRIMARY KEY,
    task_id       TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    number        INTEGER NOT NULL,
    name          TEXT    NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('running', 'success', 'error', 'interrupted')),
    pending       INTEGER,
    processed     INTEGER,
    credits_used  REAL,
    started_at    INTEGER NOT NULL,
    finished_at   INTEGER,
    result        TEXT,
    error_message TEXT,
    error_stack   TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX stages_task ON stages (task_id, number);

CREATE TABLE steps (
    id            TEXT    PRIMARY KEY,
    task_id       TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    parent_id     TEXT,
    step_index    INTEGER NOT NULL,
    stage         TEXT,
    unit          TEXT,
    node_id       TEXT    NOT NULL,
    node_type     TEXT    NOT NULL,
    node_name     TEXT    NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('running', 'success', 'error', 'skipped', 'interrupted')),
    started_at    INTEGER NOT NULL,
    finished_at   INTEGER,
    duration      INTEGER GENERATED ALWAYS AS (finished_at - started_at) VIRTUAL,
    input_data    TEXT,
    output_data   TEXT,
    error_message TEXT,
    error_stack   TEXT
) STRICT;

CREATE INDEX steps_task ON steps (task_id, step_index);

CREATE TABLE trace_items (
    id        INTEGER PRIMARY KEY,                     -- the record number
    task_id   TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    timestamp INTEGER NOT NULL,
    event     TEXT    NOT NULL,
    data      TEXT
) STRICT;

CREATE INDEX trace_items_task ON trace_items (task_id, id);

CREATE TABLE gaps (
    task_id  TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    from_seq INTEGER NOT NULL,
    to_seq   INTEGER NOT NULL,
    reason   TEXT    NOT NULL,
    PRIMARY KEY (task_id, from_seq)
) STRICT, WITHOUT ROWID;

-- The first answer to each ingest batch, given again when the batch is repeated.
CREATE TABLE batches (
    task_id  TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    batch_id TEXT NOT NULL,
    answer   TEXT NOT NULL,
    PRIMARY KEY (task_id, batch_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

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

-- API keys. A key's secret is kept nowhere: only the hash of it.
CREATE TABLE api_keys (
    id           TEXT    PRIMARY KEY,
    name         TEXT    NOT NULL,
    role         INTEGER NOT NULL CHECK (role BETWEEN 1 AND 3),   -- viewer, operator, admin
    account      TEXT,                                 -- NULL: all of them
    site         TEXT,
    secret_hash  BLOB    NOT NULL,                     -- SHA-256
    created_at   INTEGER NOT NULL,
    created_by   TEXT    NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;

-- One row: what session cookies are signed with.
CREATE TABLE session_secret (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    secret BLOB    NOT NULL
) STRICT;

-- Sessions that were signed out of, until they would have ended by themselves.
CREATE TABLE ended_sessions (
    id    TEXT    PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Of each journal that this database has followed (one, unless its folder was lost) the last record that is stored here.
CREATE TABLE watermark (
    journal_id TEXT    PRIMARY KEY,
    record_id  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
