-- Staging tables, a session's own: rows of a section wait there for their chunk's turn. Each commit empties them.
-- Columns as workers write them; `copy` takes the rows. What is `alone` is the one row of its chunk with its key.

-- name: copy
-- Rows as a worker wrote them.
COPY pg_temp.{staged} FROM STDIN (FORMAT BINARY)

-- name: contract_specs
-- What a chunk or an archive has to say of contract codes; `ledger`: the first of the chunk that has it.
CREATE TEMP TABLE IF NOT EXISTS {staged} (wasm_hash bytea NOT NULL, spec bytea, ledger int4) ON COMMIT DELETE ROWS

-- name: contract_instances
-- The same of instances.
CREATE TEMP TABLE IF NOT EXISTS {staged} (
    contract_id bytea NOT NULL, from_ledger int4 NOT NULL, wasm_hash bytea, name text) ON COMMIT DELETE ROWS

-- name: state_changes
-- The history of a protocol, what is certain of it aside.
CREATE TEMP TABLE IF NOT EXISTS {staged} (
    protocol_id text NOT NULL, operation_id int8 NOT NULL, change_index int4 NOT NULL,
    contract_id bytea NOT NULL, account bytea NOT NULL, category int2 NOT NULL, reason int2 NOT NULL, amount numeric,
    token_id bytea, counterparty bytea, muxed_id bytea, live_until_ledger int8,
    as_of int4 GENERATED ALWAYS AS (operation_id >> 32) STORED, certain bool GENERATED ALWAYS AS (false) STORED) ON COMMIT DELETE ROWS

-- name: sep41_balances
-- What balances changed by.
CREATE TEMP TABLE IF NOT EXISTS {staged} (
    certain bool NOT NULL, contract_id bytea NOT NULL, account bytea NOT NULL, as_of int4 NOT NULL,
    delta numeric NOT NULL, last_ledger int4 NOT NULL, alone bool NOT NULL) ON COMMIT DELETE ROWS

-- name: sep41_allowances
-- What was approved last.
CREATE TEMP TABLE IF NOT EXISTS {staged} (
    certain bool NOT NULL, contract_id bytea NOT NULL, owner bytea NOT NULL, spender bytea NOT NULL, as_of int4 NOT NULL,
    amount numeric NOT NULL, live_until_ledger int8 NOT NULL, last_ledger int4 NOT NULL, operation_id int8 NOT NULL,
    event_index int4 NOT NULL, alone bool NOT NULL) ON COMMIT DELETE ROWS

-- name: sep50_tokens
-- Who owned what last.
CREATE TEMP TABLE IF NOT EXISTS {staged} (
    certain bool NOT NULL, contract_id bytea NOT NULL, token_id bytea NOT NULL, as_of int4 NOT NULL, owner bytea,
    last_ledger int4 NOT NULL, operation_id int8 NOT NULL, event_index int4 NOT NULL, alone bool NOT NULL) ON COMMIT DELETE ROWS

-- name: token_events
-- How many events each contract has emitted that are a token's if it is one.
CREATE TEMP TABLE IF NOT EXISTS {staged} (
    contract_id bytea NOT NULL, as_of int4 NOT NULL, events int8 NOT NULL,
    certain bool GENERATED ALWAYS AS (false) STORED) ON COMMIT DELETE ROWS

-- name: plug_in_changes
-- The history that a plug-in in Python makes, as the table of history has it.
CREATE TEMP TABLE IF NOT EXISTS {staged} (
    protocol_id text NOT NULL, operation_id int8 NOT NULL, change_index int4 NOT NULL, contract_id bytea NOT NULL,
    account bytea NOT NULL, category int2 NOT NULL, reason int2 NOT NULL, amount numeric, token_id numeric,
    counterparty bytea, muxed_id bytea, live_until_ledger int8,
    as_of int4 GENERATED ALWAYS AS (operation_id >> 32) STORED, certain bool GENERATED ALWAYS AS (false) STORED) ON COMMIT DELETE ROWS
