-- The block index also has the entries, one by one, of labels that are rare in a segment. Segments that were indexed
-- before have none and stay as they are: blocks where such a label occurs are looked through.

CREATE TABLE log_places (
    segment INTEGER NOT NULL,
    term    TEXT    NOT NULL,                          -- that of the label in log_terms
    places  TEXT    NOT NULL,                          -- a character for each entry: 256 and its id modulo 8192
    PRIMARY KEY (segment, term)
) STRICT, WITHOUT ROWID;
