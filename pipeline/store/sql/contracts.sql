-- Contracts: what ledgers and archives say of them, staged and then merged into the books; and what their code is.

-- name: share
-- Whoever adds code meanwhile is seen by who sets up a protocol, and the other way round: many may add at once.
SELECT pg_advisory_xact_lock_shared(hashtextextended('ledgerfill protocols', 0))

-- name: alone
-- To set up a protocol: whatever code was being added is there afterwards.
SELECT pg_advisory_xact_lock(hashtextextended('ledgerfill protocols', 0))

-- name: merge_specs
-- Code that was never seen before.
INSERT INTO ledgerfill.protocol_wasms (wasm_hash, spec)
SELECT DISTINCT ON (wasm_hash) wasm_hash, spec FROM pg_temp.ledgerfill_contract_specs ORDER BY wasm_hash
ON CONFLICT DO NOTHING
RETURNING wasm_hash, spec

-- name: merge_instances
-- What is staged, but for what says no more than the row before it. A row counts up to the next as far as ledgers were
-- read without a gap, which is from `since` on: one before that proves nothing, for what lies between may say otherwise.
WITH staged AS (
    SELECT *, lag(from_ledger, 1, %(since)s::int4 - 1) OVER below AS before,
        lag(contract_id) OVER below IS NOT NULL AND lag(wasm_hash) OVER below IS NOT DISTINCT FROM wasm_hash AS same
    FROM pg_temp.ledgerfill_contract_instances WINDOW below AS (PARTITION BY contract_id ORDER BY from_ledger)
)
INSERT INTO ledgerfill.contract_instances (contract_id, from_ledger, wasm_hash, name)
SELECT s.contract_id, s.from_ledger, s.wasm_hash, s.name
FROM staged s
LEFT JOIN LATERAL (
    SELECT true AS there, i.wasm_hash FROM ledgerfill.contract_instances i
    WHERE i.contract_id = s.contract_id AND i.from_ledger BETWEEN s.before AND s.from_ledger
    ORDER BY i.from_ledger DESC LIMIT 1) known ON true
WHERE NOT s.same AND (known.there IS NULL OR known.wasm_hash IS DISTINCT FROM s.wasm_hash)
ORDER BY s.contract_id, s.from_ledger -- as all do it: of two jobs that bring the same, one waits for the other
ON CONFLICT DO NOTHING

-- name: set_up
-- The protocols that this store has.
SELECT id, claims_assets, classification_status, history_migration_status, current_state_migration_status
FROM ledgerfill.protocols ORDER BY id

-- name: add
-- Set up a protocol; one that is there keeps its history.
INSERT INTO ledgerfill.protocols (id, claims_assets) VALUES (%(id)s, %(claims_assets)s) ON CONFLICT (id) DO NOTHING

-- name: status
-- How far the classification of a protocol is.
UPDATE ledgerfill.protocols SET classification_status = %(status)s, updated_at = now()
WHERE id = %(id)s AND classification_status <> %(status)s

-- name: unclaimed
-- Code that no protocol has claimed so far, which may be of one that is added.
SELECT wasm_hash, spec FROM ledgerfill.protocol_wasms WHERE protocol_id IS NULL AND spec IS NOT NULL ORDER BY wasm_hash

-- name: claimed
-- Code that a protocol has claimed, which no other one may claim.
SELECT wasm_hash, spec, protocol_id FROM ledgerfill.protocol_wasms WHERE protocol_id IS NOT NULL ORDER BY wasm_hash

-- name: claim
-- The verdict.
UPDATE ledgerfill.protocol_wasms SET protocol_id = %(protocol_id)s WHERE wasm_hash = %(wasm_hash)s

-- name: seen
-- The contract that is known to run a code first, and from which ledger on.
SELECT ledgerfill.strkey('\x10'::bytea || contract_id), from_ledger -- its version byte (SEP-23)
FROM ledgerfill.contract_instances WHERE wasm_hash = %(wasm_hash)s ORDER BY from_ledger, contract_id LIMIT 1

-- name: staged
-- The first ledger that has a code, of those whose contracts wait; an archive names none.
SELECT ledger FROM pg_temp.ledgerfill_contract_specs WHERE wasm_hash = %(wasm_hash)s AND ledger IS NOT NULL ORDER BY 1 LIMIT 1

-- name: counts
-- Codes and contracts of each protocol; contracts by what they run last.
SELECT p.id,
    (SELECT count(*) FROM ledgerfill.protocol_wasms w WHERE w.protocol_id = p.id),
    (SELECT count(*) FROM ledgerfill.contract_instances i LEFT JOIN ledgerfill.protocol_wasms w ON w.wasm_hash = i.wasm_hash
     WHERE (w.protocol_id = p.id OR (i.wasm_hash IS NULL AND p.claims_assets))
       AND NOT EXISTS (SELECT FROM ledgerfill.contract_instances n
                       WHERE n.contract_id = i.contract_id AND n.from_ledger > i.from_ledger))
FROM ledgerfill.protocols p ORDER BY p.id

-- name: unseen
-- How many contracts run code that neither a ledger nor an archive has shown.
SELECT count(DISTINCT i.contract_id), count(DISTINCT i.wasm_hash) FROM ledgerfill.contract_instances i
WHERE i.wasm_hash IS NOT NULL AND NOT EXISTS (SELECT FROM ledgerfill.protocol_wasms w WHERE w.wasm_hash = i.wasm_hash)
