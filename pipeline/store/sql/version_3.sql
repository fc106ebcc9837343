-- Store version 3: what a run does against stalls has a row a step, and a run in progress says what it waits for.
CREATE TABLE ledgerfill.backfill_steps (
    run_id    int8        NOT NULL REFERENCES ledgerfill.backfill_runs,
    number    int4        NOT NULL,
    at        timestamptz NOT NULL,
    step      text        NOT NULL CHECK (step IN ('suspect', 'hedge', 're-dispatch', 'split', 'abort')),
    first     int4        NOT NULL,
    last      int4        NOT NULL CHECK (last >= first),
    worker    int4,
    attempt   int4        NOT NULL,
    elapsed_s float8      NOT NULL,
    why       text        NOT NULL,
    PRIMARY KEY (run_id, number)
);
COMMENT ON TABLE ledgerfill.backfill_steps IS 'one row a step against a stall; a run in which nothing is late has none';
COMMENT ON COLUMN ledgerfill.backfill_steps.run_id IS 'the run that took it';
COMMENT ON COLUMN ledgerfill.backfill_steps.number IS 'counts the steps of a run from 1; one that is missing could not be written';
COMMENT ON COLUMN ledgerfill.backfill_steps.at IS 'when it was taken, which may be long before it could be written';
COMMENT ON COLUMN ledgerfill.backfill_steps.step IS 'as the log names it';
COMMENT ON COLUMN ledgerfill.backfill_steps.first IS 'first ledger of the chunk';
COMMENT ON COLUMN ledgerfill.backfill_steps.last IS 'last ledger of the chunk';
COMMENT ON COLUMN ledgerfill.backfill_steps.worker IS 'number of the worker that had the chunk; NULL: none had it';
COMMENT ON COLUMN ledgerfill.backfill_steps.attempt IS 'of the chunk, from 1';
COMMENT ON COLUMN ledgerfill.backfill_steps.elapsed_s IS 'seconds since the attempt began';
COMMENT ON COLUMN ledgerfill.backfill_steps.why IS 'one sentence; what could steer a terminal is escaped';

-- A table of its own, with one small row while a run goes on: it is updated all the time, and neither index nor foreign
-- key may have to wade through its old versions: these lie beside it in its page, and go when that is full.
CREATE TABLE ledgerfill.backfill_now (
    run_id         int8        PRIMARY KEY REFERENCES ledgerfill.backfill_runs,
    said_at        timestamptz NOT NULL,
    ledgers_done   int4        NOT NULL,
    ledgers_wanted int4        NOT NULL,
    head           text        NOT NULL,
    waits_for      text        NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);
COMMENT ON TABLE ledgerfill.backfill_now IS 'what the run in progress has said last, every few seconds; no row when it has ended';
COMMENT ON COLUMN ledgerfill.backfill_now.run_id IS 'the run in progress';
COMMENT ON COLUMN ledgerfill.backfill_now.said_at IS 'when it said so: one that is old is a run that cannot speak, or hangs';
COMMENT ON COLUMN ledgerfill.backfill_now.ledgers_done IS 'committed by this run';
COMMENT ON COLUMN ledgerfill.backfill_now.ledgers_wanted IS 'missing when it began';
COMMENT ON COLUMN ledgerfill.backfill_now.head IS 'the chunk that comes next, and which worker has it for how long';
COMMENT ON COLUMN ledgerfill.backfill_now.waits_for IS 'one sentence: what holds the run up';
