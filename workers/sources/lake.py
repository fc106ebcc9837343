"""A lake of ledgers in SEP-54 layout, through obstore: computed keys, several fetches at once, retries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import obstore
import tenacity
from obstore.store import LocalStore

from workers.failures import SourceError, classify
from workers.messages import Failure, LakeSpec, LedgerRange
from workers.sources import manifest, objects
from workers.sources.layout import Layout
from workers.sources.reading import Object, Reading

logger = logging.getLogger(__name__)
T = TypeVar("T")
_LISTING_PAGE = 1000  # keys; what one request for a listing returns


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """How a lake is asked: objects at once, seconds a request, tries an object, stored bytes an object."""

    concurrency: int = 16
    timeout_s: float = 30.0
    attempts: int = 4
    max_object_bytes: int = 256 << 20


class Lake:
    """One lake. `SourceError` at the start for a URL or settings that cannot be used; nothing is requested then."""

    framed = False

    def __init__(self, spec: LakeSpec, limits: FetchLimits | None = None) -> None:
        """Open the lake that `spec` names."""
        self.spec, self.limits = spec, limits or FetchLimits()
        try:
            self.layout = Layout.of(spec)
        except ValueError as error:
            raise SourceError(str(error)) from error
        self._store = objects.open_store(spec.url, timeout_s=self.limits.timeout_s)
        self._threads = ThreadPoolExecutor(self.limits.concurrency, thread_name_prefix="fetch")

    def read(self, ledgers: LedgerRange) -> Reading:
        """Fetch the objects that cover `ledgers`, several at once, in ascending order up to the first that failed."""
        pending = [self._threads.submit(self._fetch, held, ledgers) for held in self.layout.objects(ledgers)]
        read: list[Object] = []
        stored = 0
        for fetched in pending:
            result = fetched.result()
            if isinstance(result, Failure):
                _cancel(pending)
                return Reading(read, stored, result)
            read.append(result)
            stored += len(memoryview(result[3]))
        return Reading(read, stored)

    def _fetch(self, held: LedgerRange, wanted: LedgerRange) -> Object | Failure:
        """Fetch one object; a failure names the first wanted ledger that it should hold."""
        key = self.layout.key(held.first)
        try:
            return key, held.first, held.last, self._retrying(key, lambda: self._get(key, self.limits.max_object_bytes))
        except Exception as error:  # an edge: every way to fail becomes a message, by `classify` alone
            return classify(error, name=key, ledger=max(held.first, wanted.first))

    def _get(self, key: str, limit: int) -> obstore.Bytes:
        response = obstore.get(self._store, key)
        if response.meta["size"] > limit:
            raise SourceError(f"object {key} has {response.meta['size']} bytes, more than the {limit} allowed")
        return response.bytes()

    def manifest(self) -> manifest.Manifest | None:
        """Return what the lake says of itself, or None where it has no manifest. `SourceError` for a bad one."""
        try:
            raw = self._retrying(manifest.KEY, lambda: self._get(manifest.KEY, manifest.MAX_BYTES))
        except Exception as error:  # an edge, as in `_fetch`
            failure = classify(error, name=manifest.KEY)
            if failure.missing:
                return None
            raise SourceError(failure) from error
        return manifest.parse_manifest(raw.to_bytes())

    def exists(self, ledger: int) -> bool:
        """Return whether the object that holds `ledger` is there. `SourceError` when the lake does not answer."""
        key = self.layout.key(ledger)
        try:
            self._retrying(key, lambda: obstore.head(self._store, key))
        except Exception as error:  # an edge, as in `_fetch`
            failure = classify(error, name=key, ledger=ledger)
            if failure.missing:
                return False
            raise SourceError(failure) from error
        return True

    def newest(self) -> int | None:
        """Return the last ledger of the newest object, or None in an empty lake; one listing, of which the first page
        is read: the newest key sorts first. `SourceError` when the lake does not answer.
        """
        list_newest = self._newest_in_folder if isinstance(self._store, LocalStore) else self._newest_listed
        try:
            return self._retrying("listing", list_newest)
        except Exception as error:  # an edge, as in `_fetch`
            raise SourceError(classify(error, name="listing")) from error

    def _newest_listed(self) -> int | None:
        for page in obstore.list(self._store, chunk_size=_LISTING_PAGE):
            found = self._ledgers(page)
            if found:
                return max(held.last for held in found)
        return None

    def _newest_in_folder(self) -> int | None:
        """Look into one partition: a folder's listing has no order, and a whole lake may be large."""
        found = self._outermost(max)
        return max((held.last for held in found), default=None)

    def oldest(self) -> int | None:
        """Return the first ledger of the oldest object, or None in an empty lake. Lists the oldest partition whole."""
        try:
            found = self._retrying("listing", lambda: self._outermost(min))
        except Exception as error:  # an edge, as in `_fetch`
            raise SourceError(classify(error, name="listing")) from error
        return min((held.first for held in found), default=None)

    def _outermost(self, pick: Callable[[list[int]], int]) -> list[LedgerRange]:
        """Return the objects of the newest (`max`) or oldest (`min`) partition, or all of a flat lake."""
        root = obstore.list_with_delimiter(self._store)
        if self.spec.objects_per_partition == 1:
            return self._ledgers(root["objects"])
        starts = [start for folder in root["common_prefixes"] if (start := self._partition_start(folder)) is not None]
        if not starts:
            return []
        folder = self.layout.partition(pick(starts)).rstrip("/")
        return self._ledgers(obstore.list_with_delimiter(self._store, folder)["objects"])

    def _partition_start(self, folder: str) -> int | None:
        try:
            return self.layout.parse_partition(folder)
        except ValueError:
            return None

    def _ledgers(self, listed: Sequence[obstore.ObjectMeta]) -> list[LedgerRange]:
        """Return the ledgers of those listed keys that are keys of this lake; other files may lie beside them."""
        found = []
        for entry in listed:
            try:
                found.append(self.layout.parse(entry["path"]))
            except ValueError:
                continue
        return found

    def sizes(self, ledgers: Sequence[int], *, limit_s: float = 2.0) -> dict[int, int]:
        """Return the stored bytes of the object that holds each ledger; what is late or missing is left out."""
        return asyncio.run(self._sizes(ledgers, limit_s))

    async def _sizes(self, ledgers: Sequence[int], limit_s: float) -> dict[int, int]:
        asked = {
            asyncio.ensure_future(obstore.head_async(self._store, self.layout.key(ledger))): ledger
            for ledger in dict.fromkeys(ledgers)
        }
        if not asked:
            return {}
        done, late = await asyncio.wait(asked, timeout=limit_s)
        for request in late:
            request.cancel()
        return {asked[request]: request.result()["size"] for request in done if request.exception() is None}

    def _retrying(self, name: str, call: Callable[[], T]) -> T:
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.limits.attempts),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5.0),
            retry=tenacity.retry_if_exception(_is_worth_a_retry),
            before_sleep=lambda state: _log_retry(name, state),
            reraise=True,
        )
        return retrying(call)


def _is_worth_a_retry(error: BaseException) -> bool:
    """A missing object is the coordinator's to wait for: here it would only hold up the sound ones before it."""
    failure = classify(error)
    return failure.transient and not failure.missing


def _log_retry(name: str, state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if error is not None:
        logger.info("try %s at %s failed: %s", state.attempt_number, name, classify(error).reason)


def _cancel(pending: Sequence[Future[Object | Failure]]) -> None:
    for fetched in pending:
        fetched.cancel()
