"""A lake through real object stores: a folder, a real S3 server on loopback, and one that fails on purpose."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from faulty_s3 import FaultyS3
from moto.server import ThreadedMotoServer

from workers.failures import SourceError
from workers.messages import LakeSpec, LedgerRange
from workers.sources import FetchLimits, Lake, LakeFlags, find_lake

FIRST, LAST = 63092982, 63092995  # the contiguous ledgers of the real lake
QUICK = FetchLimits(concurrency=4, timeout_s=0.5, attempts=3)


def pubnet(url: str) -> LakeSpec:
    return LakeSpec(url=url, ledgers_per_object=1, objects_per_partition=64_000)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SKIP_SIGNATURE", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-2")


@pytest.fixture
def folder(shared: Path, tmp_path: Path) -> Path:
    """A copy of the real lake, for tests that change it."""
    copy = tmp_path / "lake"
    shutil.copytree(shared / "ledgers/pubnet", copy, copy_function=shutil.copyfile)
    for path in (copy, *copy.iterdir()):
        path.chmod(0o755)
    return copy


@pytest.fixture
def faulty(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    with FaultyS3(folder).serving() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        yield server


def key_of(ledger: int) -> str:
    return Lake(pubnet("/")).layout.key(ledger)


def test_folder_gives_the_objects_in_order(shared: Path) -> None:
    """A chunk's objects come with their keys and ledgers, in ascending order, byte for byte."""
    root = shared / "ledgers/pubnet"
    reading = Lake(pubnet(str(root))).read(LedgerRange(FIRST, LAST))
    assert reading.failure is None
    assert [(first, last) for _, first, last, _ in reading.objects] == [(n, n) for n in range(FIRST, LAST + 1)]
    assert all(bytes(held) == (root / key).read_bytes() for key, _, _, held in reading.objects)
    assert reading.stored_bytes == sum((root / key).stat().st_size for key, _, _, _ in reading.objects)


def test_folder_opens_by_path_and_by_url(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path, a relative one, and a `file://` URL with escapes name the same lake."""
    (tmp_path / "a lake").symlink_to(shared / "ledgers/pubnet")
    monkeypatch.chdir(tmp_path)
    for url in (
        str(tmp_path / "a lake"),
        "a lake",
        f"file://{tmp_path}/a%20lake",
        f"file://localhost{tmp_path}/a%20lake",
    ):
        assert Lake(pubnet(url)).exists(FIRST)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/no/such/folder", "no folder /no/such/folder"),
        ("file://elsewhere/lake", "names the host 'elsewhere'"),
        ("ftp://host/lake", "unknown kind of lake: ftp://host/lake"),
        ("s3://", "cannot open lake s3://"),
        ("az://container/lake", "cannot open lake az://container/lake: .* Account must be specified"),
    ],
)
def test_lake_that_cannot_be_opened_is_refused_by_name(url: str, words: str) -> None:
    """A URL that is no lake is refused with the URL, before anything is asked."""
    with pytest.raises(SourceError, match=words):
        Lake(pubnet(url))


def test_hole_ends_a_reading_with_what_is_before_it(folder: Path) -> None:
    """A missing object in the middle leaves the sound ones before it, and is named with its ledger."""
    (folder / key_of(FIRST + 5)).unlink()
    reading = Lake(pubnet(str(folder))).read(LedgerRange(FIRST, LAST))
    assert [first for _, first, _, _ in reading.objects] == list(range(FIRST, FIRST + 5))
    assert reading.failure is not None
    assert reading.failure.missing
    assert (reading.failure.ledger, reading.failure.object) == (FIRST + 5, key_of(FIRST + 5))
    assert reading.failure.reason == f"cannot read ledger {FIRST + 5}: object {key_of(FIRST + 5)} is missing"


def test_folder_in_the_place_of_an_object_is_a_hole(folder: Path) -> None:
    """Where a file should be and something else is, the object is missing."""
    (folder / key_of(LAST)).unlink()
    (folder / key_of(LAST)).mkdir()
    failure = Lake(pubnet(str(folder))).read(LedgerRange(LAST, LAST)).failure
    assert failure is not None
    assert (failure.missing, failure.object) == (True, key_of(LAST))


def test_object_that_cannot_be_reached_is_told_with_its_key(folder: Path) -> None:
    """A fault of the file system is worth another attempt, and says at which object it was."""
    (partition,) = {(folder / key_of(ledger)).parent for ledger in (FIRST, LAST)}
    partition.rename(folder / "elsewhere")
    partition.touch()
    failure = Lake(pubnet(str(folder)), QUICK).read(LedgerRange(FIRST, LAST)).failure
    assert failure is not None
    assert (failure.transient, failure.missing, failure.ledger) == (True, False, FIRST)
    assert f"NotADirectoryError at object {key_of(FIRST)}" in failure.reason


def test_newest_and_oldest_of_a_folder(folder: Path) -> None:
    """The newest and the oldest ledger are told by the keys; other files beside them change nothing."""
    (folder / "0-notes.txt").write_text("no ledger")
    (folder / "FC3E15FF--63040000-63103999" / "FC3D0000--99999999.xdr.zst").write_text("no key of this lake")
    lake = Lake(pubnet(str(folder)))
    assert (lake.oldest(), lake.newest()) == (7320888, LAST)
    assert lake.exists(LAST)
    assert not lake.exists(LAST + 1)


def test_empty_folder_has_no_newest(tmp_path: Path) -> None:
    """An empty lake has neither a newest nor an oldest ledger."""
    for partition in (1, 64_000):
        lake = Lake(replace(pubnet(str(tmp_path)), objects_per_partition=partition))
        assert (lake.oldest(), lake.newest()) == (None, None)


def test_sizes_leave_out_what_is_missing(shared: Path) -> None:
    """The plan's sample holds the stored bytes of those objects that are there."""
    lake = Lake(pubnet(str(shared / "ledgers/pubnet")))
    found = lake.sizes([FIRST, LAST, LAST + 1, FIRST])
    assert found == {n: (shared / "ledgers/pubnet" / key_of(n)).stat().st_size for n in (FIRST, LAST)}
    assert lake.sizes([]) == {}


def test_flat_lake_against_its_own_manifest_is_found(shared: Path) -> None:
    """Where a lake has no partition folders although its manifest speaks of them, the keys that exist decide."""
    found = find_lake(str(shared / "ledgers/testnet"), ledger=997)
    assert found.manifest is not None
    assert found.lake.spec.objects_per_partition == 1
    assert (found.lake.oldest(), found.lake.newest()) == (997, 998)
    assert find_lake(str(shared / "ledgers/testnet")).newest == 998


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (LakeFlags(ledgers_per_object=64), "manifest says 1 ledgers per object, --ledgers-per-object says 64"),
        (
            LakeFlags(objects_per_partition=8),
            "manifest says 64000 objects per partition, --objects-per-partition says 8",
        ),
    ],
)
def test_flag_against_the_manifest_is_refused(shared: Path, flags: LakeFlags, words: str) -> None:
    """A number that is not the lake's would find no object: both are named; the lake's own may be said, too."""
    root = str(shared / "ledgers/pubnet")
    for ledger in (FIRST, None):
        with pytest.raises(SourceError, match=words):
            find_lake(root, ledger=ledger, flags=flags)
    same = LakeFlags(ledgers_per_object=1, objects_per_partition=64_000)
    assert find_lake(root, ledger=FIRST, flags=same).lake.exists(FIRST)
    assert find_lake(str(shared / "ledgers/testnet"), flags=LakeFlags(objects_per_partition=1)).newest == 998


def test_old_lake_without_manifest_needs_flags(folder: Path) -> None:
    """An old lake has another suffix and no manifest: refused with the flags it takes, found with them."""
    (folder / ".config.json").unlink()
    for path in folder.rglob("*.xdr.zst"):
        path.rename(path.with_suffix(".zstd"))
    with pytest.raises(SourceError, match=r"has no manifest .*--ledgers-per-object and --objects-per-partition"):
        find_lake(str(folder), ledger=FIRST)
    found = find_lake(str(folder), ledger=FIRST, flags=LakeFlags(ledgers_per_object=1, objects_per_partition=64_000))
    assert found.manifest is None
    assert found.lake.spec.suffix == ".xdr.zstd"
    assert found.lake.read(LedgerRange(FIRST, LAST)).failure is None


def test_real_s3_server(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lake under a prefix of a bucket is found and read, anonymously and with credentials."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    try:
        _upload(shared / "ledgers/pubnet", f"http://{host}:{port}")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        for credentials in (False, True):
            if credentials:
                monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
                monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
            found = find_lake("s3://ledgers/v1/pubnet", ledger=FIRST)
            reading = found.lake.read(LedgerRange(FIRST, LAST))
            assert (len(reading.objects), reading.failure) == (14, None)
            assert (found.lake.oldest(), found.lake.newest()) == (7320888, LAST)
            missing = found.lake.read(LedgerRange(LAST, LAST + 1)).failure
            assert missing is not None
            assert missing.missing
        with pytest.raises(SourceError, match="there is no such bucket"):
            find_lake("s3://nowhere/v1/pubnet", ledger=FIRST)
    finally:
        server.stop()


def _upload(folder: Path, endpoint: str) -> None:
    """Put the lake into a bucket that everybody may read, as the public ones are."""
    client = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id="id", aws_secret_access_key="secret")
    where = {"LocationConstraint": "us-east-2"}
    client.create_bucket(Bucket="ledgers", ACL="public-read", CreateBucketConfiguration=where)
    for path in folder.rglob("*"):
        if path.is_file():
            key = f"v1/pubnet/{path.relative_to(folder)}"
            client.put_object(Bucket="ledgers", Key=key, Body=path.read_bytes(), ACL="public-read")
    client.close()


@pytest.mark.parametrize("fault", [500, 503, 429, "drop", "cut", "hang"])
def test_passing_faults_are_retried(faulty: FaultyS3, fault: int | str, caplog: pytest.LogCaptureFixture) -> None:
    """An error of the server, a lost connection, half a body or silence costs a retry, said once, and nothing else."""
    faulty.faults[key_of(FIRST + 1)] = [fault]
    with caplog.at_level(logging.INFO, "workers"):
        reading = Lake(pubnet("s3://lake"), QUICK).read(LedgerRange(FIRST, FIRST + 3))
    assert reading.failure is None
    assert len(reading.objects) == 4
    assert faulty.requests.count(("GET", key_of(FIRST + 1))) == 2
    assert [record.getMessage()[:32] for record in caplog.records] == ["try 1 failed: cannot read object"]


@pytest.mark.parametrize(
    ("fault", "tries", "transient"), [(503, 3, True), ("drop", 3, True), (403, 1, False), (400, 1, False)]
)
def test_lasting_faults_end_a_reading(faulty: FaultyS3, fault: int | str, tries: int, transient: bool) -> None:
    """A fault that stays is given up after the set number of tries; what is refused for good at once."""
    faulty.faults[key_of(FIRST + 1)] = [fault] * 9
    reading = Lake(pubnet("s3://lake"), QUICK).read(LedgerRange(FIRST, FIRST + 3))
    assert [first for _, first, _, _ in reading.objects] == [FIRST]
    assert reading.failure is not None
    assert (reading.failure.ledger, reading.failure.transient, reading.failure.missing) == (FIRST + 1, transient, False)
    assert faulty.requests.count(("GET", key_of(FIRST + 1))) == tries


def test_missing_object_is_not_retried(faulty: FaultyS3) -> None:
    """A hole is reported at the first answer: waiting for it is the coordinator's part."""
    failure = Lake(pubnet("s3://lake"), QUICK).read(LedgerRange(LAST + 1, LAST + 1)).failure
    assert failure is not None
    assert failure.missing
    assert faulty.requests.count(("GET", key_of(LAST + 1))) == 1


def test_newest_is_one_request(faulty: FaultyS3) -> None:
    """However large a lake is, one request tells its newest ledger; nothing is listed to read a range."""
    partition = faulty.folder / "FDD937FF--36096000-36159999"
    for ledger in range(36_096_000, 36_098_500):
        (partition / f"{0xFFFFFFFF - ledger:08X}--{ledger}.xdr.zst").touch()
    (faulty.folder / "0-notes").touch()
    lake = Lake(pubnet("s3://lake"), QUICK)
    lake.read(LedgerRange(FIRST, LAST))
    assert ("GET", "?list") not in faulty.requests
    faulty.faults["?list"] = [503]
    assert lake.newest() == LAST
    assert faulty.requests.count(("GET", "?list")) == 2  # the first was refused


def test_lake_is_found_and_its_newest_ledger_told_by_one_listing(faulty: FaultyS3) -> None:
    """Without a ledger to go by, one request for a listing finds the layout and the newest ledger at once."""
    for path in list(faulty.folder.rglob("*.xdr.zst")):
        path.rename(faulty.folder / path.name)
    found = find_lake("s3://lake", limits=QUICK)
    assert (found.lake.spec.objects_per_partition, found.newest) == (1, LAST)
    assert faulty.requests == [("GET", ".config.json"), ("GET", "?list")]


def test_found_lake_was_never_listed(faulty: FaultyS3) -> None:
    """With a ledger to go by, a lake is found by its manifest and one HEAD."""
    find_lake("s3://lake", ledger=FIRST, limits=QUICK)
    assert faulty.requests == [("GET", ".config.json"), ("HEAD", key_of(FIRST))]


def test_late_sizes_are_left_out(faulty: FaultyS3) -> None:
    """A sample that is late does not hold the plan up."""
    faulty.faults[key_of(FIRST)] = ["hang"]
    lake = Lake(pubnet("s3://lake"), replace(QUICK, timeout_s=30.0))
    begin = time.monotonic()
    assert list(lake.sizes([FIRST, LAST], limit_s=0.5)) == [LAST]
    assert time.monotonic() - begin < 1.5


def test_late_objects_are_fetched_side_by_side(faulty: FaultyS3) -> None:
    """A store whose every answer is late holds a reading up once, not once an object."""
    faulty.hang_s = 0.5
    for ledger in range(FIRST, LAST + 1):
        faulty.faults[key_of(ledger)] = ["hang"]
    begin = time.monotonic()
    reading = Lake(pubnet("s3://lake"), replace(QUICK, timeout_s=30.0, concurrency=64)).read(LedgerRange(FIRST, LAST))
    assert [first for _, first, _, _ in reading.objects] == list(range(FIRST, LAST + 1))
    assert time.monotonic() - begin < 2


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("kind", ["s3", "folder"])
def test_larger_object_than_allowed_is_refused(kind: str, folder: Path) -> None:
    """An object above the limit is refused by its size, without its body."""
    lake = Lake(pubnet("s3://lake" if kind == "s3" else str(folder)), replace(QUICK, max_object_bytes=1000))
    failure = lake.read(LedgerRange(FIRST, FIRST)).failure
    assert failure is not None
    assert not failure.transient
    assert "more than the 1000 allowed" in failure.reason


@pytest.mark.usefixtures("faulty")
def test_unencrypted_endpoint_needs_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain HTTP is used only when the environment says so; the message says how."""
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(SourceError, match="is not encrypted: set AWS_ALLOW_HTTP=true"):
        Lake(pubnet("s3://lake"))


@pytest.mark.parametrize("said", [None, "true", "false"])
def test_requests_are_signed_only_with_credentials(
    faulty: FaultyS3, monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    """Credentials sign; without them requests go anonymous; AWS_SKIP_SIGNATURE stands before both."""
    if said is not None:
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", said)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert Lake(pubnet("s3://lake"), QUICK).exists(FIRST)
    assert faulty.signed == [said != "true"]
