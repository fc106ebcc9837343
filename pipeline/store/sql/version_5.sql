-- Store version 5: the history of protocols, and from which ledger on each migration has counted.
ALTER TABLE ledgerfill.protocols ADD COLUMN history_from int4, ADD COLUMN current_state_from int4;
COMMENT ON COLUMN ledgerfill.protocols.history_from IS 'first ledger of migrate history; NULL: it has not begun';
COMMENT ON COLUMN ledgerfill.protocols.current_state_from IS 'first ledger of migrate current-state, whose sums began at zero there; NULL: it has not begun';

CREATE TABLE ledgerfill.state_changes (
    protocol_id       text   NOT NULL,
    operation_id      int8   NOT NULL,
    change_index      int4   NOT NULL,
    contract_id       bytea  NOT NULL,
    account           bytea  NOT NULL,
    category          int2   NOT NULL,
    reason            int2   NOT NULL,
    amount            numeric,
    token_id          numeric,
    counterparty      bytea,
    muxed_id          bytea,
    live_until_ledger int8,
    -- By operation first: what an operation or a ledger did is one stretch of it, and rows come nearly in its order.
    PRIMARY KEY (operation_id, change_index, protocol_id)
) PARTITION BY RANGE (operation_id);
-- What happened to an account. Of a contract, `events` has the index: each change belongs to one of its events.
CREATE INDEX state_changes_account ON ledgerfill.state_changes (account, operation_id);
COMMENT ON TABLE ledgerfill.state_changes IS 'the history of protocols, a row a side of each event: a transfer has two';
COMMENT ON COLUMN ledgerfill.state_changes.protocol_id IS 'of protocols';
COMMENT ON COLUMN ledgerfill.state_changes.operation_id IS 'TOID of the operation (SEP-35); with operation 0 of a transaction''s own events, fees';
COMMENT ON COLUMN ledgerfill.state_changes.change_index IS 'twice the event_index of its event, and 1 more for the second side';
COMMENT ON COLUMN ledgerfill.state_changes.contract_id IS 'the token, 32 bytes';
COMMENT ON COLUMN ledgerfill.state_changes.account IS 'whose side this is: an address, its strkey without checksum';
COMMENT ON COLUMN ledgerfill.state_changes.category IS '1 balance, 2 allowance, 3 authorization, 4 ownership';
COMMENT ON COLUMN ledgerfill.state_changes.reason IS '1 transfer, 2 mint, 3 burn, 4 clawback, 5 fee, 6 approve, 7 approve_for_all, 8 authorize, 9 deauthorize, 10 set_admin, 11 remove_admin';
COMMENT ON COLUMN ledgerfill.state_changes.amount IS 'what the balance changes by, or how much was approved; 1 and -1 for a collectible';
COMMENT ON COLUMN ledgerfill.state_changes.token_id IS 'of a collectible';
COMMENT ON COLUMN ledgerfill.state_changes.counterparty IS 'the other side: an address; of an approval who may spend';
COMMENT ON COLUMN ledgerfill.state_changes.muxed_id IS 'the XDR of the SCVal that tells the users of the account apart';
COMMENT ON COLUMN ledgerfill.state_changes.live_until_ledger IS 'last ledger of an approval';

CREATE FUNCTION ledgerfill.scval_unsigned(xdr bytea) RETURNS numeric
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT ledgerfill.xdr_number(xdr, 5, length(xdr) / 4 - 1, false)
$$;
COMMENT ON FUNCTION ledgerfill.scval_unsigned IS 'the number in an ScVal of type u32, u64, u128 or u256';

CREATE VIEW ledgerfill.state_changes_readable AS
SELECT s.protocol_id AS protocol, s.operation_id, s.change_index, l.sequence AS ledger, (s.operation_id >> 12 & 1048575)::int4 AS transaction,
       (s.operation_id & 4095)::int4 AS operation, l.closed_at, ledgerfill.strkey('\x10'::bytea || s.contract_id) AS contract,
       ledgerfill.strkey(s.account) AS account, (ARRAY['balance', 'allowance', 'authorization', 'ownership'])[s.category] AS category,
       (ARRAY['transfer', 'mint', 'burn', 'clawback', 'fee', 'approve', 'approve_for_all', 'authorize', 'deauthorize', 'set_admin',
              'remove_admin'])[s.reason] AS reason,
       s.amount, s.token_id, ledgerfill.strkey(s.counterparty) AS counterparty, ledgerfill.scval_text(s.muxed_id) AS muxed_id,
       s.live_until_ledger
FROM ledgerfill.state_changes s
JOIN ledgerfill.ledgers l ON l.sequence = (s.operation_id >> 32)::int4
    AND s.operation_id BETWEEN l.sequence::int8 << 32 AND (l.sequence::int8 << 32) + 4294967295;
COMMENT ON VIEW ledgerfill.state_changes_readable IS 'the history of protocols with strkeys, categories and reasons in words';
