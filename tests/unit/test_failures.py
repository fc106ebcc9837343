"""The one place that decides whether an error is worth another attempt."""

from __future__ import annotations

import errno

import pytest
from obstore.exceptions import GenericError, NotSupportedError, PermissionDeniedError, UnauthenticatedError

from workers.failures import REASON_LIMIT, SourceError, classify, unwritable
from workers.messages import Failure

DUMP = "\n\nDebug source:\nGeneric {\n    secret\n}"


@pytest.mark.parametrize(
    "error",
    [
        GenericError(f"Generic S3 error: connection reset{DUMP}"),
        GenericError("Generic S3 error: Server returned non-2xx status code: 503 Service Unavailable: slow down"),
        GenericError("Generic S3 error: Client error with status 429 Too Many Requests: busy"),
        TimeoutError("timed out"),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        MemoryError(),
        RuntimeError("can't start new thread"),
    ],
)
def test_faults_that_pass_are_transient(error: Exception) -> None:
    """Network faults, an overloaded server, a full memory and too many threads are worth another attempt."""
    failure = classify(error, name="KEY", ledger=7)
    assert failure.transient
    assert not failure.missing
    assert (failure.object, failure.ledger) == ("KEY", 7)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionDeniedError("403"), "access to object KEY denied: 403"),
        (UnauthenticatedError("401"), "access to object KEY denied"),
        (PermissionError(errno.EACCES, "no"), "access to object KEY denied"),
        (NotSupportedError("what"), "cannot read object KEY"),
        (GenericError("Client error with status 400 Bad Request: ExpiredToken"), "ExpiredToken"),
        (GenericError("Received redirect without LOCATION, an incorrectly configured region"), "configured region"),
        (FileNotFoundError("404 <Code>NoSuchBucket</Code>"), "there is no such bucket"),
        (ValueError("odd"), "unexpected ValueError at object KEY: odd"),
    ],
)
def test_what_stays_as_it_is_is_permanent(error: Exception, words: str) -> None:
    """Refused access, a wrong region, a full disk and errors of the program are told, and not retried."""
    failure = classify(error, name="KEY", ledger=7)
    assert not failure.transient
    assert not failure.missing
    assert words in failure.reason


def test_unwritable_rows_are_told_with_the_file() -> None:
    """A full disk is told as that, other trouble with the file by its name; neither is worth another attempt."""
    full = unwritable(OSError(errno.ENOSPC, "No space left on device", "/x/1"), "/x/1")
    assert full == Failure(reason="no space left for the rows at /x/1: No space left on device", transient=False)
    gone = unwritable(FileNotFoundError(errno.ENOENT, "No such file or directory"), "/x/1")
    assert gone == Failure(reason="cannot write rows to /x/1: No such file or directory", transient=False)


def test_file_of_this_machine_is_no_missing_object() -> None:
    """A file that vanished from this machine is no hole in the lake."""
    assert not classify(FileNotFoundError(errno.ENOENT, "gone"), name="KEY").missing


def test_missing_object_is_told_apart() -> None:
    """An object that is not there is marked as such: a hole and the tip are the coordinator's to tell apart."""
    failure = classify(FileNotFoundError("not found"), name="KEY", ledger=7)
    assert failure == Failure(reason="object KEY is missing", transient=True, missing=True, ledger=7, object="KEY")


def test_reason_is_one_line_without_the_debug_dump() -> None:
    """Nobody has to read a library's debug dump."""
    assert "secret" not in classify(GenericError(f"broken\npipe{DUMP}")).reason
    assert "broken pipe" in classify(GenericError(f"broken\npipe{DUMP}")).reason


def test_reason_fits_one_write() -> None:
    """However long an error is, its message stays small enough to cross a pipe at once."""
    assert len(classify(ValueError("x" * 100_000)).reason) == REASON_LIMIT


def test_failure_within_an_error_is_kept() -> None:
    """An error that was judged already is not judged again."""
    failure = Failure(reason="as it is", transient=True, missing=True)
    assert classify(SourceError(failure), name="KEY") is failure
