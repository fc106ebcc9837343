-- Rows of tokens that wait for their chunk's turn: which of them count, and how they look to the merge of state.

-- name: sift
-- Leave out what only looked like a token: the contract was not of the protocol as of its ledger. What it ran then is
-- what was seen of it last at or before that ledger, else what was seen first. Each contract is looked up once a ledger.
WITH asked AS MATERIALIZED (SELECT DISTINCT contract_id, as_of FROM pg_temp.{staged} WHERE NOT certain),
others AS MATERIALIZED (
    SELECT contract_id, as_of FROM asked a
    WHERE NOT EXISTS (
        SELECT FROM (
            (SELECT i.wasm_hash FROM ledgerfill.contract_instances i
             WHERE i.contract_id = a.contract_id AND i.from_ledger <= a.as_of ORDER BY i.from_ledger DESC LIMIT 1)
            UNION ALL
            (SELECT i.wasm_hash FROM ledgerfill.contract_instances i
             WHERE i.contract_id = a.contract_id AND i.from_ledger > a.as_of ORDER BY i.from_ledger LIMIT 1)
            LIMIT 1) ran
        JOIN ledgerfill.protocols p ON p.id = %(protocol_id)s
        LEFT JOIN ledgerfill.protocol_wasms w ON w.wasm_hash = ran.wasm_hash
        WHERE w.protocol_id = p.id OR (ran.wasm_hash IS NULL AND p.claims_assets)))
DELETE FROM pg_temp.{staged} s USING others o
WHERE NOT s.certain AND s.contract_id = o.contract_id AND s.as_of = o.as_of
{returning}

-- name: repeated
-- Whether some key has several rows.
SELECT EXISTS (SELECT FROM pg_temp.{staged} WHERE NOT alone)

-- name: sep41_balances
-- As the table of state has them.
(SELECT contract_id, account, delta AS balance, last_ledger FROM pg_temp.{staged} WHERE alone = {alone}) AS waiting

-- name: sep41_allowances
-- The same; by operation and event, the last decides.
(SELECT operation_id, event_index AS change_index, contract_id, owner, spender, amount, live_until_ledger, last_ledger
 FROM pg_temp.{staged} WHERE alone = {alone}) AS waiting

-- name: sep50_tokens
-- The same.
(SELECT operation_id, event_index AS change_index, contract_id, ledgerfill.scval_unsigned(token_id) AS token_id, owner,
    last_ledger FROM pg_temp.{staged} WHERE alone = {alone}) AS waiting
