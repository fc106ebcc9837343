"""The one place that decides whether an error is worth another attempt: `classify` turns any error into a `Failure`."""

from __future__ import annotations

import errno
import re

from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)

from workers._decode import CorruptLedger
from workers.messages import Failure

REASON_LIMIT = 2000  # characters; keeps every message far below what one write to a pipe holds
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_STATUS = re.compile(r"status(?: code)?:? (4\d\d)")
_RETRYABLE_STATUS = {"408", "425", "429"}
_DENIED = (PermissionDeniedError, UnauthenticatedError, PermissionError)
_MISUSED = (InvalidPathError, NotSupportedError, UnknownConfigurationKeyError)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_THREADLESS = "can't start new thread"  # CPython's words where memory or process numbers are limited


class Failed(Exception):
    """What ends an attempt; `failure` is what crosses the process border."""

    def __init__(self, failure: Failure | str) -> None:
        """Take the failure, or the reason of a permanent one."""
        self.failure = Failure(reason=failure, transient=False) if isinstance(failure, str) else failure
        super().__init__(self.failure.reason)


class SourceError(Failed):
    """A source that cannot serve what was asked."""


def classify(error: BaseException, *, name: str | None = None, ledger: int | None = None) -> Failure:
    """Say what `error` means for the object `name` and the ledger expected there."""
    if isinstance(error, Failed):
        return error.failure
    if isinstance(error, CorruptLedger):
        return Failure(
            reason=short(str(error)), transient=False, ledger=error.ledger, object=error.object, offset=error.offset
        )
    reason, transient, missing = _judge(error, "source" if name is None else f"object {name}")
    return Failure(reason=short(reason), transient=transient, missing=missing, ledger=ledger, object=name)


def unwritable(error: OSError, path: str) -> Failure:
    """Say why rows cannot be left in the file `path`: nothing that another attempt would mend."""
    said = _OS_ERROR.search(str(error))  # the Rust core has the number in its text alone
    number = error.errno if said is None else int(said[1])
    what = "no space left for the rows at" if number in _FULL else "cannot write rows to"
    return Failure(reason=short(f"{what} {path}: {error.strerror or message(error)}"), transient=False)


def _judge(error: BaseException, what: str) -> tuple[str, bool, bool]:
    """Return the reason, whether it is transient, and whether the object is missing."""
    text = message(error)
    if isinstance(error, FileNotFoundError) and error.errno is None:  # of obstore; one of this machine has a number
        if "NoSuchBucket" in text:
            return f"cannot read {what}: there is no such bucket", False, False
        return f"{what} is missing", True, True
    if isinstance(error, _DENIED):
        return f"access to {what} denied: {text}", False, False
    if isinstance(error, BaseError):
        return f"cannot read {what}: {text}", _worth_a_retry(error, text), False
    expected = isinstance(error, OSError | MemoryError) or text == _THREADLESS
    return f"{'' if expected else 'unexpected '}{type(error).__name__} at {what}: {text}", expected, False


def _worth_a_retry(error: BaseError, text: str) -> bool:
    """Network faults, timeouts and 5xx all come as `GenericError`; a refusal for good is told by its status."""
    if isinstance(error, _MISUSED) or "configured region" in text or "builder error" in text:
        return False
    status = _STATUS.search(text)
    return status is None or status[1] in _RETRYABLE_STATUS


def message(error: BaseException) -> str:
    """Return the error's own words on one line, without the debug dump that obstore appends."""
    return " ".join(str(error).split("\n\nDebug source:")[0].split()) or type(error).__name__


def short(text: str) -> str:
    """Return a reason no longer than one may be."""
    return text if len(text) <= REASON_LIMIT else f"{text[: REASON_LIMIT - 1]}…"
