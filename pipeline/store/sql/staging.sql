-- Staging tables, a session's own: rows of a section wait there for their chunk's turn. Each commit empties them.
-- Columns as workers write them; `copy` takes the rows.

-- name: copy
-- Rows as a worker wrote them.
COPY pg_temp.{staged} FROM STDIN (FORMAT BINARY)

-- name: contract_specs
-- What a chunk or an archive has to say of contract codes.
CREATE TEMP TABLE IF NOT EXISTS {staged} (wasm_hash bytea NOT NULL, spec bytea) ON COMMIT DELETE ROWS

-- name: contract_instances
-- The same of instances.
CREATE TEMP TABLE IF NOT EXISTS {staged} (
    contract_id bytea NOT NULL, from_ledger int4 NOT NULL, wasm_hash bytea, name text) ON COMMIT DELETE ROWS
