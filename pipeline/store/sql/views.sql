-- The tables as people read them in psql: strkeys, names, symbols, amounts.
-- Each joins its ledger both by number and by range of ids, so that a filter by ledger and one by id both find an index.

CREATE VIEW ledgerfill.ledgers_readable AS
SELECT sequence AS ledger, closed_at, encode(hash, 'hex') AS hash, encode(previous_hash, 'hex') AS previous_hash, protocol_version,
       transaction_count, successful_transaction_count, operation_count, event_count
FROM ledgerfill.ledgers;
COMMENT ON VIEW ledgerfill.ledgers_readable IS 'ledgers with their hashes in hex';

CREATE VIEW ledgerfill.transactions_readable AS
SELECT t.id, l.sequence AS ledger, (t.id >> 12 & 1048575)::int4 AS transaction, l.closed_at, encode(t.hash, 'hex') AS hash, t.successful,
       ledgerfill.result_name(t.result_code) AS result, t.operation_count, (t.fee_charged / 10000000::numeric)::numeric(27, 7) AS fee_charged,
       ledgerfill.account_strkey(t.source_account, t.source_muxed_id) AS source_account, ledgerfill.strkey(t.fee_account) AS fee_account
FROM ledgerfill.transactions t
JOIN ledgerfill.ledgers l ON l.sequence = (t.id >> 32)::int4
    AND t.id BETWEEN l.sequence::int8 << 32 AND (l.sequence::int8 << 32) + 4294967295;
COMMENT ON VIEW ledgerfill.transactions_readable IS 'transactions with strkeys, the result in words and the fee in lumens';

CREATE VIEW ledgerfill.operations_readable AS
SELECT o.id, l.sequence AS ledger, (o.id >> 12 & 1048575)::int4 AS transaction, (o.id & 4095)::int4 AS operation, l.closed_at,
       ledgerfill.operation_name(o.type) AS type, ledgerfill.account_strkey(o.source_account, o.source_muxed_id) AS source_account, o.body
FROM ledgerfill.operations o
JOIN ledgerfill.ledgers l ON l.sequence = (o.id >> 32)::int4
    AND o.id BETWEEN l.sequence::int8 << 32 AND (l.sequence::int8 << 32) + 4294967295;
COMMENT ON VIEW ledgerfill.operations_readable IS 'operations with strkeys and the type in words';

CREATE VIEW ledgerfill.events_readable AS
SELECT e.operation_id, e.event_index, l.sequence AS ledger, (e.operation_id >> 12 & 1048575)::int4 AS transaction,
       (e.operation_id & 4095)::int4 AS operation, l.closed_at,
       (ARRAY['before_all', 'after_transaction', 'after_all'])[e.stage + 1] AS stage, (ARRAY['system', 'contract'])[e.type + 1] AS type,
       ledgerfill.strkey('\x10'::bytea || e.contract_id) AS contract, ledgerfill.first_symbol(e.topics) AS symbol,
       ledgerfill.event_amount(e.data) AS amount, ledgerfill.topics_text(e.topics) AS topics, ledgerfill.scval_text(e.data) AS data
FROM ledgerfill.events e
JOIN ledgerfill.ledgers l ON l.sequence = (e.operation_id >> 32)::int4
    AND e.operation_id BETWEEN l.sequence::int8 << 32 AND (l.sequence::int8 << 32) + 4294967295;
COMMENT ON VIEW ledgerfill.events_readable IS 'events with strkeys, the first topic as a symbol, the amount, and all topics and data as text';
