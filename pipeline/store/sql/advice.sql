-- What a server says of its settings, for `plan`.

-- name: settings
-- Those asked for, as this session has them and people write them (`128MB`), and whether a change waits for a restart.
SELECT name, current_setting(name), context = 'postmaster' FROM pg_catalog.pg_settings WHERE name = ANY(%(names)s)

-- name: sessions
-- How many sessions the server has beside this one.
SELECT coalesce(sum(numbackends), 1)::int4 - 1 FROM pg_catalog.pg_stat_database
