-- One run a store for base tables, and one for each other job: session advisory locks, and who holds them.

-- name: try
-- Take the lock for this session if it is free.
SELECT pg_try_advisory_lock(hashtextextended('ledgerfill ' || %(lock)s, 0))

-- name: release
-- Give it back.
SELECT pg_advisory_unlock(hashtextextended('ledgerfill ' || %(lock)s, 0))

-- name: sign
-- Say who holds it now.
INSERT INTO ledgerfill.lock_holders AS h (lock, run_id, process_id, process_started, host, backend_id)
VALUES (%(lock)s, %(run_id)s, %(process_id)s, %(process_started)s, %(host)s, pg_backend_pid())
ON CONFLICT (lock) DO UPDATE SET run_id = excluded.run_id, process_id = excluded.process_id, since = now(),
    process_started = excluded.process_started, host = excluded.host, backend_id = excluded.backend_id

-- name: holder
-- Who holds it: whoever signed last, if that is the session that holds it; no row when it is free.
SELECT l.pid, h.run_id, h.process_id, h.process_started, h.host, h.since
FROM pg_catalog.pg_locks l
CROSS JOIN (SELECT hashtextextended('ledgerfill ' || %(lock)s, 0) AS key) k
LEFT JOIN ledgerfill.lock_holders h ON h.lock = %(lock)s AND h.backend_id = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    AND l.classid::int8 = key >> 32 & 4294967295 AND l.objid::int8 = key & 4294967295

-- name: others
-- Whether another run holds one whose name begins like one of these.
SELECT EXISTS (
    SELECT FROM ledgerfill.lock_holders h
    CROSS JOIN LATERAL (SELECT hashtextextended('ledgerfill ' || h.lock, 0) AS key) k
    JOIN pg_catalog.pg_locks l ON l.pid = h.backend_id AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.classid::int8 = key >> 32 & 4294967295 AND l.objid::int8 = key & 4294967295
        AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    WHERE h.run_id IS DISTINCT FROM %(run_id)s
        AND EXISTS (SELECT FROM unnest(%(beginnings)s::text[]) b WHERE starts_with(h.lock, b)))
