-- What `\d+` shows of each table and column.
COMMENT ON TABLE ledgerfill.ledgers IS 'one row a closed ledger; partitions of 65,536 ledgers, named after their first';
COMMENT ON COLUMN ledgerfill.ledgers.sequence IS 'number of the ledger';
COMMENT ON COLUMN ledgerfill.ledgers.hash IS 'sha256 of its header, 32 bytes';
COMMENT ON COLUMN ledgerfill.ledgers.previous_hash IS 'hash of ledger sequence - 1, as its header names it';
COMMENT ON COLUMN ledgerfill.ledgers.closed_at IS 'close time, to the second';
COMMENT ON COLUMN ledgerfill.ledgers.protocol_version IS 'ledgerVersion of the header';
COMMENT ON COLUMN ledgerfill.ledgers.transaction_count IS 'rows in transactions, failed ones included';
COMMENT ON COLUMN ledgerfill.ledgers.successful_transaction_count IS 'rows in transactions that are successful';
COMMENT ON COLUMN ledgerfill.ledgers.operation_count IS 'rows in operations, those of failed transactions included';
COMMENT ON COLUMN ledgerfill.ledgers.event_count IS 'rows in events';

COMMENT ON TABLE ledgerfill.transactions IS 'one row a transaction, failed ones included, in apply order';
COMMENT ON COLUMN ledgerfill.transactions.id IS 'TOID (SEP-35): ledger << 32 | transaction << 12, transactions from 1 in apply order';
COMMENT ON COLUMN ledgerfill.transactions.hash IS 'under the network passphrase; of a fee bump the outer one; not unique';
COMMENT ON COLUMN ledgerfill.transactions.successful IS 'also a fee bump whose inner transaction succeeded';
COMMENT ON COLUMN ledgerfill.transactions.operation_count IS 'operations in the envelope; of a fee bump those of its inner transaction';
COMMENT ON COLUMN ledgerfill.transactions.fee_charged IS 'stroops';
COMMENT ON COLUMN ledgerfill.transactions.source_account IS 'address: version byte and 32 bytes, see strkey(); of a fee bump the inner one''s';
COMMENT ON COLUMN ledgerfill.transactions.source_muxed_id IS 'u64 of a muxed source, else NULL';
COMMENT ON COLUMN ledgerfill.transactions.fee_account IS 'who pays a fee bump (address), NULL for other transactions';
COMMENT ON COLUMN ledgerfill.transactions.result_code IS 'TransactionResultCode of the outer result: 0 success, 1 fee bump with success inside, below 0 failed';

COMMENT ON TABLE ledgerfill.operations IS 'one row an operation, those of failed transactions included';
COMMENT ON COLUMN ledgerfill.operations.id IS 'TOID: the transaction''s id + number of the operation, from 1';
COMMENT ON COLUMN ledgerfill.operations.type IS 'OperationType of the XDR, see operation_name()';
COMMENT ON COLUMN ledgerfill.operations.source_account IS 'address; the transaction''s where the operation has none of its own';
COMMENT ON COLUMN ledgerfill.operations.source_muxed_id IS 'u64 of a muxed source, else NULL';
COMMENT ON COLUMN ledgerfill.operations.body IS 'XDR OperationBody, discriminant included';

COMMENT ON TABLE ledgerfill.events IS 'one row an event; diagnostic events are none';
COMMENT ON COLUMN ledgerfill.events.operation_id IS 'TOID of the operation; operation part 0: an event of the transaction itself';
COMMENT ON COLUMN ledgerfill.events.event_index IS 'from 0 in each operation; of the transaction''s own events over all stages';
COMMENT ON COLUMN ledgerfill.events.stage IS 'TransactionEventStage of a transaction''s own event: 0 before all, 1 after it, 2 after all transactions';
COMMENT ON COLUMN ledgerfill.events.type IS 'ContractEventType: 0 system, 1 contract';
COMMENT ON COLUMN ledgerfill.events.contract_id IS '32 bytes, NULL where the event names no contract';
COMMENT ON COLUMN ledgerfill.events.topics IS 'XDR: count (u32), then that many ScVal';
COMMENT ON COLUMN ledgerfill.events.data IS 'XDR: one ScVal';

COMMENT ON TABLE ledgerfill.network IS 'the one network whose ledgers this store holds';
COMMENT ON COLUMN ledgerfill.network.passphrase IS 'its passphrase; sha256 of it is the network id';

COMMENT ON TABLE ledgerfill.ledger_stretches IS 'which ledgers are here: the only truth about it, changed in the transaction that brings their rows';
COMMENT ON COLUMN ledgerfill.ledger_stretches.first IS 'lowest ledger of the stretch';
COMMENT ON COLUMN ledgerfill.ledger_stretches.last IS 'highest ledger of the stretch; every one between is here';
COMMENT ON COLUMN ledgerfill.ledger_stretches.previous_hash IS 'hash that ledger first names as that of ledger first - 1: the seam below';
COMMENT ON COLUMN ledgerfill.ledger_stretches.first_hash IS 'hash of ledger first';
COMMENT ON COLUMN ledgerfill.ledger_stretches.last_hash IS 'hash of ledger last: the seam above';
COMMENT ON COLUMN ledgerfill.ledger_stretches.job IS 'what kind of run wrote ledger last: backfill, live';
COMMENT ON COLUMN ledgerfill.ledger_stretches.run_id IS 'the run that wrote ledger last';
COMMENT ON COLUMN ledgerfill.ledger_stretches.epoch IS 'which of that run''s connections wrote: counts from 1';
COMMENT ON COLUMN ledgerfill.ledger_stretches.commit_id IS 'the transaction that wrote ledger last, so that a lost acknowledgement can be told';

COMMENT ON TABLE ledgerfill.backfill_runs IS 'one row a run, from its start';
COMMENT ON COLUMN ledgerfill.backfill_runs.first IS 'first ledger that was asked for';
COMMENT ON COLUMN ledgerfill.backfill_runs.last IS 'last ledger that was asked for, or that it has reached where its end grows';
COMMENT ON COLUMN ledgerfill.backfill_runs.source IS 'where the ledgers were read, without secrets';
COMMENT ON COLUMN ledgerfill.backfill_runs.process_id IS 'of the command that was typed, on host';
COMMENT ON COLUMN ledgerfill.backfill_runs.outcome IS 'NULL while it runs; died: found by the next run without an end of its own';
COMMENT ON COLUMN ledgerfill.backfill_runs.error IS 'the message it ended with';
COMMENT ON COLUMN ledgerfill.backfill_runs.report IS 'its report at the end';

COMMENT ON TABLE ledgerfill.backfill_chunks IS 'one row a committed chunk, written in the transaction of its rows; short ones of live ingestion, one after another, share one';
COMMENT ON COLUMN ledgerfill.backfill_chunks.commit_id IS 'the same as in ledger_stretches at that moment; of the last of several chunks, as hash and worker';
COMMENT ON COLUMN ledgerfill.backfill_chunks.worker IS 'number of the worker whose result it was';
COMMENT ON COLUMN ledgerfill.backfill_chunks.attempts IS 'how many attempts it took, from 1; where several chunks share the row, all of them together';
COMMENT ON COLUMN ledgerfill.backfill_chunks.object_bytes IS 'bytes read, as stored in the source';
COMMENT ON COLUMN ledgerfill.backfill_chunks.plain_bytes IS 'bytes read, decompressed';
COMMENT ON COLUMN ledgerfill.backfill_chunks.row_bytes IS 'bytes of binary COPY';
COMMENT ON COLUMN ledgerfill.backfill_chunks.timings IS 'seconds by stage: of the worker, of its copy into the database, and of attempts that came to nothing, with their number; and how many chunks share the row';

COMMENT ON TABLE ledgerfill.ingest_store IS 'cursors by key: the last ledger that is done, and who wrote it';
COMMENT ON COLUMN ledgerfill.ingest_store.value IS 'last ledger done';
COMMENT ON COLUMN ledgerfill.ingest_store.hash IS 'hash of that ledger';

COMMENT ON TABLE ledgerfill.lock_holders IS 'who took an advisory lock last; whether it still holds it, pg_locks says';
COMMENT ON COLUMN ledgerfill.lock_holders.process_id IS 'of the command that was typed, on host';
COMMENT ON COLUMN ledgerfill.lock_holders.process_started IS 'start of that process, by which a number used again is told';
COMMENT ON COLUMN ledgerfill.lock_holders.backend_id IS 'process of the server that serves the holder';
