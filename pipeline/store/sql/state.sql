-- The tables of a protocol's current state, made from its declaration; `{…}` is filled with names and columns.

-- name: create
-- The table itself.
CREATE TABLE ledgerfill.{table} ({columns}, PRIMARY KEY ({key}))

-- name: show
-- What people read: addresses as strkeys.
CREATE VIEW ledgerfill.{view} AS SELECT {shown} FROM ledgerfill.{table}

-- name: stage
-- Where rows wait that are about to be merged, a session's own: each with the place of the last change that it holds.
-- What is not certain is sifted by what its contract was as of its ledger.
CREATE TEMPORARY TABLE IF NOT EXISTS {staged} (operation_id int8 NOT NULL, change_index int4 NOT NULL, {columns},
    certain bool NOT NULL DEFAULT true, as_of int4 GENERATED ALWAYS AS (operation_id >> 32) STORED) ON COMMIT DELETE ROWS

-- name: standing
-- The columns of a table as it stands, in order; no row where there is none.
SELECT attname, format_type(atttypid, atttypmod), attnotnull
FROM pg_attribute
WHERE attrelid = to_regclass('ledgerfill.' || quote_ident(%(table)s)) AND attnum > 0 AND NOT attisdropped
ORDER BY attnum

-- name: merge
-- Fold the rows of `source` by key, and the outcome into the table; how many rows that wrote, and where those at nothing are.
WITH merged AS (
    INSERT INTO ledgerfill.{table} AS state ({names})
    SELECT {folds} FROM {source} GROUP BY {key}
    ON CONFLICT ({key}) DO UPDATE SET {merges}
    RETURNING state.ctid AS place, {empty} AS nothing)
SELECT count(*), array_agg(place) FILTER (WHERE nothing) FROM merged

-- name: clear
-- Take away what the merge has brought to nothing: by its place, which nobody else changes before this transaction ends.
DELETE FROM ledgerfill.{table} WHERE ctid = ANY(%(places)s::tid[])
