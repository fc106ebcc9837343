-- Store version 6: the history's indexes belong to segments, as those of the big tables do, and current state has room to change.

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

-- name: words
-- A plug-in may have categories and reasons of its own, which nobody has words for: its numbers are shown.
COMMENT ON COLUMN ledgerfill.state_changes.change_index IS 'event_index of its event times the rows an event of the protocol may give (SEP-41 and SEP-50: 2), plus the side';
COMMENT ON COLUMN ledgerfill.state_changes.category IS '1 balance, 2 allowance, 3 authorization, 4 ownership; above that a plug-in''s own';
COMMENT ON COLUMN ledgerfill.state_changes.reason IS '1 transfer, 2 mint, 3 burn, 4 clawback, 5 fee, 6 approve, 7 approve_for_all, 8 authorize, 9 deauthorize, 10 set_admin, 11 remove_admin; above that a plug-in''s own';
CREATE OR REPLACE VIEW ledgerfill.state_changes_readable AS
SELECT s.protocol_id AS protocol, s.operation_id, s.change_index, l.sequence AS ledger, (s.operation_id >> 12 & 1048575)::int4 AS transaction,
       (s.operation_id & 4095)::int4 AS operation, l.closed_at, ledgerfill.strkey('\x10'::bytea || s.contract_id) AS contract,
       ledgerfill.strkey(s.account) AS account,
       coalesce((ARRAY['balance', 'allowance', 'authorization', 'ownership'])[s.category], s.category::text) AS category,
       coalesce((ARRAY['transfer', 'mint', 'burn', 'clawback', 'fee', 'approve', 'approve_for_all', 'authorize', 'deauthorize', 'set_admin',
              'remove_admin'])[s.reason], s.reason::text) AS reason,
       s.amount, s.token_id, ledgerfill.strkey(s.counterparty) AS counterparty, ledgerfill.scval_text(s.muxed_id) AS muxed_id,
       s.live_until_ledger
FROM ledgerfill.state_changes s
JOIN ledgerfill.ledgers l ON l.sequence = (s.operation_id >> 32)::int4
    AND s.operation_id BETWEEN l.sequence::int8 << 32 AND (l.sequence::int8 << 32) + 4294967295

-- name: room
-- What comes to its pages from here on leaves some.
ALTER TABLE IF EXISTS ledgerfill.{table} SET (fillfactor = 70)
