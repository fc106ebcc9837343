-- One run as the books have it: its own row and its own chunks are read, nothing else of the store.

-- name: run
-- The run with the sums of its chunks; one without an end runs if it holds the lock, else it ended with its last chunk.
-- Chunks of older programs do not say how many attempts came to nothing: as many as were made again.
SELECT r.id, r.job, r.first, r.last, r.source, r.workers, r.process_id, r.host, r.version, r.started_at, r.ended_at,
    coalesce(r.outcome, CASE WHEN holds THEN 'running' ELSE 'died' END), r.error,
    c.cursor, c.chunks, c.ledgers, c.committed_at,
    extract(epoch FROM coalesce(r.ended_at, CASE WHEN holds THEN clock_timestamp() END, c.committed_at, r.started_at) - r.started_at)::float8,
    c.transactions, c.operations, c.events, c.object_bytes, c.plain_bytes, c.row_bytes, c.more_attempts, c.lost_attempts,
    (r.report -> 'stages_s' ->> 'commit')::float8
FROM (SELECT *, id = ANY(%(running)s::int8[]) AS holds FROM ledgerfill.backfill_runs WHERE id = %(id)s) r
CROSS JOIN LATERAL (
    SELECT max(last) AS cursor, coalesce(sum(chunks), 0)::int8 AS chunks, coalesce(sum(last::int8 - first + 1), 0)::int8 AS ledgers,
        max(committed_at) AS committed_at, coalesce(sum(transactions), 0)::int8 AS transactions,
        coalesce(sum(operations), 0)::int8 AS operations, coalesce(sum(events), 0)::int8 AS events,
        coalesce(sum(object_bytes), 0)::int8 AS object_bytes, coalesce(sum(plain_bytes), 0)::int8 AS plain_bytes,
        coalesce(sum(row_bytes), 0)::int8 AS row_bytes, coalesce(sum(attempts - chunks), 0)::int8 AS more_attempts,
        coalesce(sum(coalesce((timings ->> 'lost_attempts')::int8, attempts - chunks)), 0)::int8 AS lost_attempts
    FROM (SELECT *, coalesce((timings ->> 'chunks')::int8, 1) AS chunks FROM ledgerfill.backfill_chunks WHERE run_id = r.id) rows) c

-- name: stages
-- Seconds by stage, over all chunks of the run.
SELECT t.stage, sum(t.seconds::float8)
FROM ledgerfill.backfill_chunks c CROSS JOIN LATERAL jsonb_each_text(c.timings) t (stage, seconds)
WHERE c.run_id = %(id)s GROUP BY t.stage

-- name: committed
-- The ledgers of the run's chunks, each once: a migration may go over some for one protocol after another.
SELECT lower(part), upper(part) - 1 FROM (
    SELECT unnest(range_agg(int8range(first, last, '[]'))) AS part
    FROM ledgerfill.backfill_chunks WHERE run_id = %(id)s) parts
ORDER BY 1

-- name: slowest
-- The chunks that took their worker longest; of those that share a row by their mean.
SELECT first, last, chunks, worker, attempts, coalesce((timings ->> 'lost_attempts')::int8, attempts - chunks), timings
FROM (SELECT *, coalesce((timings ->> 'chunks')::int8, 1) AS chunks FROM ledgerfill.backfill_chunks WHERE run_id = %(id)s) rows
ORDER BY (timings ->> 'elapsed_s')::float8 / chunks DESC NULLS LAST, first LIMIT %(limit)s
