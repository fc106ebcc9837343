-- The tables of a protocol's current state, made from its declaration; `{…}` is filled with names and columns.

-- name: any
-- Some row of a table.
SELECT 1 FROM ledgerfill.{table} LIMIT 1

-- name: create
-- The table itself. A row is changed again and again: with room for its next version on its own page the index is left alone.
CREATE TABLE ledgerfill.{table} ({columns}, PRIMARY KEY ({key})) WITH (fillfactor = 70)

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

-- name: joins
-- Whether joins may go over all of a table, until the transaction ends. Rows that wait have no statistics: the server
-- would read a table of a million rows for each chunk of twenty thousand.
SELECT set_config('enable_hashjoin', %(others)s, true), set_config('enable_mergejoin', %(others)s, true)

-- name: fold
-- The rows of `source` by key, in the order of the table's index.
SELECT {folds} FROM {source} GROUP BY {key} ORDER BY {key}

-- name: as_they_are
-- The same of rows that have each a key of its own; in their own order.
SELECT {names} FROM {source}

-- name: merge
-- Bring rows into the table; what comes to nothing goes away. Nobody else writes these rows meanwhile: that takes the
-- cursor, which this transaction has.
MERGE INTO ledgerfill.{table} AS state
USING ({folded}) AS folded ({names}) ON {same}
WHEN MATCHED AND {empty} THEN DELETE
WHEN MATCHED THEN UPDATE SET {merges}
WHEN NOT MATCHED AND ({new_empty}) IS NOT TRUE THEN INSERT ({names}) VALUES ({new})
