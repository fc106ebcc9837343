-- The store's version: one number that says which of the program's tables are there and how they are to be read.

-- name: found
-- What is there: the version table, or else how many objects stand in a schema of this name; in a store they are thousands.
SELECT t.there, CASE WHEN t.there THEN 0 ELSE (
    SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'ledgerfill') END
FROM (SELECT to_regclass('ledgerfill.store_version') IS NOT NULL AS there) t

-- name: read
-- The number; one row, or it is no version of ours.
SELECT version FROM ledgerfill.store_version

-- name: create
-- The table, with the number of a store that has nothing yet.
CREATE SCHEMA IF NOT EXISTS ledgerfill;
CREATE TABLE ledgerfill.store_version (
    only_row   bool PRIMARY KEY DEFAULT true CHECK (only_row),
    version    int4        NOT NULL,
    program    text        NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ledgerfill.store_version IS 'decides which ledgerfill can use this store';
INSERT INTO ledgerfill.store_version (version, program) VALUES (0, '')

-- name: write
-- Go from one number to the next; no row where another one stands there.
UPDATE ledgerfill.store_version SET version = %(to)s, program = %(program)s, written_at = now()
WHERE version = %(to)s - 1

-- name: try_lock
-- Take the lock of whoever changes the store's version, for this session, if it is free.
SELECT pg_try_advisory_lock(hashtextextended('ledgerfill store version', 0))

-- name: unlock
-- Give it back.
SELECT pg_advisory_unlock(hashtextextended('ledgerfill store version', 0))

-- name: no_limits
-- A step takes as long as it takes.
SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false),
    set_config('idle_in_transaction_session_timeout', '0', false)

-- name: limits
-- The session's limits, to be put back after the steps.
SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
    current_setting('idle_in_transaction_session_timeout')

-- name: put_back
-- The limits as they were.
SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false),
    set_config('idle_in_transaction_session_timeout', %s, false)
