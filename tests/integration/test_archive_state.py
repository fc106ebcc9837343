"""What an archive says of itself: which checkpoints it has, of which network it is, and state files that are none."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from archive_server import FUTURENET, NEWEST, STATE

from pipeline.archive import read_checkpoint
from pipeline.errors import ArchiveUnsound, Refused
from workers.sources.archive import ArchiveLimits


@pytest.mark.parametrize(
    ("ledger", "near"),
    [(247488, "247487 or 247551"), (247486, "247423 or 247487"), (1, "63"), (62, "63"), (64, "63 or 127")],
)
def test_ledger_that_is_no_checkpoint_is_refused(real: Path, ledger: int, near: str) -> None:
    """A ledger at which no archive has a checkpoint is refused before anything is asked for, with the nearest."""
    with pytest.raises(Refused, match=rf"^ledger {ledger} is no checkpoint of an archive: the nearest is {near}$"):
        read_checkpoint(str(real / "nowhere"), ledger, FUTURENET)


def test_checkpoint_beyond_the_newest_is_refused(real: Path) -> None:
    """A checkpoint that the archive does not have yet is refused with its newest; one before its start is missing."""
    with pytest.raises(Refused, match=rf"^archive {real} has no checkpoint 247551: its newest is {NEWEST}$"):
        read_checkpoint(str(real), 247551, FUTURENET)
    with pytest.raises(ArchiveUnsound, match=r"object history/00/00/00/history-0000003f.json is missing$"):
        read_checkpoint(str(real), 63, FUTURENET)


def test_other_network_is_refused(real: Path) -> None:
    """An archive of another network is refused, with both."""
    with pytest.raises(Refused, match=rf"^archive {real} is of the network '{FUTURENET}', not 'another'$"):
        read_checkpoint(str(real), None, "another")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda state: state.pop("networkPassphrase"), "networkPassphrase: Field required"),
        (lambda state: state.update(currentLedger=-1), "currentLedger: "),
        (lambda state: state.pop("currentBuckets"), "currentBuckets: Field required"),
        (lambda state: state["currentBuckets"][3].update(snap="00"), "currentBuckets.3.snap: "),
        (lambda state: state["hotArchiveBuckets"][1].update(curr="Z" * 64), "hotArchiveBuckets.1.curr: "),
    ],
)
def test_state_file_that_is_none_is_named(copied: Path, change: Callable[[dict], None], why: str) -> None:
    """A state file that lacks something or has nonsense in its place is refused, with the place."""
    state = json.loads((copied / STATE).read_text())
    change(state)
    (copied / STATE).write_text(json.dumps(state))
    with pytest.raises(ArchiveUnsound, match=rf"^archive {copied}: object {STATE} is no state file: {why}"):
        read_checkpoint(str(copied), None, FUTURENET)


def test_state_file_of_another_checkpoint_is_found(copied: Path) -> None:
    """A state file in the place of another's is refused, and so is a newest one that is no checkpoint."""
    shutil.copyfile(copied / STATE.replace("c6bf", "c67f"), copied / STATE)
    with pytest.raises(ArchiveUnsound, match=rf"object {STATE} is of ledger {NEWEST - 64}, not {NEWEST}$"):
        read_checkpoint(str(copied), None, FUTURENET)
    newest = copied / ".well-known/stellar-history.json"
    newest.write_text(newest.read_text().replace(str(NEWEST), "247400"))
    with pytest.raises(ArchiveUnsound, match=r"stellar-history.json names ledger 247400, which is no checkpoint$"):
        read_checkpoint(str(copied), None, FUTURENET)


@pytest.mark.parametrize("text", ["", "{", "[]", "\0", '"' + "x" * (2 << 20)])
def test_state_file_that_is_no_json_is_named(copied: Path, text: str) -> None:
    """Whatever stands in the place of a state file, the object is named."""
    (copied / STATE).write_text(text)
    with pytest.raises(ArchiveUnsound, match=rf"^archive {copied}: object {STATE} (is no state file|has more than)"):
        read_checkpoint(str(copied), None, FUTURENET)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("/no/such/folder", "no folder /no/such/folder"),
        ("ftp://host/archive", "unknown kind of archive: ftp://host/archive"),
        ("http://", "cannot open archive http://"),
    ],
)
def test_archive_that_cannot_be_opened_is_refused(url: str, why: str) -> None:
    """A URL that leads to no archive is refused before the start."""
    with pytest.raises(Refused, match=f"^{re.escape(why)}"):
        read_checkpoint(url, None, FUTURENET)


def test_folder_without_an_archive_is_named(tmp_path: Path) -> None:
    """A folder that holds something else is no archive: what it lacks is named."""
    with pytest.raises(
        ArchiveUnsound, match=rf"^archive {tmp_path}: object .well-known/stellar-history.json is missing$"
    ):
        read_checkpoint(str(tmp_path), None, FUTURENET)


def test_password_of_an_archive_is_hidden() -> None:
    """A password in an archive's URL stands in no error."""
    with pytest.raises(ArchiveUnsound, match="archive http://me:") as caught:
        read_checkpoint("http://me:hunter2@127.0.0.1:1/a", None, FUTURENET, limits=ArchiveLimits(attempts=1))
    assert "hunter2" not in str(caught.value)
