-- The history of protocols: partitions by segments of ledgers as of the big tables, made before their rows come.

-- name: there
-- Whether a segment has its partition. By the catalogue as it is now: `to_regclass` may remember that there was none.
SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = 'ledgerfill'::regnamespace AND relname = %(part)s)

-- name: make
-- A table like the whole one, attached afterwards: CREATE TABLE … PARTITION OF would stop every reader of the whole.
CREATE TABLE ledgerfill.{part} (LIKE ledgerfill.state_changes INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMMENTS)

-- name: attach
-- Gives it the indexes of the whole table.
ALTER TABLE ledgerfill.state_changes ATTACH PARTITION ledgerfill.{part} FOR VALUES FROM ({low}) TO ({high})

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
