"""Synthetic lakes, seen from Python: laid out as SEP-54 says, deterministic, and sound to two independent readers."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest
import zstandard

from workers import _decode
from workers.messages import LedgerRange
from workers.sources.layout import Layout
from workers.sources.manifest import parse_manifest

SYNTHETIC = "ledgerfill synthetic network ; 2026"
PUBNET = "Public Global Stellar Network ; September 2015"
TESTNET = "Test SDF Network ; September 2015"
# The tables of a chunk, and the count beside the lake that says how many rows each has.
TABLES = {"ledgers": "ledgers", "transactions": "transactions", "operations": "operations", "events": "events"}


def make(folder: Path, ledgers: int, **options: object) -> Path:
    _decode.make_lake(str(folder), ledgers=ledgers, **options)
    return folder


def files(lake: Path) -> dict[str, bytes]:
    return {str(path.relative_to(lake)): path.read_bytes() for path in lake.rglob("*") if path.is_file()}


def expected(lake: Path) -> dict[str, int | str]:
    return json.loads((lake / "expected.json").read_text())


def objects(lake: Path, layout: Layout) -> Iterator[tuple[str, int, int, bytes]]:
    """The objects whose keys follow from the counts alone, as a decoder takes them."""
    counts = expected(lake)
    for ledgers in layout.objects(LedgerRange(counts["first"], counts["last"])):
        key = layout.key(ledgers.first)
        yield key, ledgers.first, ledgers.last, (lake / key).read_bytes()


def decode(lake: Path, layout: Layout, passphrase: str) -> _decode.Chunk:
    """Every ledger of the lake, decoded and proved."""
    counts = expected(lake)
    decoder = _decode.Decoder(passphrase)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        return decoder.chunk(counts["first"], counts["last"], list(objects(lake, layout)), nowhere)
    finally:
        os.close(nowhere)


def source(lake: Path) -> list[tuple[str, bytes]]:
    """Every object of a lake, oldest ledger first; keys sort the other way round."""
    return [(path.name, path.read_bytes()) for path in sorted(lake.rglob("*.xdr.zst"), reverse=True)]


def assert_sound(lake: Path, layout: Layout, passphrase: str) -> None:
    counts, chunk = expected(lake), decode(lake, layout, passphrase)
    assert chunk.error is None
    assert chunk.ledgers == counts["ledgers"] == counts["last"] - counts["first"] + 1
    assert {table: rows for table, rows, _, _ in chunk.sections} == {t: counts[name] for t, name in TABLES.items()}
    ends = (chunk.previous_hash.hex(), chunk.first_hash.hex(), chunk.last_hash.hex())
    assert ends == (counts["previous_hash"], counts["first_hash"], counts["last_hash"])


@pytest.fixture(scope="session")
def oracle(shared: Path) -> ModuleType:
    """The reader on stellar-sdk's own classes, which shares no code with ours."""
    os.environ["PASSPHRASE"] = SYNTHETIC
    spec = importlib.util.spec_from_file_location("oracle", shared / "ledgers" / "oracle.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answers(oracle: ModuleType, lake: Path) -> list[Mapping[str, object]]:
    metas = []
    for _, data in source(lake):
        metas += oracle.ledgers(oracle.plain(data))[1]
    return [oracle.answer(meta) for meta in metas]


@pytest.mark.parametrize("shape", ["pubnet", "sparse", "tokens"])
def test_the_counts_beside_the_lake_are_what_the_oracle_finds(oracle: ModuleType, tmp_path: Path, shape: str) -> None:
    """Counts come from what was put in, and an independent reader finds exactly that."""
    lake = make(tmp_path / "lake", {"pubnet": 2, "sparse": 40, "tokens": 12}[shape], shape=shape)
    found, counts = answers(oracle, lake), expected(lake)
    names = {
        "transactions": "transactions",
        "successful": "successful",
        "operations": "operations",
        "op_events": "operation_events",
        "tx_events": "transaction_events",
    }
    sums = {name: sum(answer[of] for answer in found) for of, name in names.items()}
    assert sums == {name: counts[name] for name in names.values()}
    assert counts["events"] == counts["operation_events"] + counts["transaction_events"]


def test_the_oracle_finds_every_header_hash_and_link_sound(oracle: ModuleType, tmp_path: Path) -> None:
    """Each header has its own hash, each ledger names the one before it, and time goes on."""
    lake = make(tmp_path / "lake", 60, shape="sparse", ledgers_per_object=4)
    found = answers(oracle, lake)
    assert [answer["hash"] for answer in found] == [answer["hash_recomputed"] for answer in found]
    assert [answer["hash"] for answer in found[:-1]] == [answer["previous_hash"] for answer in found[1:]]
    times = [answer["close_time"] for answer in found]
    assert times == sorted(set(times))
    assert {(answer["lcm_version"], answer["protocol"]) for answer in found} == {(2, 26)}


@pytest.mark.parametrize("shape", ["pubnet", "sparse", "tokens"])
@pytest.mark.parametrize(("per_object", "per_partition"), [(1, 64000), (1, 1), (8, 2), (64, 1)])
def test_every_proof_of_an_invented_lake_holds(tmp_path: Path, shape: str, per_object: int, per_partition: int) -> None:
    """The decoder, which proves what it reads, accepts every ledger, wherever the objects are cut."""
    options = {"shape": shape, "ledgers_per_object": per_object, "objects_per_partition": per_partition}
    lake = make(tmp_path / "lake", 20, threads=2, **options)
    layout = Layout(ledgers_per_object=per_object, objects_per_partition=per_partition)
    assert_sound(lake, layout, SYNTHETIC)
    assert decode(lake, layout, SYNTHETIC).event_hash_mismatches == 0


def test_a_lake_holds_what_was_asked_and_whole_objects(tmp_path: Path) -> None:
    """Objects of several ledgers are whole, so the lake's ends move out to their borders."""
    lake = make(tmp_path / "lake", 10, first=130, ledgers_per_object=8, shape="sparse")
    counts = expected(lake)
    assert (counts["first"], counts["last"], counts["ledgers"]) == (128, 143, 16)


def test_nothing_lies_in_a_lake_but_its_objects_and_two_files(tmp_path: Path) -> None:
    """The keys are those that the manifest's numbers give; no half-written file is left behind."""
    lake = make(tmp_path / "lake", 30, shape="sparse", ledgers_per_object=2, objects_per_partition=4, threads=2)
    manifest = parse_manifest((lake / ".config.json").read_bytes())
    assert manifest.network_passphrase == SYNTHETIC
    layout = Layout(ledgers_per_object=2, objects_per_partition=4)
    assert set(files(lake)) == {key for key, *_ in objects(lake, layout)} | {".config.json", "expected.json"}


def test_an_object_is_one_frame_with_a_checksum(tmp_path: Path) -> None:
    """Frames look as Galexie writes them: a checksum, and no size told in advance."""
    lake = make(tmp_path / "lake", 1, shape="sparse")
    frame = zstandard.get_frame_parameters(source(lake)[0][1])
    assert (frame.has_checksum, frame.content_size) == (True, zstandard.CONTENTSIZE_UNKNOWN)


@pytest.mark.parametrize("shape", ["pubnet", "sparse", "tokens"])
def test_the_same_order_gives_the_same_bytes(tmp_path: Path, shape: str) -> None:
    """Neither chance nor the number of threads has a part in a lake; the seed has."""
    one = make(tmp_path / "one", 9, shape=shape, seed=7)
    assert files(make(tmp_path / "two", 9, shape=shape, seed=7, threads=4)) == files(one)
    other = make(tmp_path / "three", 9, shape=shape, seed=8)
    assert files(other).keys() == files(one).keys()
    assert all(files(other)[key] != files(one)[key] for key in files(one) if key.endswith(".zst"))


@pytest.mark.parametrize(("network", "passphrase"), [("pubnet", PUBNET), ("testnet", TESTNET)])
def test_every_proof_of_repeated_real_ledgers_holds(
    shared: Path, tmp_path: Path, network: str, passphrase: str
) -> None:
    """Real ledgers of every version come back with other numbers, and the decoder still accepts each one."""
    real = source(shared / "ledgers" / network)
    length = 2 * len(real) + 1
    lake = make(tmp_path / "lake", length, source=real, source_passphrase=passphrase, threads=2)
    assert_sound(lake, Layout(ledgers_per_object=1, objects_per_partition=64000), passphrase)


def test_repeated_ledgers_hold_what_the_answers_say(shared: Path, tmp_path: Path) -> None:
    """The counts of one round are those that the oracle once found in the real ledgers."""
    real = source(shared / "ledgers" / "pubnet")
    lake = make(tmp_path / "lake", len(real), source=real, source_passphrase=PUBNET)
    lines = (shared / "ledgers" / "answers.jsonl").read_text().splitlines()
    found = [answer for answer in map(json.loads, lines) if answer["file"].startswith("pubnet/")]
    assert len(found) == len(real)
    counts = expected(lake)
    for name, of in {
        "transactions": "transactions",
        "operations": "operations",
        "operation_events": "op_events",
    }.items():
        assert counts[name] == sum(answer[of] for answer in found)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ledgers": 0},
        {"ledgers": -1},
        {"ledgers": 1 << 80},
        {"ledgers": 1 << 31},
        {"first": 1},
        {"first": (1 << 31) - 1},
        {"shape": "round"},
        {"ledgers_per_object": 0},
        {"objects_per_partition": 1 << 31},
        {"seed": 1 << 64},
        {"source": [("FFFFFFFD--2.xdr.zst", b"")]},
    ],
    ids=str,
)
def test_arguments_that_make_no_lake_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    """A wrong argument is a `ValueError`, and nothing is written."""
    with pytest.raises(ValueError, match=r"\w"):
        make(tmp_path / "lake", **{"ledgers": 2, "shape": "sparse"} | wrong)
    assert not (tmp_path / "lake").exists()


def test_a_folder_that_holds_anything_is_refused(tmp_path: Path) -> None:
    """An earlier lake is never mixed with a new one."""
    before = files(make(tmp_path / "lake", 2, shape="sparse"))
    with pytest.raises(FileExistsError, match="not empty"):
        make(tmp_path / "lake", 3, shape="sparse")
    assert files(tmp_path / "lake") == before


def test_a_folder_that_cannot_be_made_is_an_oserror(tmp_path: Path) -> None:
    """The error names the folder."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file/lake"):
        make(tmp_path / "file" / "lake", 2, shape="sparse")


@pytest.mark.parametrize("container", [True, False])
def test_a_source_that_does_not_decode_is_named(tmp_path: Path, container: bool) -> None:
    """The error carries object, ledger and offset, as the decoder's own errors do."""
    name, body = source(make(tmp_path / "source", 1, first=77, shape="sparse"))[0]
    plain = bytearray(zstandard.ZstdDecompressor().stream_reader(body).read())
    plain[15] = 9  # the arm of the LedgerCloseMeta, after the three numbers of the batch
    damaged = body[:40] if container else zstandard.compress(bytes(plain))
    with pytest.raises(_decode.CorruptLedger, match=f"corrupt ledger 77 in {name}") as raised:
        make(tmp_path / "lake", 2, source=[(name, damaged)], source_passphrase=SYNTHETIC)
    assert (raised.value.object, raised.value.ledger, raised.value.container) == (name, 77, container)
    assert raised.value.offset == (0 if container else 4)
