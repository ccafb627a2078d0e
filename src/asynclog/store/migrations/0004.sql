-- The block index (see src/asynclog/store/blocks.py): proposes where entries that match may be. Made from task_logs
-- behind the writer, a segment of 64 blocks of 128 ids at a time; removing any segment changes no answer.

CREATE TABLE log_segments (
    id       INTEGER PRIMARY KEY,                      -- the ids of its entries, divided by 8192
    first_at INTEGER NOT NULL,                         -- the earliest and the latest timestamp
    last_at  INTEGER NOT NULL,
    open     INTEGER NOT NULL                          -- a bit for each block whose texts have to be read
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
