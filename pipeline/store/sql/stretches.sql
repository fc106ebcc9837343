-- Which ledgers are here. Only the committer changes it.

-- name: near
-- The stretches that overlap a range of ledgers or touch it, from below; by the index of `stretches_apart`.
SELECT first, last, previous_hash, first_hash, last_hash, job, run_id, updated_at
FROM ledgerfill.ledger_stretches
WHERE int8range(first, last::int8 + 1, '[]') && int8range(%(first)s::int8, %(last)s::int8 + 1, '[]')
ORDER BY first

-- name: hashes
-- The hashes of those of some ledgers that are here.
SELECT sequence, hash FROM ledgerfill.ledgers WHERE sequence = ANY(%(ledgers)s::int4[])

-- name: all
-- Every stretch, from below.
SELECT first, last, previous_hash, first_hash, last_hash, job, run_id, updated_at
FROM ledgerfill.ledger_stretches
ORDER BY first

-- name: oldest
-- The lowest ledger that is here.
SELECT coalesce(min(first), 0) FROM ledgerfill.ledger_stretches
