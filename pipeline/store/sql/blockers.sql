-- Who in the server holds up a session: nobody shall wait for a lock without knowing whose it is.

-- name: waiting
-- The sessions of this program that wait for a lock in this database.
SELECT pid FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND application_name = 'ledgerfill' AND wait_event_type = 'Lock'

-- name: blockers
-- Who holds the locks that these sessions wait for, none of themselves; what this role may not see of them is NULL.
SELECT DISTINCT by.pid, a.usename, a.application_name, a.state, a.xact_start
FROM unnest(%(waiting)s::int4[]) AS w (pid)
CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS by (pid)
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = by.pid
WHERE by.pid <> ALL (%(waiting)s)
ORDER BY by.pid

-- name: builds
-- Indexes that are being built; of which table, not every role may see.
SELECT FROM pg_catalog.pg_stat_progress_create_index WHERE datname = current_database() LIMIT 1
