"""Keys of a lake: computed from numbers as SEP-54 has it, and read back strictly."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workers.messages import MAX_LEDGER, LedgerRange
from workers.sources.layout import SUFFIXES, Layout

ledgers = st.one_of(st.integers(2, MAX_LEDGER), st.integers(2, 200_000))
layouts = st.builds(
    Layout,
    ledgers_per_object=st.integers(1, 1000),
    objects_per_partition=st.one_of(st.just(1), st.integers(2, 64_000)),
    suffix=st.sampled_from(SUFFIXES),
)


def layout(per_object: int, per_partition: int, suffix: str = ".xdr.zst") -> Layout:
    return Layout(ledgers_per_object=per_object, objects_per_partition=per_partition, suffix=suffix)


@pytest.mark.parametrize(
    ("cut", "ledger", "key"),
    [
        (layout(1, 64_000), 63092982, "FC3E15FF--63040000-63103999/FC3D4709--63092982.xdr.zst"),
        (layout(1, 1), 997, "FFFFFC1A--997.xdr.zst"),
        (layout(64, 10), 700, "FFFFFD7F--640-1279/FFFFFD7F--640-703.xdr.zst"),
        (layout(64, 1, ".xdr.zstd"), 2, "FFFFFFFF--0-63.xdr.zstd"),
    ],
)
def test_key_follows_from_the_numbers(cut: Layout, ledger: int, key: str) -> None:
    """A folder stands only where partitions hold several objects, an end only where objects hold several ledgers."""
    assert cut.key(ledger) == key


def test_every_object_of_a_real_lake_has_the_computed_key(shared: Path) -> None:
    """The keys of objects that Galexie wrote are the computed ones, and read back as their ledgers."""
    lake = shared / "ledgers" / "pubnet"
    keys = [str(path.relative_to(lake)) for path in lake.rglob("*.xdr.zst")]
    assert len(keys) == 22
    for key in keys:
        held = layout(1, 64_000).parse(key)
        assert layout(1, 64_000).key(held.first) == key


@given(layouts, ledgers)
def test_key_reads_back_as_its_own_object(cut: Layout, ledger: int) -> None:
    """Whatever the layout, a key reads back as the object of which it was made, and that object holds the ledger."""
    held = cut.parse(cut.key(ledger))
    assert held == cut.object_at(ledger)
    assert ledger in held or ledger < 2


@given(layouts, ledgers, ledgers)
def test_newer_ledgers_sort_first(cut: Layout, one: int, other: int) -> None:
    """In the order of keys, a newer object stands before an older one: one page of a listing shows the newest."""
    assume(cut.object_at(one) != cut.object_at(other))
    older, newer = sorted([one, other])
    assert cut.key(newer) < cut.key(older)


@given(layouts, ledgers, st.integers(0, 3000))
def test_objects_cover_a_range_without_a_gap(cut: Layout, first: int, more: int) -> None:
    """The objects of a range follow on each other, and hold its first and its last ledger."""
    wanted = LedgerRange(first, min(first + more, MAX_LEDGER))
    held = list(cut.objects(wanted))
    assert held[0].first <= wanted.first
    assert wanted.last <= held[-1].last
    assert all(after.first == before.last + 1 for before, after in pairwise(held))
    assert all(cut.object_at(ledger) == one for one in held for ledger in (one.first, one.last))
    assert all(one.overlap(wanted) for one in held)


@given(layouts, ledgers)
def test_partition_folder_reads_back(cut: Layout, ledger: int) -> None:
    """A partition's folder name gives its first ledger; no other spelling of it is taken."""
    assume(cut.objects_per_partition > 1)
    folder = cut.partition(ledger).rstrip("/")
    assert cut.parse_partition(folder) == ledger - ledger % cut.partition_ledgers
    for other in (folder.lower(), f"{folder}/", f" {folder}", folder[1:]):
        if other != folder:
            with pytest.raises(ValueError, match="no partition"):
                cut.parse_partition(other)


@pytest.mark.parametrize(
    "key",
    [
        "",
        ".config.json",
        "../FC3D4709--63092982.xdr.zst",
        "/FC3E15FF--63040000-63103999/FC3D4709--63092982.xdr.zst",
        "FC3E15FF--63040000-63103999/../FC3D4709--63092982.xdr.zst",
        "FC3E15FF--63040000-63103999/FC3D4709--63092982.xdr.zst/",
        "FC3E15FF--63040000-63103999/FC3D4709--63092982.xdr.zst\n",
        "fc3e15ff--63040000-63103999/fc3d4709--63092982.xdr.zst",
        "FC3E15FF--63040000-63103999/FC3D4708--63092982.xdr.zst",
        "FC3E15FE--63040000-63103999/FC3D4709--63092982.xdr.zst",
        "FC3E15FF--63040000-63103998/FC3D4709--63092982.xdr.zst",
        "FC3E15FF--63040000-63103999/FC3D4709--063092982.xdr.zst",
        "FC3E15FF--63040000-63103999/FC3D4709--63092982-63092982.xdr.zst",
        "FC3E15FF--63040000-63103999/FC3D4709--63092982.xdr.zstd",
        "FC3E15FF--63040000-63103999/FC3D4709--٦٣٠٩٢٩٨٢.xdr.zst",
        "FC3D4709--63092982.xdr.zst",
        "FFFFFFFF--0-63999/FFFFFFFF--0.xdr.zst",
        "00000000--4294967295.xdr.zst",
    ],
)
def test_what_is_not_exactly_a_key_is_refused(key: str) -> None:
    """A key is taken only in the one spelling that its number has: nothing listed leads anywhere else."""
    with pytest.raises(ValueError, match=r"no key of this lake|no ledger range"):
        layout(1, 64_000).parse(key)


@given(layouts, st.text(alphabet="0123456789ABCDEF-./xdrzst\n%", max_size=60))
def test_no_text_but_a_key_gets_through(cut: Layout, text: str) -> None:
    """Whatever stands in a listing, it is refused or it is the key that its number has."""
    try:
        held = cut.parse(text)
    except ValueError:
        return
    assert cut.key(held.last) == text


@pytest.mark.parametrize(("per_object", "per_partition"), [(0, 1), (1, 0), (-1, 5), (2**16, 2**16), (2**40, 1)])
def test_numbers_that_no_lake_has_are_refused(per_object: int, per_partition: int) -> None:
    """A layout that makes no keys is refused with its numbers."""
    with pytest.raises(ValueError, match=f"no lake layout: {per_object} ledgers"):
        layout(per_object, per_partition)


def test_unknown_suffix_is_refused() -> None:
    """Only the two suffixes that lakes have are taken."""
    with pytest.raises(ValueError, match=r"no lake suffix: \.gz"):
        layout(1, 1, ".gz")
