-- The history of protocols: partitions by segments of ledgers as of the big tables, made before their rows come.

-- name: there
-- Whether a segment has its partition.
SELECT true FROM ledgerfill.history_segments WHERE first = %(first)s

-- name: register
-- It is here, its indexes are due.
INSERT INTO ledgerfill.history_segments (first) VALUES (%(first)s)

-- name: copy
-- Rows that are certain, as a worker wrote them: every column, in the table's order.
COPY ledgerfill.{part} FROM STDIN (FORMAT BINARY)

-- name: append
-- What waits, once it was sifted.
INSERT INTO ledgerfill.{part} (protocol_id, operation_id, change_index, contract_id, account, category, reason, amount,
    token_id, counterparty, muxed_id, live_until_ledger)
SELECT protocol_id, operation_id, change_index, contract_id, account, category, reason, amount,
    ledgerfill.scval_unsigned(token_id), counterparty, muxed_id, live_until_ledger
FROM pg_temp.{staged}

-- name: clear
-- Take away what has come of ledgers that are no longer kept.
DELETE FROM ledgerfill.{part} WHERE operation_id < %(below)s AND protocol_id = ANY(%(protocol_ids)s)

-- name: append_made
-- The same of a section that a plug-in in Python makes, whose rows are those of the table.
INSERT INTO ledgerfill.{part} (protocol_id, operation_id, change_index, contract_id, account, category, reason, amount,
    token_id, counterparty, muxed_id, live_until_ledger)
SELECT protocol_id, operation_id, change_index, contract_id, account, category, reason, amount,
    token_id, counterparty, muxed_id, live_until_ledger
FROM pg_temp.{staged}

-- name: due
-- Segments whose history lacks indexes.
SELECT first FROM ledgerfill.history_segments WHERE NOT indexed ORDER BY first

-- name: complete
-- Every index is there.
UPDATE ledgerfill.history_segments SET indexed = true WHERE first = %(first)s
