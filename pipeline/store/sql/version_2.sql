-- Store version 2: costly indexes belong to segments, and a catalogue says which segments lack theirs.

-- name: catalogue
-- The catalogue; a partition of version 1 has every index already.
CREATE TABLE ledgerfill.segments (
    first   int4 PRIMARY KEY,
    indexed bool NOT NULL DEFAULT false,
    frozen  bool NOT NULL DEFAULT false
);
COMMENT ON TABLE ledgerfill.segments IS 'the pieces of the big tables, 65,536 ledgers each: which lack their costly indexes';
COMMENT ON COLUMN ledgerfill.segments.first IS 'first ledger, a multiple of 65,536';
COMMENT ON COLUMN ledgerfill.segments.indexed IS 'every index is there; false while a run loads it, and until the next one where it was killed';
COMMENT ON COLUMN ledgerfill.segments.frozen IS 'VACUUM (FREEZE) has seen all that it can hold'

-- name: parts
-- The partitions of a table.
SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass('ledgerfill.' || %(table)s) ORDER BY c.relname

-- name: checked
-- A row where a partition has its check already: a step that was killed has made it.
SELECT true FROM pg_catalog.pg_constraint
WHERE conrelid = to_regclass('ledgerfill.' || %(part)s) AND conname = 'holds_its_ledgers'

-- name: check
-- What attaching would look for in every row, stopping all who read.
ALTER TABLE ledgerfill.{part} ADD CONSTRAINT holds_its_ledgers CHECK ({key} IS NOT NULL AND {key} >= {low} AND {key} < {high}) NOT VALID

-- name: validate
-- Looks for it while others read and write.
ALTER TABLE ledgerfill.{part} VALIDATE CONSTRAINT holds_its_ledgers

-- name: detach
-- Its indexes become its own.
ALTER TABLE ledgerfill.{table} DETACH PARTITION ledgerfill.{part}

-- name: indexes
-- The indexes of a whole table, each with the name of the key that it serves, if any.
SELECT c.relname, o.conname
FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
LEFT JOIN pg_catalog.pg_constraint o ON o.conindid = x.indexrelid AND o.contype = 'p'
WHERE x.indrelid = to_regclass('ledgerfill.' || %(table)s)

-- name: drop_key
-- A key is dropped as a constraint.
ALTER TABLE ledgerfill.{table} DROP CONSTRAINT {part}

-- name: drop_index
-- Any other index as an index.
DROP INDEX ledgerfill.{part}

-- name: attach
-- Back it goes, with its own indexes.
ALTER TABLE ledgerfill.{table} ATTACH PARTITION ledgerfill.{part} FOR VALUES FROM ({low}) TO ({high})

-- name: uncheck
-- The partition's bounds say the same.
ALTER TABLE ledgerfill.{part} DROP CONSTRAINT holds_its_ledgers

-- name: register
-- Every segment that is here has all of its indexes.
INSERT INTO ledgerfill.segments (first, indexed)
SELECT substring(c.relname FROM '^ledgers_(\d+)$')::int4, true
FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass('ledgerfill.ledgers') AND c.relname ~ '^ledgers_\d+$'
