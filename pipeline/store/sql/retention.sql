-- What falls out of the ledgers that live ingestion keeps: first out of the books, then its rows.

-- name: cut
-- Stretches that are to be cut, under lock: before any cursor and from above, as who commits takes them.
SELECT first FROM ledgerfill.ledger_stretches WHERE first < %(first)s ORDER BY first DESC FOR UPDATE

-- name: history_cursors
-- Cursors of histories and their parts, under lock: who commits one of their chunks reads the books before this
-- transaction or after it.
SELECT value FROM ledgerfill.ingest_store WHERE key ~ '^protocol_.*_history(_below)?_cursor$'
ORDER BY key COLLATE "C" -- as commits take them, whatever the database's own order is
FOR UPDATE

-- name: forget
-- Stretches that lie below the first ledger kept.
DELETE FROM ledgerfill.ledger_stretches WHERE last < %(first)s

-- name: shorten
-- The stretch that holds the first ledger kept begins with it.
UPDATE ledgerfill.ledger_stretches s SET first = l.sequence, previous_hash = l.previous_hash, first_hash = l.hash
FROM ledgerfill.ledgers l
WHERE l.sequence = %(first)s AND s.first < l.sequence AND s.last >= l.sequence

-- name: clear
-- Rows below the first ledger kept, of the segment that holds it.
DELETE FROM ledgerfill.{part} WHERE {key} < {bound}

-- name: below
-- Segments of which no ledger is kept.
SELECT first FROM ledgerfill.segments WHERE first::int8 + 65536 <= %(first)s ORDER BY first

-- name: parts
-- Those of some tables that are here.
SELECT relname FROM pg_catalog.pg_class WHERE relnamespace = 'ledgerfill'::regnamespace AND relname = ANY(%(parts)s)

-- name: history_below
-- Segments of which no history is kept, and which every cursor has passed: who is still in there finds its partition.
SELECT first FROM ledgerfill.history_segments s
WHERE first::int8 + 65536 <= %(first)s AND NOT EXISTS (
    SELECT FROM ledgerfill.ingest_store WHERE key LIKE 'protocol\_%%\_history\_cursor' AND value < s.first::int8 + 65535)
ORDER BY first

-- name: drop
-- A segment's table with all its rows.
DROP TABLE IF EXISTS ledgerfill.{part}

-- name: unregister
-- A segment that is gone.
DELETE FROM ledgerfill.segments WHERE first = %(first)s

-- name: unregister_history
-- A segment of the history that is gone.
DELETE FROM ledgerfill.history_segments WHERE first = %(first)s
