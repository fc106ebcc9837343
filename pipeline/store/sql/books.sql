-- The runs and their chunks.

-- name: new_id
-- A number that no other run has.
SELECT nextval('ledgerfill.run_ids')

-- name: start
-- A run begins.
INSERT INTO ledgerfill.backfill_runs (id, job, first, last, source, workers, process_id, host, version)
VALUES (%(id)s, %(job)s, %(first)s, %(last)s, %(source)s, %(workers)s, %(process_id)s, %(host)s, %(version)s)

-- name: mark_died
-- Runs that ended without saying so: whoever holds their lock now knows that they are gone.
UPDATE ledgerfill.backfill_runs r
SET outcome = 'died', ended_at = coalesce(
    (SELECT max(committed_at) FROM ledgerfill.backfill_chunks c WHERE c.run_id = r.id), r.started_at)
WHERE outcome IS NULL AND job = %(job)s AND id <> %(id)s

-- name: end
-- A run ends.
UPDATE ledgerfill.backfill_runs SET ended_at = now(), outcome = %(outcome)s, error = %(error)s, report = %(report)s
WHERE id = %(id)s

-- name: runs
-- The newest runs, with what they have committed; one without an end runs if it holds the lock.
SELECT r.id, r.job, r.first, r.last, r.source, r.workers, r.process_id, r.host, r.version, r.started_at, r.ended_at,
    coalesce(r.outcome, CASE WHEN r.id = %(holder)s::int8 THEN 'running' ELSE 'died' END), r.error,
    c.cursor, c.chunks, c.ledgers, c.transactions, c.operations, c.events, c.object_bytes, c.plain_bytes, c.row_bytes, c.committed_at
FROM (SELECT * FROM ledgerfill.backfill_runs ORDER BY id DESC LIMIT %(limit)s) r
CROSS JOIN LATERAL (
    SELECT max(last) AS cursor, count(*) AS chunks, coalesce(sum(last - first + 1), 0)::int8 AS ledgers,
        coalesce(sum(transactions), 0)::int8 AS transactions, coalesce(sum(operations), 0)::int8 AS operations,
        coalesce(sum(events), 0)::int8 AS events, coalesce(sum(object_bytes), 0)::int8 AS object_bytes,
        coalesce(sum(plain_bytes), 0)::int8 AS plain_bytes, coalesce(sum(row_bytes), 0)::int8 AS row_bytes,
        max(committed_at) AS committed_at
    FROM ledgerfill.backfill_chunks WHERE run_id = r.id) c
ORDER BY r.id DESC

-- name: sizes
-- Bytes of the big tables on disk with their indexes, by table.
SELECT c.relname, coalesce(sum(pg_total_relation_size(t.relid)), 0)::int8
FROM pg_catalog.pg_class c CROSS JOIN LATERAL pg_partition_tree(c.oid) t
WHERE c.relnamespace = 'ledgerfill'::regnamespace AND c.relkind = 'p'
GROUP BY c.relname
