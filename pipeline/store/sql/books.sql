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
