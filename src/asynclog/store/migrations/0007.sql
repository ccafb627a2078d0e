-- The block index also has runs of consonants, for searches of frequent words. What there is of it is built again.

DELETE FROM log_terms;
DELETE FROM log_blocks;
DELETE FROM log_units;
DROP TABLE log_segments;

CREATE TABLE log_segments (
    id        INTEGER PRIMARY KEY,                     -- the ids of its entries, divided by 8192
    first_at  INTEGER NOT NULL,                        -- the earliest and the latest timestamp
    last_at   INTEGER NOT NULL,
    open      INTEGER NOT NULL,                        -- a bit for each block whose texts have to be read
    counted   INTEGER NOT NULL,                        -- whether log_units has its numbers
    skeletons INTEGER NOT NULL                         -- whether log_terms has the runs of its messages' skeletons
) STRICT;
