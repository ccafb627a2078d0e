-- Who may speak to the service.

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
