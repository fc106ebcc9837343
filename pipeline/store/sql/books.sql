-- The runs and their chunks.

-- name: new_id
-- A number that no other run has.
SELECT nextval('ledgerfill.run_ids')

-- name: start
-- A run begins.
INSERT INTO ledgerfill.backfill_runs (id, job, first, last, source, workers, process_id, host, version)
VALUES (%(id)s, %(job)s, %(first)s, %(last)s, %(source)s, %(workers)s, %(process_id)s, %(host)s, %(version)s)

-- name: running
-- The runs that hold a lock.
SELECT h.run_id
FROM ledgerfill.lock_holders h
CROSS JOIN LATERAL (SELECT hashtextextended('ledgerfill ' || h.lock, 0) AS key) k
JOIN pg_catalog.pg_locks l ON l.pid = h.backend_id AND l.classid::int8 = key >> 32 & 4294967295 AND l.objid::int8 = key & 4294967295
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())

-- name: mark_died
-- Runs of this job that ended without saying so: they hold no lock. Their last chunk was their highest.
UPDATE ledgerfill.backfill_runs r
SET outcome = 'died', ended_at = coalesce(
    (SELECT committed_at FROM ledgerfill.backfill_chunks c WHERE c.run_id = r.id ORDER BY c.first DESC LIMIT 1), r.started_at)
WHERE outcome IS NULL AND job = %(job)s AND id <> %(id)s AND id <> ALL(%(running)s)

-- name: forget_now
-- What runs that have ended said last.
DELETE FROM ledgerfill.backfill_now n USING ledgerfill.backfill_runs r WHERE r.id = n.run_id AND r.outcome IS NOT NULL

-- name: end
-- A run ends, and waits for nothing any more.
WITH said AS (DELETE FROM ledgerfill.backfill_now WHERE run_id = %(id)s)
UPDATE ledgerfill.backfill_runs SET ended_at = now(), outcome = %(outcome)s, error = %(error)s, report = %(report)s
WHERE id = %(id)s

-- name: runs
-- The newest runs and those that are running, with what they have committed; one without an end runs if it holds the lock.
-- A run that could report has its sums there; the chunks of another are counted: several may share a row. Commits ascend: the highest chunk is the last.
SELECT r.id, r.job, r.first, r.last, r.source, r.workers, r.process_id, r.host, r.version, r.started_at, r.ended_at,
    coalesce(r.outcome, CASE WHEN r.id = ANY(%(running)s::int8[]) THEN 'running' ELSE 'died' END), r.error,
    newest.last, coalesce((r.report ->> 'chunks')::int8, counted.chunks), coalesce((r.report ->> 'ledgers')::int8, counted.ledgers),
    newest.committed_at
FROM (
    (SELECT * FROM ledgerfill.backfill_runs ORDER BY id DESC LIMIT least(%(limit)s, 2147483647))
    UNION
    SELECT * FROM ledgerfill.backfill_runs WHERE id = ANY(%(running)s::int8[]) AND outcome IS NULL) r
LEFT JOIN LATERAL (
    SELECT last, committed_at FROM ledgerfill.backfill_chunks WHERE run_id = r.id ORDER BY first DESC LIMIT 1) newest ON true
CROSS JOIN LATERAL (
    SELECT coalesce(sum(coalesce((timings ->> 'chunks')::int8, 1)), 0)::int8 AS chunks,
        coalesce(sum(last - first + 1), 0)::int8 AS ledgers
    FROM ledgerfill.backfill_chunks WHERE run_id = r.id AND r.report IS NULL) counted
ORDER BY r.id DESC

-- name: soon
-- What this session commits is on disk soon after: a word that a crash of the server takes along is said anew anyway.
SET synchronous_commit = off

-- name: for_good
-- All the same in this transaction as anybody's.
SET LOCAL synchronous_commit TO DEFAULT

-- name: add_step
-- A step, once, however often it is sent.
INSERT INTO ledgerfill.backfill_steps (run_id, number, at, step, first, last, worker, attempt, elapsed_s, why)
VALUES (%(run_id)s, %(number)s, clock_timestamp() - make_interval(secs => %(age_s)s), %(step)s, %(first)s, %(last)s,
    %(worker)s, %(attempt)s, %(elapsed_s)s, %(why)s)
ON CONFLICT DO NOTHING

-- name: say
-- What a run waits for; in place, for nothing indexed changes.
INSERT INTO ledgerfill.backfill_now (run_id, said_at, ledgers_done, ledgers_wanted, head, waits_for)
VALUES (%(run_id)s, clock_timestamp() - make_interval(secs => %(age_s)s), %(ledgers_done)s, %(ledgers_wanted)s, %(head)s,
    %(waits_for)s)
ON CONFLICT (run_id) DO UPDATE SET said_at = EXCLUDED.said_at, ledgers_done = EXCLUDED.ledgers_done,
    ledgers_wanted = EXCLUDED.ledgers_wanted, head = EXCLUDED.head, waits_for = EXCLUDED.waits_for

-- name: said
-- What a run has said last, and how many seconds ago, by the clock that wrote it.
SELECT said_at, extract(epoch FROM clock_timestamp() - said_at)::float8, ledgers_done, ledgers_wanted, head, waits_for
FROM ledgerfill.backfill_now WHERE run_id = %(run_id)s

-- name: steps
-- The newest steps of a run, or all of them, in order.
SELECT at, step, ARRAY[first, last], worker, attempt, elapsed_s, why
FROM (SELECT * FROM ledgerfill.backfill_steps WHERE run_id = %(run_id)s ORDER BY number DESC LIMIT %(newest)s) s
ORDER BY number

-- name: sizes
-- Bytes of the big tables on disk with their indexes, by table: as the last VACUUM counted them, or measured where none was yet.
-- To measure every file would take a second where there are segments of 64 million ledgers.
WITH parts AS (
    SELECT c.relname, p.oid, p.relpages, p.reltoastrelid, p.reltuples >= 0 AS counted
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_inherits i ON i.inhparent = c.oid
    JOIN pg_catalog.pg_class p ON p.oid = i.inhrelid
    WHERE c.relnamespace = 'ledgerfill'::regnamespace AND c.relkind = 'p'
), pages AS (
    SELECT relname, relpages FROM parts WHERE counted
    UNION ALL
    SELECT p.relname, t.relpages FROM parts p JOIN pg_catalog.pg_class t ON t.oid = p.reltoastrelid WHERE counted
    UNION ALL
    SELECT p.relname, x.relpages FROM parts p
    JOIN pg_catalog.pg_index i ON i.indrelid = p.oid
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    WHERE counted
), sizes AS (
    SELECT relname, relpages * current_setting('block_size')::int8 AS bytes FROM pages
    UNION ALL
    SELECT relname, pg_total_relation_size(oid) FROM parts WHERE NOT counted
)
SELECT c.relname, coalesce(sum(s.bytes), 0)::int8
FROM pg_catalog.pg_class c LEFT JOIN sizes s USING (relname)
WHERE c.relnamespace = 'ledgerfill'::regnamespace AND c.relkind = 'p'
GROUP BY c.relname
