-- Store version 4: which contracts there are, which code they run, and which protocol that is.
CREATE TABLE ledgerfill.protocols (
    id                             text PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$'),
    claims_assets                  bool        NOT NULL,
    classification_status          text        NOT NULL DEFAULT 'not_started'
        CHECK (classification_status IN ('not_started', 'in_progress', 'success', 'failed')),
    history_migration_status       text        NOT NULL DEFAULT 'not_started'
        CHECK (history_migration_status IN ('not_started', 'in_progress', 'success', 'failed')),
    current_state_migration_status text        NOT NULL DEFAULT 'not_started'
        CHECK (current_state_migration_status IN ('not_started', 'in_progress', 'success', 'failed')),
    created_at                     timestamptz NOT NULL DEFAULT now(),
    updated_at                     timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX protocols_claims_assets ON ledgerfill.protocols (claims_assets) WHERE claims_assets;
COMMENT ON TABLE ledgerfill.protocols IS 'the protocols that were set up, and how far each of their three jobs is; the jobs do not wait for each other';
COMMENT ON COLUMN ledgerfill.protocols.id IS 'of its plug-in: SEP41, SEP50, …';
COMMENT ON COLUMN ledgerfill.protocols.claims_assets IS 'Stellar Asset Contracts are of this protocol; one at most claims them';
COMMENT ON COLUMN ledgerfill.protocols.classification_status IS 'success: every contract code that the store has seen was shown to it';
COMMENT ON COLUMN ledgerfill.protocols.history_migration_status IS 'of migrate history';
COMMENT ON COLUMN ledgerfill.protocols.current_state_migration_status IS 'of migrate current-state';
COMMENT ON COLUMN ledgerfill.protocols.created_at IS 'when it was set up';
COMMENT ON COLUMN ledgerfill.protocols.updated_at IS 'when a status changed last';

CREATE TABLE ledgerfill.protocol_wasms (
    wasm_hash   bytea PRIMARY KEY CHECK (octet_length(wasm_hash) = 32),
    protocol_id text REFERENCES ledgerfill.protocols,
    spec        bytea,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX protocol_wasms_protocol_id ON ledgerfill.protocol_wasms (protocol_id) WHERE protocol_id IS NOT NULL;
COMMENT ON TABLE ledgerfill.protocol_wasms IS 'every contract code that ledgers or an archive have shown, with the verdict of the protocols that are set up';
COMMENT ON COLUMN ledgerfill.protocol_wasms.wasm_hash IS 'sha256 of the code, 32 bytes';
COMMENT ON COLUMN ledgerfill.protocol_wasms.protocol_id IS 'the protocol that claims it; NULL: none of those that are set up does';
COMMENT ON COLUMN ledgerfill.protocol_wasms.spec IS 'its custom section contractspecv0 (SEP-48), so that a protocol added later can be asked; NULL: it has none that can be read';
COMMENT ON COLUMN ledgerfill.protocol_wasms.created_at IS 'when it was seen first';

CREATE TABLE ledgerfill.contract_instances (
    contract_id bytea NOT NULL CHECK (octet_length(contract_id) = 32),
    from_ledger int4  NOT NULL,
    wasm_hash   bytea CHECK (octet_length(wasm_hash) = 32),
    name        text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (contract_id, from_ledger)
);
CREATE INDEX contract_instances_wasm_hash ON ledgerfill.contract_instances (wasm_hash);
COMMENT ON TABLE ledgerfill.contract_instances IS 'what each contract runs, a row a change: a row counts up to the contract''s next, and the first one also before';
COMMENT ON COLUMN ledgerfill.contract_instances.contract_id IS '32 bytes';
COMMENT ON COLUMN ledgerfill.contract_instances.from_ledger IS 'the ledger in which it came to this code, or in which it was seen first';
COMMENT ON COLUMN ledgerfill.contract_instances.wasm_hash IS 'its code, 32 bytes; NULL: a Stellar Asset Contract, which has none (CAP-46-06)';
COMMENT ON COLUMN ledgerfill.contract_instances.name IS 'as the contract calls itself in its METADATA then; anybody may call a contract anything';
COMMENT ON COLUMN ledgerfill.contract_instances.created_at IS 'when this was written down';

CREATE VIEW ledgerfill.protocol_contracts AS
SELECT i.contract_id, i.from_ledger, coalesce(w.protocol_id, a.id) AS protocol_id, i.wasm_hash, i.name, i.created_at
FROM ledgerfill.contract_instances i
LEFT JOIN ledgerfill.protocol_wasms w ON w.wasm_hash = i.wasm_hash
LEFT JOIN ledgerfill.protocols a ON i.wasm_hash IS NULL AND a.claims_assets
WHERE coalesce(w.protocol_id, a.id) IS NOT NULL;
COMMENT ON VIEW ledgerfill.protocol_contracts IS 'contracts of the protocols that are set up, a row for each time that one came to code of a protocol';

CREATE TABLE ledgerfill.contracts_unread (
    first int4 PRIMARY KEY,
    last  int4 NOT NULL CHECK (last >= first)
);
COMMENT ON TABLE ledgerfill.contracts_unread IS 'ledgers that came into the store before it kept contracts: setup --source reads them again';
COMMENT ON COLUMN ledgerfill.contracts_unread.first IS 'first ledger';
COMMENT ON COLUMN ledgerfill.contracts_unread.last IS 'last ledger';
INSERT INTO ledgerfill.contracts_unread (first, last) SELECT first, last FROM ledgerfill.ledger_stretches;

-- Without a default: a run of an older program, which reads no contracts, can commit nothing from here on.
ALTER TABLE ledgerfill.backfill_chunks ADD COLUMN contracts int8 NOT NULL DEFAULT 0;
ALTER TABLE ledgerfill.backfill_chunks ALTER COLUMN contracts DROP DEFAULT;
COMMENT ON COLUMN ledgerfill.backfill_chunks.contracts IS 'what its ledgers said of contracts and their code: rows, before they were merged';
