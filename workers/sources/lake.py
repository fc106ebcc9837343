"""A lake of ledgers in SEP-54 layout: keys are computed, objects fetched several at once and returned in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from workers.failures import SourceError
from workers.messages import Failure, LakeSpec, LedgerRange
from workers.sources.bucket import Bucket, FetchLimits
from workers.sources.fetching import Fetching
from workers.sources.layout import Layout
from workers.sources.reading import Object, Reading


class Lake:
    """One lake. `SourceError` at the start for a URL or numbers that cannot be used; nothing is requested then."""

    framed = False

    def __init__(self, spec: LakeSpec, limits: FetchLimits | None = None, bucket: Bucket | None = None) -> None:
        """Open the lake that `spec` names; `bucket` where its store is open already."""
        self.spec = spec
        try:
            self.layout = Layout.of(spec)
        except ValueError as error:
            raise SourceError(str(error)) from error
        self._bucket = bucket or Bucket(spec.url, limits or FetchLimits())
        self._threads = ThreadPoolExecutor(self._bucket.limits.concurrency, thread_name_prefix="fetch")

    def read(self, ledgers: LedgerRange) -> Reading:
        """Fetch the objects that cover `ledgers`, several at once, in ascending order up to the first that failed."""
        fetching = Fetching(self.layout.objects(ledgers), partial(self._fetch, wanted=ledgers))
        fetching.take(self._bucket.alone_s)
        at_once = min(self._bucket.limits.concurrency, fetching.left)
        helpers = [self._threads.submit(fetching.take) for _ in range(at_once - 1)]
        fetching.take()
        for helper in helpers:
            if not helper.cancel():  # one that has not begun would find nothing left
                helper.result()
        return fetching.reading()

    def _fetch(self, held: LedgerRange, wanted: LedgerRange) -> Object | Failure:
        """Fetch one object; a failure names the first wanted ledger that it should hold."""
        key = self.layout.key(held.first)
        try:
            return key, held.first, held.last, self._bucket.get(key, self._bucket.limits.max_object_bytes)
        except SourceError as error:
            ledger = max(held.first, wanted.first)
            reason = f"cannot read ledger {ledger}: {error.failure.reason}"
            return replace(error.failure, reason=reason, ledger=ledger, object=key)

    def exists(self, ledger: int) -> bool:
        """Return whether the object that holds `ledger` is there. `SourceError` when the lake does not answer."""
        return self._bucket.exists(self.layout.key(ledger))

    def newest(self) -> int | None:
        """Return the last ledger of the newest object, or None in an empty lake. `SourceError` without an answer.

        One listing, of which the first page is read, since the newest key sorts first; of a folder, whose listing
        has no order, the newest partition.
        """
        if not self._bucket.sorted:
            return max((held.last for held in self._outermost(max)), default=None)
        return next((newest for page in self._bucket.pages() if (newest := self.newest_of(page)) is not None), None)

    def newest_of(self, keys: Iterable[str]) -> int | None:
        """Return the last ledger of the newest object among those of `keys` that are keys of this lake."""
        return max((held.last for held in self._ledgers(keys)), default=None)

    def oldest(self) -> int | None:
        """Return the first ledger of the oldest object, or None in an empty lake. Lists the oldest partition whole."""
        return min((held.first for held in self._outermost(min)), default=None)

    def _outermost(self, pick: Callable[[list[int]], int]) -> list[LedgerRange]:
        """Return the objects of the newest (`max`) or oldest (`min`) partition, or all of a flat lake."""
        folders, keys = self._bucket.folder()
        if self.spec.objects_per_partition == 1:
            return self._ledgers(keys)
        starts = [start for folder in folders if (start := self._partition_start(folder)) is not None]
        if not starts:
            return []
        return self._ledgers(self._bucket.folder(self.layout.partition(pick(starts)).rstrip("/"))[1])

    def _partition_start(self, folder: str) -> int | None:
        try:
            return self.layout.parse_partition(folder)
        except ValueError:
            return None

    def _ledgers(self, keys: Iterable[str]) -> list[LedgerRange]:
        """Return the ledgers of those keys that are keys of this lake; other files may lie beside them."""
        found = []
        for key in keys:
            try:
                found.append(self.layout.parse(key))
            except ValueError:
                continue
        return found

    def sizes(self, ledgers: Sequence[int], *, limit_s: float = 2.0) -> dict[int, int]:
        """Return the stored bytes of the object that holds each ledger; what is late or missing is left out."""
        keys = {ledger: self.layout.key(ledger) for ledger in ledgers}
        sizes = self._bucket.sizes(keys.values(), limit_s)
        return {ledger: sizes[key] for ledger, key in keys.items() if key in sizes}
