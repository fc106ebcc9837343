"""Requests to the store behind a lake: each retried by the one rule, every answer a result or a `SourceError`."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import obstore
import tenacity
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from workers.failures import SourceError, classify
from workers.sources.folder import object_bytes, read_object
from workers.sources.objects import open_store

if TYPE_CHECKING:
    from typing_extensions import Buffer

logger = logging.getLogger(__name__)
T = TypeVar("T")
_SIZES_AT_ONCE = 64  # requests without a body
_FILES_AT_ONCE = 4  # whose size is asked for; a folder answers sooner than a thread starts
_GIVING_UP_S = 0.3  # for a request that gives up at the deadline
_LISTING_PAGE = 1000  # keys; what one request for a listing returns
_ALONE_S = 0.01  # for what the page cache has; more threads would only take the interpreter from one another


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """How a lake is asked: objects at once, seconds a request, tries an object, stored bytes an object."""

    concurrency: int = 64
    timeout_s: float = 30.0
    attempts: int = 4
    max_object_bytes: int = 256 << 20


class Bucket:
    """One store with its prefix. Thread-safe. `SourceError` at the start for a URL that cannot be used."""

    def __init__(self, url: str, limits: FetchLimits) -> None:
        """Open the store at `url`; nothing is requested."""
        self.limits = limits
        self._url = url
        self._store = open_store(url, timeout_s=limits.timeout_s)
        self._folder = Path(self._store.prefix or "/") if isinstance(self._store, LocalStore) else None
        self.sorted = self._folder is None  # whether a listing comes in the order of its keys
        self.alone_s = 0.0 if self.sorted else _ALONE_S  # after which one reader is too slow

    def get(self, key: str, most_bytes: int) -> Buffer:
        """Return an object. `SourceError`; its failure is `missing` where there is none."""
        return self._asked(key, lambda: self._get(key, most_bytes))

    def _get(self, key: str, most_bytes: int) -> Buffer:
        if self._folder is not None:
            return read_object(self._folder, key, most_bytes)
        response = obstore.get(self._store, key)
        if response.meta["size"] > most_bytes:
            raise SourceError(f"object {key} has {response.meta['size']} bytes, more than the {most_bytes} allowed")
        return response.bytes()

    def exists(self, key: str) -> bool:
        """Return whether the object is there."""
        try:
            self._asked(key, lambda: obstore.head(self._store, key))
        except SourceError as error:
            if error.failure.missing:
                return False
            raise
        return True

    def pages(self) -> Iterator[list[str]]:
        """Iterate over all keys, a request's worth at a time, unsorted in a folder."""

        def begin() -> tuple[obstore.ListStream[Sequence[obstore.ObjectMeta]], Sequence[obstore.ObjectMeta] | None]:
            stream = obstore.list(self._store, chunk_size=_LISTING_PAGE)
            return stream, next(stream, None)

        stream, page = self._asked(None, begin)
        while page:
            yield [entry["path"] for entry in page]
            page = self._asked(None, lambda: next(stream, None), attempts=1)  # a broken stream would seem to end

    def folder(self, name: str = "") -> tuple[list[str], list[str]]:
        """Return the folders and the keys right under a folder, in no order."""
        listed = self._asked(None, lambda: obstore.list_with_delimiter(self._store, name or None))
        return list(listed["common_prefixes"]), [entry["path"] for entry in listed["objects"]]

    def sizes(self, keys: Iterable[str], limit_s: float) -> dict[str, int]:
        """Return the stored bytes of each object; what is missing, or late by `limit_s` seconds, is left out.

        By threads: what obstore's coroutines leave to its own ones now and then aborts a process that ends soon after.
        """
        names = deque(dict.fromkeys(keys))
        found: dict[str, int] = {}
        if not names:
            return found
        ask, at_once = self._asking_sizes(limit_s)
        deadline = time.monotonic() + limit_s
        threads = [
            threading.Thread(target=_ask_sizes, args=(ask, names, found, deadline), name="size", daemon=True)
            for _ in range(min(len(names), at_once))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:  # one that hangs, in a dead network mount say, is left behind
            thread.join(max(0.0, deadline + _GIVING_UP_S - time.monotonic()))
        return found.copy()

    def _asking_sizes(self, limit_s: float) -> tuple[Callable[[str], int], int]:
        """Return what asks for the bytes of one object, and how many may ask at once."""
        if self._folder is not None:
            return partial(object_bytes, self._folder), _FILES_AT_ONCE
        store = open_store(self._url, timeout_s=limit_s)  # a late request gives up by itself
        return lambda key: int(obstore.head(store, key)["size"]), _SIZES_AT_ONCE

    def _asked(self, name: str | None, ask: Callable[[], T], attempts: int | None = None) -> T:
        try:
            return ask()
        except Exception as error:  # only now: tenacity's 17 µs a call are half of what a file in the page cache takes
            tries: Iterator[Callable[[], T]] = chain([partial(_fail, error)], repeat(ask))
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(attempts or self.limits.attempts),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5.0),
            retry=tenacity.retry_if_exception(_is_worth_a_retry),
            before_sleep=lambda state: _log_retry(name, state),
            reraise=True,
        )
        try:
            return retrying(lambda: next(tries)())
        except Exception as error:  # an edge: every way to fail becomes a `Failure`, by `classify` alone
            raise SourceError(classify(error, name=name)) from error


def _fail(error: Exception) -> NoReturn:
    raise error


def _ask_sizes(ask: Callable[[str], int], names: deque[str], found: dict[str, int], deadline: float) -> None:
    """Add the stored bytes of one object after another to `found`, until none is left or the time is over."""
    while time.monotonic() < deadline:
        with contextlib.suppress(BaseError, OSError):
            try:
                name = names.popleft()
            except IndexError:
                return
            found[name] = ask(name)


def _is_worth_a_retry(error: BaseException) -> bool:
    """A missing object is the coordinator's to wait for: here it would only hold up the sound ones before it."""
    failure = classify(error)
    return failure.transient and not failure.missing


def _log_retry(name: str | None, state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if error is not None:
        logger.info("try %s failed: %s", state.attempt_number, classify(error, name=name).reason)
