-- Which rows of `ledgers` are there, whatever the books say.

-- name: booked
-- The lowest and the highest ledger by the books.
SELECT min(first), max(last) FROM ledgerfill.ledger_stretches

-- name: lowest
-- The lowest ledger with a row in a range; NULL where there is none.
SELECT min(sequence) FROM ledgerfill.ledgers WHERE sequence BETWEEN %(first)s AND %(last)s

-- name: highest
-- The highest ledger with a row in a range; NULL where there is none.
SELECT max(sequence) FROM ledgerfill.ledgers WHERE sequence BETWEEN %(first)s AND %(last)s

-- name: count
-- How many ledgers of a range have a row: a fifth of the time that it takes to compare neighbours.
SELECT count(*) FROM ledgerfill.ledgers WHERE sequence BETWEEN %(first)s AND %(last)s

-- name: holes
-- The ledgers of a range without a row, above its first row, ascending. One pass over the key, segment after segment.
SELECT sequence + 1, above - 1
FROM (
    SELECT sequence, lead(sequence::int8, 1, %(last)s::int8 + 1) OVER (ORDER BY sequence) AS above
    FROM ledgerfill.ledgers WHERE sequence BETWEEN %(first)s AND %(last)s) neighbours
WHERE above > sequence + 1::int8
ORDER BY sequence

-- name: stretches
-- The stretches that hold some of a range of ledgers, ascending; nobody changes them before this transaction ends.
SELECT first, last FROM ledgerfill.ledger_stretches
WHERE int8range(first, last::int8 + 1) && int8range(%(first)s::int8, %(last)s::int8 + 1) ORDER BY first FOR UPDATE

-- name: cut
-- A stretch without some of its ledgers: what is left below and above them, with the hashes of the rows beside them.
-- Whoever wrote the stretch has written these parts.
WITH cut AS (DELETE FROM ledgerfill.ledger_stretches WHERE first = %(stretch)s RETURNING *)
INSERT INTO ledgerfill.ledger_stretches
    (first, last, previous_hash, first_hash, last_hash, job, run_id, epoch, commit_id, updated_at)
SELECT c.first, %(first)s::int4 - 1, c.previous_hash, c.first_hash, l.hash, c.job, c.run_id, c.epoch, c.commit_id, now()
FROM cut c JOIN ledgerfill.ledgers l ON l.sequence = %(first)s::int8 - 1 WHERE c.first < %(first)s
UNION ALL
SELECT l.sequence, c.last, l.previous_hash, l.hash, c.last_hash, c.job, c.run_id, c.epoch, c.commit_id, now()
FROM cut c JOIN ledgerfill.ledgers l ON l.sequence = %(last)s::int8 + 1 WHERE c.last > %(last)s

-- name: clear_transactions
-- What is left of ledgers that have no row.
DELETE FROM ledgerfill.transactions WHERE id >= %(first)s::int8 << 32 AND id < (%(last)s::int8 + 1) << 32

-- name: clear_operations
-- Likewise.
DELETE FROM ledgerfill.operations WHERE id >= %(first)s::int8 << 32 AND id < (%(last)s::int8 + 1) << 32

-- name: clear_events
-- Likewise.
DELETE FROM ledgerfill.events WHERE operation_id >= %(first)s::int8 << 32 AND operation_id < (%(last)s::int8 + 1) << 32

-- name: thaw
-- Their segments are to be frozen anew when they are full again.
UPDATE ledgerfill.segments SET frozen = false WHERE first::int8 + 65535 >= %(first)s AND first <= %(last)s
