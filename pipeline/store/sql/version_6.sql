-- Store version 6: the history's indexes belong to segments, as those of the big tables do.

-- name: catalogue
-- Which segments have a history, and whether it lacks its indexes.
ALTER TABLE ledgerfill.segments ADD COLUMN history_indexed bool;
COMMENT ON COLUMN ledgerfill.segments.history_indexed IS 'every index of state_changes is there; false while a migration fills it; NULL: it has no history'

-- name: register
-- A partition that is here has all of its indexes.
UPDATE ledgerfill.segments SET history_indexed = true
WHERE to_regclass('ledgerfill.state_changes_' || first) IS NOT NULL
