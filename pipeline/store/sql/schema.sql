-- The tables of a new store: what the network did (ledgers, transactions, operations, events), and the program's own books.
-- Columns of the four big tables stand in the order in which the workers write binary COPY rows: never reorder them.
CREATE SCHEMA IF NOT EXISTS ledgerfill;
COMMENT ON SCHEMA ledgerfill IS 'history of one ledger network, written by the program ledgerfill';

CREATE TABLE ledgerfill.ledgers (
    sequence                     int4        NOT NULL,
    hash                         bytea       NOT NULL,
    previous_hash                bytea       NOT NULL,
    closed_at                    timestamptz NOT NULL,
    protocol_version             int4        NOT NULL,
    transaction_count            int4        NOT NULL,
    successful_transaction_count int4        NOT NULL,
    operation_count              int4        NOT NULL,
    event_count                  int4        NOT NULL,
    PRIMARY KEY (sequence)
) PARTITION BY RANGE (sequence);

CREATE TABLE ledgerfill.transactions (
    id              int8    NOT NULL,
    hash            bytea   NOT NULL,
    successful      bool    NOT NULL,
    operation_count int4    NOT NULL,
    fee_charged     int8    NOT NULL,
    source_account  bytea   NOT NULL,
    source_muxed_id numeric,
    fee_account     bytea,
    result_code     int2    NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX transactions_hash ON ledgerfill.transactions (hash);

CREATE TABLE ledgerfill.operations (
    id              int8  NOT NULL,
    type            int2  NOT NULL,
    source_account  bytea NOT NULL,
    source_muxed_id numeric,
    body            bytea NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);

CREATE TABLE ledgerfill.events (
    operation_id int8  NOT NULL,
    event_index  int4  NOT NULL,
    stage        int2,
    type         int2  NOT NULL,
    contract_id  bytea,
    topics       bytea NOT NULL,
    data         bytea NOT NULL,
    PRIMARY KEY (operation_id, event_index)
) PARTITION BY RANGE (operation_id);
CREATE INDEX events_contract ON ledgerfill.events (contract_id, operation_id);

-- The books.
CREATE TABLE ledgerfill.network (
    only_row   bool PRIMARY KEY DEFAULT true CHECK (only_row),
    passphrase text        NOT NULL,
    pinned_at  timestamptz NOT NULL DEFAULT now()
);

CREATE SEQUENCE ledgerfill.run_ids AS int8;

CREATE TABLE ledgerfill.backfill_runs (
    id         int8 PRIMARY KEY,
    job        text        NOT NULL,
    first      int4        NOT NULL,
    last       int4        NOT NULL CHECK (last >= first),
    source     text        NOT NULL,
    workers    int4        NOT NULL,
    process_id int4        NOT NULL,
    host       text        NOT NULL,
    version    text        NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    outcome    text CHECK (outcome IN ('success', 'handed_off', 'failed', 'interrupted', 'died')),
    error      text,
    report     jsonb,
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);

CREATE TABLE ledgerfill.backfill_chunks (
    run_id        int8        NOT NULL REFERENCES ledgerfill.backfill_runs,
    first         int4        NOT NULL,
    last          int4        NOT NULL,
    commit_id     uuid        NOT NULL,
    first_hash    bytea       NOT NULL,
    last_hash     bytea       NOT NULL,
    worker        int4        NOT NULL,
    attempts      int4        NOT NULL,
    transactions  int8        NOT NULL,
    operations    int8        NOT NULL,
    events        int8        NOT NULL,
    object_bytes  int8        NOT NULL,
    plain_bytes   int8        NOT NULL,
    row_bytes     int8        NOT NULL,
    timings       jsonb       NOT NULL,
    committed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, first)
);

CREATE TABLE ledgerfill.ledger_stretches (
    first         int4        PRIMARY KEY,
    last          int4        NOT NULL CHECK (last >= first),
    previous_hash bytea       NOT NULL,
    first_hash    bytea       NOT NULL,
    last_hash     bytea       NOT NULL,
    job           text        NOT NULL,
    run_id        int8        NOT NULL,
    epoch         int4        NOT NULL,
    commit_id     uuid        NOT NULL,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    -- int8 and one more at the top: two stretches may neither overlap nor touch, for neighbours are one stretch.
    CONSTRAINT stretches_apart EXCLUDE USING gist (int8range(first, last::int8 + 1, '[]') WITH &&)
);

CREATE TABLE ledgerfill.ingest_store (
    key        text PRIMARY KEY,
    value      int8        NOT NULL,
    hash       bytea,
    job        text        NOT NULL,
    run_id     int8        NOT NULL,
    epoch      int4        NOT NULL,
    commit_id  uuid        NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ledgerfill.lock_holders (
    lock            text PRIMARY KEY,
    run_id          int8        NOT NULL,
    process_id      int4        NOT NULL,
    process_started text        NOT NULL,
    host            text        NOT NULL,
    backend_id      int4        NOT NULL,
    since           timestamptz NOT NULL DEFAULT now()
);
