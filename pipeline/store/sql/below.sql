-- What lies below histories: ledgers that came later than the migration began, and are filled in as a part of their own.
-- A part has two rows of ingest_store, made and removed together: its cursor, and its first ledger.

-- name: found
-- Histories above ledgers of the same stretch: where this and where the history begins, and the part that is under way.
SELECT p.id, s.first, s.previous_hash, p.history_from, part.value, c.value
FROM ledgerfill.protocols p
JOIN ledgerfill.ledger_stretches s ON s.first < p.history_from AND s.last >= p.history_from - 1
LEFT JOIN ledgerfill.ingest_store part ON part.key = 'protocol_' || p.id || '_history_below_from'
LEFT JOIN ledgerfill.ingest_store c ON c.key = 'protocol_' || p.id || '_history_below_cursor'
WHERE p.id = ANY(%(ids)s)
ORDER BY p.id

-- name: forget
-- A part of which somebody has removed one row is none: how far it was nobody knows.
DELETE FROM ledgerfill.ingest_store
WHERE key IN ('protocol_' || %(id)s || '_history_below_from', 'protocol_' || %(id)s || '_history_below_cursor')

-- name: clear
-- Away with what an earlier history has left of a part's ledgers: its table could not be dropped as they fell out.
DELETE FROM ledgerfill.state_changes
WHERE protocol_id = %(id)s AND operation_id >= %(first)s::int8 << 32 AND operation_id < %(past)s::int8 << 32
    AND EXISTS (SELECT FROM ledgerfill.protocols WHERE id = %(id)s AND history_from = %(past)s)

-- name: keep
-- Histories, of some protocols or of all, and their parts begin no lower than what is kept: ledgers that are filled in
-- below once more have none. Who does this has the cursors.
WITH part AS (
    UPDATE ledgerfill.ingest_store SET value = %(first)s, updated_at = now()
    WHERE value < %(first)s AND key IN (SELECT 'protocol_' || id || '_history_below_from' FROM ledgerfill.protocols
        WHERE %(ids)s::text[] IS NULL OR id = ANY(%(ids)s))
)
UPDATE ledgerfill.protocols SET history_from = %(first)s
WHERE history_from < %(first)s AND (%(ids)s::text[] IS NULL OR id = ANY(%(ids)s))

-- name: jump
-- Cursors of a history and its part that stand below where these begin now stand right below that: what they would have
-- to pass is no longer kept.
UPDATE ledgerfill.ingest_store c
SET value = begins - 1, hash = (SELECT previous_hash FROM ledgerfill.ledger_stretches WHERE first = begins),
    job = %(job)s, run_id = %(run_id)s, commit_id = gen_random_uuid(), updated_at = now()
FROM (
    SELECT 'protocol_' || id || '_history_cursor', history_from FROM ledgerfill.protocols WHERE id = %(id)s
    UNION ALL
    SELECT 'protocol_' || %(id)s || '_history_below_cursor', value FROM ledgerfill.ingest_store
    WHERE key = 'protocol_' || %(id)s || '_history_below_from'
) b (cursor, begins)
WHERE c.key = b.cursor AND c.value < begins - 1

-- name: leave
-- A part of which nothing is kept is over.
DELETE FROM ledgerfill.ingest_store c USING ledgerfill.protocols p, ledgerfill.ingest_store part
WHERE p.id = %(id)s AND part.key = 'protocol_' || p.id || '_history_below_from' AND part.value >= p.history_from
    AND c.key IN (part.key, 'protocol_' || p.id || '_history_below_cursor')

-- name: join
-- Parts that have come up to their histories are these histories' beginning from now on.
WITH arrived AS (
    DELETE FROM ledgerfill.ingest_store c USING ledgerfill.protocols p
    WHERE p.id = ANY(%(ids)s) AND c.key = 'protocol_' || p.id || '_history_below_cursor' AND c.value = p.history_from - 1
    RETURNING p.id
), part AS (
    DELETE FROM ledgerfill.ingest_store f USING arrived a WHERE f.key = 'protocol_' || a.id || '_history_below_from'
    RETURNING a.id, f.value
)
UPDATE ledgerfill.protocols p SET history_from = part.value, updated_at = now() FROM part WHERE p.id = part.id
