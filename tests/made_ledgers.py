"""Small ledgers in a row with any events, sound in every hash, written with stellar-sdk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from stellar_sdk import xdr

PASSPHRASE = "made for tests"
_PROTOCOL = 23

Objects = Sequence[tuple[str, int, int, bytes]]  # name, first and last ledger, content


@dataclass(frozen=True)
class Made:
    """A transaction: the events of its operations, its own with their stages, and the changes before them."""

    operations: Sequence[Sequence[xdr.ContractEvent]] = ((),)
    own: Sequence[tuple[int, xdr.ContractEvent]] = ()
    diagnostic: Sequence[xdr.ContractEvent] = ()
    successful: bool = True
    changes: Sequence[xdr.LedgerEntryChange] = field(default=())


def event(
    contract: bytes | None, topics: Sequence[xdr.SCVal], data: xdr.SCVal, kind: str = "CONTRACT"
) -> xdr.ContractEvent:
    """Return an event; a contract is its 32 bytes."""
    body = xdr.ContractEventBody(0, xdr.ContractEventV0(list(topics), data))
    emitter = None if contract is None else xdr.ContractID(xdr.Hash(contract))
    return xdr.ContractEvent(xdr.ExtensionPoint(0), emitter, xdr.ContractEventType[kind], body)


def instance(kind: xdr.LedgerEntryChangeType, contract: bytes, wasm_hash: bytes) -> xdr.LedgerEntryChange:
    """Return a change of a contract's instance: what it is, or was, with this code."""
    executable = xdr.ContractExecutable(
        xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, wasm_hash=xdr.Hash(wasm_hash)
    )
    held = xdr.SCContractInstance(executable, None)
    entry = xdr.ContractDataEntry(
        ext=xdr.ExtensionPoint(0),
        contract=xdr.SCAddress(
            xdr.SCAddressType.SC_ADDRESS_TYPE_CONTRACT, contract_id=xdr.ContractID(xdr.Hash(contract))
        ),
        key=xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE),
        durability=xdr.ContractDataDurability.PERSISTENT,
        val=xdr.SCVal(xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=held),
    )
    data = xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=entry)
    whole = xdr.LedgerEntry(xdr.Uint32(1), data, xdr.LedgerEntryExt(0))
    arm = kind.name.removeprefix("LEDGER_ENTRY_").lower()
    return xdr.LedgerEntryChange(kind, **{arm: whole})


def code(wasm: bytes) -> xdr.LedgerEntryChange:
    """Return the change by which code is uploaded."""
    entry = xdr.ContractCodeEntry(xdr.ContractCodeEntryExt(0), xdr.Hash(hashlib.sha256(wasm).digest()), wasm)
    data = xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=entry)
    whole = xdr.LedgerEntry(xdr.Uint32(1), data, xdr.LedgerEntryExt(0))
    return xdr.LedgerEntryChange(xdr.LedgerEntryChangeType.LEDGER_ENTRY_CREATED, created=whole)


def ledgers(first: int, each: Sequence[Sequence[Made]]) -> Objects:
    """Return ledgers that begin with `first` and link, each with its transactions, as framed objects."""
    previous, out = bytes(32), []
    for sequence, transactions in enumerate(each, first):
        ledger = _ledger(sequence, previous, transactions)
        previous = ledger.v1.ledger_header.hash.hash
        out.append(ledger.to_xdr_bytes())
    return [("made", number, number, raw) for number, raw in enumerate(out, first)]


def _ledger(sequence: int, previous: bytes, transactions: Sequence[Made]) -> xdr.LedgerCloseMeta:
    envelopes = [_envelope(number, made) for number, made in enumerate(transactions)]
    metas = [_result_meta(*pair) for pair in zip(envelopes, transactions, strict=True)]
    discounted = xdr.TxSetComponentTxsMaybeDiscountedFee(None, envelopes)
    kind = xdr.TxSetComponentType.TXSET_COMP_TXS_MAYBE_DISCOUNTED_FEE
    phase = xdr.TransactionPhase(0, [xdr.TxSetComponent(kind, discounted)])
    tx_set = xdr.GeneralizedTransactionSet(1, xdr.TransactionSetV1(xdr.Hash(previous), [phase]))
    header = xdr.LedgerHeader(
        ledger_version=xdr.Uint32(_PROTOCOL),
        previous_ledger_hash=xdr.Hash(previous),
        scp_value=xdr.StellarValue(
            _sha(tx_set),
            xdr.TimePoint(xdr.Uint64(1_700_000_000)),
            [],
            xdr.StellarValueExt(xdr.StellarValueType.STELLAR_VALUE_BASIC),
        ),
        tx_set_result_hash=_sha(xdr.TransactionResultSet([meta.result for meta in metas])),
        bucket_list_hash=xdr.Hash(bytes(32)),
        ledger_seq=xdr.Uint32(sequence),
        total_coins=xdr.Int64(0),
        fee_pool=xdr.Int64(0),
        inflation_seq=xdr.Uint32(0),
        id_pool=xdr.Uint64(0),
        base_fee=xdr.Uint32(100),
        base_reserve=xdr.Uint32(0),
        max_tx_set_size=xdr.Uint32(0),
        skip_list=[xdr.Hash(bytes(32))] * 4,
        ext=xdr.LedgerHeaderExt(0),
    )
    entry = xdr.LedgerHeaderHistoryEntry(_sha(header), header, xdr.LedgerHeaderHistoryEntryExt(0))
    v1 = xdr.LedgerCloseMetaV1(xdr.LedgerCloseMetaExt(0), entry, tx_set, metas, [], [], xdr.Uint64(0), [], [])
    return xdr.LedgerCloseMeta(1, v1=v1)


def _envelope(number: int, made: Made) -> xdr.TransactionEnvelope:
    source = xdr.MuxedAccount(xdr.CryptoKeyType.KEY_TYPE_ED25519, xdr.Uint256(bytes([number]) * 32))
    operation = xdr.Operation(None, xdr.OperationBody(xdr.OperationType.INFLATION))
    transaction = xdr.Transaction(
        source_account=source,
        fee=xdr.Uint32(100),
        seq_num=xdr.SequenceNumber(xdr.Int64(number)),
        cond=xdr.Preconditions(xdr.PreconditionType.PRECOND_NONE),
        memo=xdr.Memo(xdr.MemoType.MEMO_NONE),
        operations=[operation] * len(made.operations),
        ext=xdr.TransactionExt(0),
    )
    return xdr.TransactionEnvelope(xdr.EnvelopeType.ENVELOPE_TYPE_TX, v1=xdr.TransactionV1Envelope(transaction, []))


def _result_meta(envelope: xdr.TransactionEnvelope, made: Made) -> xdr.TransactionResultMeta:
    tagged = xdr.TransactionSignaturePayloadTaggedTransaction(xdr.EnvelopeType.ENVELOPE_TYPE_TX, tx=envelope.v1.tx)
    network = xdr.Hash(hashlib.sha256(PASSPHRASE.encode()).digest())
    hashed = _sha(xdr.TransactionSignaturePayload(network, tagged))
    code = xdr.TransactionResultCode.txSUCCESS if made.successful else xdr.TransactionResultCode.txFAILED
    result = xdr.TransactionResultResult(code, results=[])
    pair = xdr.TransactionResultPair(hashed, xdr.TransactionResult(xdr.Int64(100), result, xdr.TransactionResultExt(0)))
    none = xdr.LedgerEntryChanges([])
    changes = xdr.LedgerEntryChanges(list(made.changes))
    v4 = xdr.TransactionMetaV4(
        ext=xdr.ExtensionPoint(0),
        tx_changes_before=changes,
        operations=[xdr.OperationMetaV2(xdr.ExtensionPoint(0), none, list(events)) for events in made.operations],
        tx_changes_after=none,
        soroban_meta=None,
        events=[xdr.TransactionEvent(xdr.TransactionEventStage(stage), one) for stage, one in made.own],
        diagnostic_events=[xdr.DiagnosticEvent(True, one) for one in made.diagnostic],
    )
    return xdr.TransactionResultMeta(pair, none, xdr.TransactionMeta(4, v4=v4))


def _sha(value: xdr.LedgerHeader | xdr.TransactionResultSet | xdr.GeneralizedTransactionSet) -> xdr.Hash:
    return xdr.Hash(hashlib.sha256(value.to_xdr_bytes()).digest())
