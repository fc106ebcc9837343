-- Segments of the big tables: 65,536 ledgers each, named after their first. Their costly indexes are built when they are complete.

-- name: absent
-- Which of these segments are not here.
SELECT wanted.first FROM unnest(%(firsts)s::int4[]) AS wanted (first)
WHERE NOT EXISTS (SELECT FROM ledgerfill.segments s WHERE s.first = wanted.first) ORDER BY wanted.first

-- name: lock
-- One maker of segments at a time, for the length of its transaction.
SELECT pg_advisory_xact_lock(hashtextextended('ledgerfill segments', 0))

-- name: make
-- A table like the whole one. Attached afterwards, for CREATE TABLE … PARTITION OF would stop every reader of the whole.
-- While it is filled autovacuum freezes what has come: a page that is frozen before the next checkpoint is not logged whole.
CREATE TABLE ledgerfill.{part} (LIKE ledgerfill.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMMENTS)
WITH (autovacuum_vacuum_insert_threshold = 200000, autovacuum_vacuum_insert_scale_factor = 0, autovacuum_freeze_min_age = 0,
      autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_threshold = 2147483647)

-- name: attach
-- Gives it every index of the whole table: the cheap ones.
ALTER TABLE ledgerfill.{table} ATTACH PARTITION ledgerfill.{part} FOR VALUES FROM ({low}) TO ({high})

-- name: register
-- It is here, its costly indexes are due.
INSERT INTO ledgerfill.segments (first) VALUES (%(first)s)

-- name: due
-- Segments that lack indexes, or hold every one of their ledgers and were not frozen since the last came.
-- Where a segment is full, the highest stretch that begins at its first ledger or below reaches to its last.
SELECT first FROM ledgerfill.segments s
WHERE NOT indexed OR (NOT frozen AND s.first + 65535 <= (
    SELECT last FROM ledgerfill.ledger_stretches t WHERE t.first <= greatest(s.first, 1) ORDER BY t.first DESC LIMIT 1))
ORDER BY first

-- name: unindexed
-- Segments that lack indexes.
SELECT first FROM ledgerfill.segments WHERE NOT indexed ORDER BY first

-- name: full
-- Whether a segment holds every one of its ledgers; no row where there is no such segment.
SELECT s.first + 65535 <= (
    SELECT last FROM ledgerfill.ledger_stretches t WHERE t.first <= greatest(s.first, 1) ORDER BY t.first DESC LIMIT 1)
FROM ledgerfill.segments s WHERE s.first = %(first)s

-- name: settings
-- What nobody waits for any more ends within a second, not when it is done; a server on Windows cannot look for that.
SELECT set_config('client_connection_check_interval', CASE WHEN version() ~* 'visual c|msvc|mingw' THEN '0' ELSE '1s' END, false)

-- name: sort_memory
-- Sorting is the quicker the less of a processor's cache it takes, down to where one pass no longer merges what was sorted.
-- Of M bytes each pass merges M / 272 kB pieces of M bytes, and what an index sorts is half of its table at most.
-- The server lets nobody help who would have less than 32 MB.
SELECT set_config('maintenance_work_mem', greatest(4096, sqrt(pg_relation_size('ledgerfill.' || %(part)s) / 2 * 272.0 / 1024),
           CASE WHEN %(helpers)s::int4 > 0 THEN (%(helpers)s::int4 + 1) * 32768 END)::int8 || 'kB', false),
       set_config('max_parallel_maintenance_workers', %(helpers)s::text, false)

-- name: invalid
-- A row where an index was begun beside writers, and its session was killed or found rows twice.
SELECT true FROM pg_catalog.pg_index WHERE indexrelid = to_regclass('ledgerfill.' || quote_ident(%(index)s)) AND NOT indisvalid

-- name: discard
-- Away with it: `build` would take it for one that is there.
DROP INDEX CONCURRENTLY ledgerfill.{index}

-- name: build
-- A costly index. It reads the table once and stops nobody who reads; an index that a killed run had built stays.
CREATE {kind} IF NOT EXISTS {index} ON ledgerfill.{part} ({columns})

-- name: settle
-- Nothing of it needs to be looked at again before it changes; and what is in it, for the planner.
VACUUM (FREEZE, ANALYZE) ledgerfill.{part}

-- name: tend
-- From here on the server looks after it as after any table.
ALTER TABLE ledgerfill.{part} RESET (autovacuum_vacuum_insert_threshold, autovacuum_vacuum_insert_scale_factor,
    autovacuum_freeze_min_age, autovacuum_vacuum_cost_delay, autovacuum_analyze_threshold)

-- name: complete
-- Every index is there.
UPDATE ledgerfill.segments SET indexed = true, frozen = %(full)s WHERE first = %(first)s

-- name: no_limit
-- Writers are waited for as if they held locks; who they are is told meanwhile.
SET lock_timeout = 0

-- name: limit
-- As it was for the session.
RESET lock_timeout

-- name: try_alone
-- Be the one who completes a segment, for this session, if nobody is. Whoever waited in the server instead would have a
-- snapshot meanwhile, for whose end the building of an index beside writers waits.
SELECT pg_try_advisory_lock(hashtextextended('ledgerfill ' || %(what)s || ' of segment ' || %(first)s::int4, 0))

-- name: wait
-- A while, in the server, where it can be cancelled.
SELECT pg_sleep(0.5)

-- name: release
-- Give it back.
SELECT pg_advisory_unlock(hashtextextended('ledgerfill ' || %(what)s || ' of segment ' || %(first)s::int4, 0))
