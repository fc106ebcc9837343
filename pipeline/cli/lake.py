"""`ledgerfill lake make` and `ledgerfill lake info`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from pipeline.cli.flags import OutputFlags, SourceFlags, whole_number

app = App(name="lake", help="Make a synthetic lake, or look at one.")
_MAKE = """\
Examples:
  ledgerfill lake make ./lake --ledgers 500
  ledgerfill lake make ./lake --ledgers 99 --shape sparse --ledgers-per-object 8
  ledgerfill lake make ./lake --ledgers 99 --shape tokens
  ledgerfill lake make ./lake --ledgers 5000 --from ./real-lake

The counts of what was put in lie beside it in DIR/expected.json,
of tokens what they come to in DIR/truth.jsonl."""
_SHAPE = "pubnet (the default), sparse, or tokens."
_INFO = """\
Examples:
  ledgerfill lake info ./lake
  ledgerfill lake info ./lake --json"""


def _n(text: str) -> Parameter:
    return Parameter(help=text, metavar="N", converter=whole_number)


@app.command(help_epilogue=_MAKE)
def make(  # noqa: PLR0913  # each is a flag
    directory: Annotated[Path, Parameter(help="An empty folder, or one that does not exist.", name="DIR")],
    /,
    *,
    ledgers: Annotated[int, _n("How many.")],
    start_ledger: Annotated[int, _n("Sequence of the first (2).")] = 2,
    seed: Annotated[int, _n("Another one gives other ledgers; the same one the same bytes (1).")] = 1,
    shape: Annotated[Literal["pubnet", "sparse", "tokens"] | None, Parameter(help=_SHAPE)] = None,
    from_: Annotated[
        str | None, Parameter(name="--from", help="Repeat the ledgers of this lake instead.", metavar="LAKE")
    ] = None,
    ledgers_per_object: Annotated[int, _n("Ledgers an object (1).")] = 1,
    objects_per_partition: Annotated[int, _n("Objects a folder (64000).")] = 64000,
) -> int:
    """Make a deterministic lake whose every hash holds, under a passphrase of its own."""
    from pipeline.cli.making import Recipe, make_lake

    return make_lake(
        directory,
        Recipe(
            ledgers=ledgers,
            first=start_ledger,
            seed=seed,
            shape=shape,
            source=from_,
            ledgers_per_object=ledgers_per_object,
            objects_per_partition=objects_per_partition,
        ),
    )


@app.command(help_epilogue=_INFO)
def info(
    url: Annotated[str | None, Parameter(help="The lake; the same as --source.", name="URL")] = None,
    /,
    source: SourceFlags | None = None,
    output: OutputFlags | None = None,
    *,
    json: Annotated[bool, Parameter(help="For programs.", negative="")] = False,
) -> int:
    """Say which network a lake holds, which ledgers, and how it is cut."""
    from pipeline.cli.flags import given
    from pipeline.cli.job import print_lines
    from pipeline.cli.lake_info import document, lines, look
    from pipeline.config import LakeSettings
    from pipeline.config_sources import load

    named = {**given(source, output)} | ({"source": url} if url else {})
    found = look(load(LakeSettings, named))
    print_lines(iter([document(found)]) if json else lines(found))
    return 0
