-- One chunk, one transaction: the rows, then in the chunk's turn the stretch and the chunk's record.

-- name: settings
-- Let the server notice within a minute that its client is gone, so that it ends what that left open.
SELECT set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false),
       set_config('tcp_keepalives_count', '3', false)

-- name: session
-- This session, so that another can end it: a process id alone may be another's by then.
SELECT pid, backend_start AS started FROM pg_stat_activity WHERE pid = pg_backend_pid()

-- name: end_former
-- End the session whose connection has broken, and wait until it is gone, 5 s at most.
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = %(pid)s AND backend_start = %(started)s

-- name: take_next
-- Take the stretch that begins right above the chunk, to be merged: it waits for whoever is writing it.
DELETE FROM ledgerfill.ledger_stretches WHERE first = %(last)s::int8 + 1
RETURNING previous_hash, last AS "end", last_hash AS end_hash, job, run_id, epoch, commit_id

-- name: extend
-- The compare-and-swap: the stretch that ends right below the chunk with the hash that the chunk links to now ends above it.
UPDATE ledgerfill.ledger_stretches
SET last = %(end)s, last_hash = %(end_hash)s,
    job = %(job)s, run_id = %(run_id)s, epoch = %(epoch)s, commit_id = %(commit_id)s, updated_at = now()
WHERE int8range(first, last::int8 + 1, '[]') @> %(first)s::int8 -- by the index of `stretches_apart`, however many there are
    AND last = %(first)s::int8 - 1 AND last_hash = %(previous_hash)s

-- name: begin
-- A new stretch where none ends below; the constraint `stretches_apart` refuses one that overlaps or touches another.
INSERT INTO ledgerfill.ledger_stretches (first, last, previous_hash, first_hash, last_hash, job, run_id, epoch, commit_id)
VALUES (%(first)s, %(end)s, %(previous_hash)s, %(first_hash)s, %(end_hash)s, %(job)s, %(run_id)s, %(epoch)s, %(commit_id)s)

-- name: begins
-- The first ledger of the stretch that ends with the chunk, or above it.
SELECT first FROM ledgerfill.ledger_stretches WHERE first <= %(first)s ORDER BY first DESC LIMIT 1

-- name: standing
-- What stands at the chunk's place after a lost swap, read under lock so that it means something.
-- From above, as a swap takes the stretch above before it extends the one below: so no two wait for each other.
SELECT first, last, last_hash, job, run_id
FROM ledgerfill.ledger_stretches
WHERE last >= %(first)s::int8 - 1 AND first <= %(last)s
ORDER BY first DESC
FOR UPDATE

-- name: landed
-- Whether this very commit is in the database; it is the last of the row that has its ledgers, for nothing follows unanswered.
SELECT true FROM (
    SELECT commit_id FROM ledgerfill.backfill_chunks WHERE run_id = %(run_id)s AND first <= %(first)s ORDER BY first DESC LIMIT 1) c
WHERE commit_id = %(commit_id)s

-- name: record
-- The chunk's own row, a moment before its COMMIT: `now()` would be when its copy began. One that `joins` is added to the row
-- of those right below it; one that begins with a ledger which the run has come to before, for other protocols, to that row.
-- And the run has reached its last ledger, where that is beyond what it was begun for.
WITH reached AS (
    UPDATE ledgerfill.backfill_runs SET last = %(last)s WHERE id = %(run_id)s AND last < %(last)s
), joined AS (
    UPDATE ledgerfill.backfill_chunks c SET last = %(last)s, commit_id = %(commit_id)s, last_hash = %(last_hash)s, worker = %(worker)s,
        attempts = c.attempts + %(attempts)s, transactions = c.transactions + %(transactions)s,
        operations = c.operations + %(operations)s, events = c.events + %(events)s, contracts = c.contracts + %(contracts)s,
        object_bytes = c.object_bytes + %(object_bytes)s, plain_bytes = c.plain_bytes + %(plain_bytes)s,
        row_bytes = c.row_bytes + %(row_bytes)s, committed_at = clock_timestamp(),
        timings = (SELECT jsonb_object_agg(key, coalesce(a.value::float8, 0) + coalesce(b.value::float8, 0))
            FROM jsonb_each_text(c.timings) a FULL JOIN jsonb_each_text(%(timings)s) b USING (key))
    WHERE %(joins)s AND run_id = %(run_id)s AND last = %(first)s::int8 - 1 AND timings ? 'chunks' AND first = (
        SELECT first FROM ledgerfill.backfill_chunks WHERE run_id = %(run_id)s ORDER BY first DESC LIMIT 1)
    RETURNING true
)
INSERT INTO ledgerfill.backfill_chunks (run_id, first, last, commit_id, first_hash, last_hash, worker, attempts,
    transactions, operations, events, contracts, object_bytes, plain_bytes, row_bytes, timings, committed_at)
SELECT %(run_id)s, %(first)s, %(last)s, %(commit_id)s, %(first_hash)s, %(last_hash)s, %(worker)s, %(attempts)s,
    %(transactions)s, %(operations)s, %(events)s, %(contracts)s, %(object_bytes)s, %(plain_bytes)s, %(row_bytes)s, %(timings)s,
    clock_timestamp()
WHERE NOT EXISTS (SELECT FROM joined)
ON CONFLICT (run_id, first) DO UPDATE SET last = greatest(backfill_chunks.last, excluded.last), commit_id = excluded.commit_id,
    last_hash = CASE WHEN excluded.last >= backfill_chunks.last THEN excluded.last_hash ELSE backfill_chunks.last_hash END,
    worker = excluded.worker, attempts = backfill_chunks.attempts + excluded.attempts,
    transactions = backfill_chunks.transactions + excluded.transactions,
    operations = backfill_chunks.operations + excluded.operations, events = backfill_chunks.events + excluded.events,
    contracts = backfill_chunks.contracts + excluded.contracts, object_bytes = backfill_chunks.object_bytes + excluded.object_bytes,
    plain_bytes = backfill_chunks.plain_bytes + excluded.plain_bytes, row_bytes = backfill_chunks.row_bytes + excluded.row_bytes,
    committed_at = excluded.committed_at,
    timings = (SELECT jsonb_object_agg(key, coalesce(a.value::float8, 0) + coalesce(b.value::float8, 0))
        FROM jsonb_each_text('{"chunks": 1}' || backfill_chunks.timings) a
        FULL JOIN jsonb_each_text('{"chunks": 1}' || excluded.timings) b USING (key))

-- name: copy
-- Rows as the worker wrote them: every column, in the table's order. By the segment's name, so that none is looked for a row.
COPY ledgerfill.{part} FROM STDIN (FORMAT BINARY)
