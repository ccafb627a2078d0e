-- The block index also has the numbers of entries by stage and unit. What there is of it is built again.

DELETE FROM log_terms;
DELETE FROM log_blocks;
DROP TABLE log_segments;

CREATE TABLE log_segments (
    id       INTEGER PRIMARY KEY,                      -- the ids of its entries, divided by 8192
    first_at INTEGER NOT NULL,                         -- the earliest and the latest timestamp
    last_at  INTEGER NOT NULL,
    open     INTEGER NOT NULL,                         -- a bit for each block whose texts have to be read
    counted  INTEGER NOT NULL                          -- whether log_units has its numbers
) STRICT;

CREATE TABLE log_units (
    segment   INTEGER NOT NULL,
    task_id   TEXT    NOT NULL,
    stage     TEXT    NOT NULL,
    unit      TEXT    NOT NULL,
    entries   INTEGER NOT NULL,                        -- that have both
    first_seq INTEGER NOT NULL,
    PRIMARY KEY (segment, task_id, stage, unit)
) STRICT, WITHOUT ROWID;
