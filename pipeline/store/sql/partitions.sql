-- Partitions of the big tables: 65,536 ledgers each, named after their first.

-- name: absent
-- Which of these tables do not exist or are no partition yet.
SELECT name FROM unnest(%(names)s::text[]) AS name
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_class WHERE oid = to_regclass('ledgerfill.' || name) AND relispartition)

-- name: lock
-- One maker of partitions at a time, for the length of its transaction.
SELECT pg_advisory_xact_lock(hashtextextended('ledgerfill partitions', 0))

-- name: make
-- A table like the whole one. Attached afterwards, for CREATE TABLE … PARTITION OF would stop every reader of the whole.
CREATE TABLE ledgerfill.{part} (LIKE ledgerfill.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMMENTS)

-- name: attach
-- Gives it every index of the whole table.
ALTER TABLE ledgerfill.{table} ATTACH PARTITION ledgerfill.{part} FOR VALUES FROM ({low}) TO ({high})
