-- Cursors of protocols: the last ledger whose data is in, by who wrote it. Only commits of chunks move one.

-- name: read
-- Those of some cursors that are here.
SELECT key, value, hash, job, run_id FROM ledgerfill.ingest_store WHERE key = ANY(%(keys)s) ORDER BY key

-- name: make
-- A cursor that stands right below where it begins; one that is here stays as it is.
INSERT INTO ledgerfill.ingest_store (key, value, hash, job, run_id, epoch, commit_id)
VALUES (%(key)s, %(value)s, %(hash)s, %(job)s, %(run_id)s, 0, gen_random_uuid())
ON CONFLICT (key) DO NOTHING

-- name: protocol
-- How far a protocol is: its classification, and where this migration of it began.
SELECT classification_status, {begins} FROM ledgerfill.protocols WHERE id = %(id)s

-- name: spans
-- What the data of each protocol covers: from where its migration began, of histories not what is no longer kept.
SELECT id, kind, greatest(begins, CASE kind WHEN 'history' THEN %(oldest)s::int4 END), value
FROM ledgerfill.protocols
CROSS JOIN LATERAL (VALUES ('history', history_from), ('current_state', current_state_from)) AS migrations (kind, begins)
JOIN ledgerfill.ingest_store ON key = 'protocol_' || id || '_' || kind || '_cursor'
WHERE begins IS NOT NULL

-- name: late
-- Contracts that came to be known in this transaction, of protocols whose data goes further already. Stellar Asset
-- Contracts are not late: their events prove what they are.
SELECT p.id, kind, c.value, count(DISTINCT i.contract_id)
FROM ledgerfill.protocols p
CROSS JOIN LATERAL (VALUES ('history', history_from), ('current_state', current_state_from)) AS kinds (kind, begins)
JOIN ledgerfill.ingest_store c ON c.key = 'protocol_' || p.id || '_' || kind || '_cursor' AND c.value >= begins
JOIN ledgerfill.protocol_wasms w ON w.protocol_id = p.id
JOIN ledgerfill.contract_instances i ON i.wasm_hash = w.wasm_hash
WHERE greatest(i.created_at, w.created_at) = now() -- as both are written down
  AND (i.from_ledger <= c.value
       OR NOT EXISTS (SELECT FROM ledgerfill.contract_instances b
                      WHERE b.contract_id = i.contract_id AND b.from_ledger < i.from_ledger))
GROUP BY 1, 2, 3 ORDER BY 1, 2 DESC

-- name: begin
-- A migration is under way; where it begins stays as it was said first.
UPDATE ledgerfill.protocols SET {begins} = coalesce({begins}, %(first)s), {status} = 'in_progress', updated_at = now()
WHERE id = %(id)s

-- name: say
-- How far the migration of a protocol is.
UPDATE ledgerfill.protocols SET {status} = %(status)s, updated_at = now() WHERE id = %(id)s AND {status} <> %(status)s

-- name: swap
-- The compare-and-swap: a cursor right below the chunk, at the hash that the chunk links to, now stands at its last ledger.
UPDATE ledgerfill.ingest_store
SET value = %(last)s, hash = %(last_hash)s,
    job = %(job)s, run_id = %(run_id)s, epoch = %(epoch)s, commit_id = %(commit_id)s, updated_at = now()
WHERE key = %(key)s AND value = %(first)s::int8 - 1 AND (hash IS NULL OR hash = %(previous_hash)s)

-- name: take
-- Cursors, read under lock so that they mean something: after a lost swap, or before they jump.
SELECT key, value, hash, job, run_id FROM ledgerfill.ingest_store WHERE key = ANY(%(keys)s)
ORDER BY key COLLATE "C" -- as commits take them, whatever the database's own order is
FOR UPDATE
