-- Store version 6: the history's indexes belong to segments, as those of the big tables do.

-- name: catalogue
-- The catalogue. One of its own: the history of a segment comes later than its ledgers, and may go later, too.
CREATE TABLE ledgerfill.history_segments (
    first   int4 PRIMARY KEY,
    indexed bool NOT NULL DEFAULT false
);
COMMENT ON TABLE ledgerfill.history_segments IS 'the pieces of state_changes, 65,536 ledgers each: which lack their indexes';
COMMENT ON COLUMN ledgerfill.history_segments.first IS 'first ledger, a multiple of 65,536';
COMMENT ON COLUMN ledgerfill.history_segments.indexed IS 'every index is there; false while a migration fills it, and until the next one where it was killed';

-- name: register
-- A partition that is here has all of its indexes.
INSERT INTO ledgerfill.history_segments (first, indexed)
SELECT substring(c.relname FROM '^state_changes_(\d+)$')::int4, true
FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass('ledgerfill.state_changes') AND c.relname ~ '^state_changes_\d+$'
