-- Sessions, seen from another one.

-- name: at_work
-- A session that does not wait to be told what to do, or of which the server does not note that.
SELECT FROM pg_stat_activity WHERE pid = %(pid)s AND coalesce(state, '') NOT LIKE 'idle%%'
