"""The plug-in that the page on protocols shows, made into a package as the page says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs/protocols.md"
OPERATING = PAGE.with_name("operating.md")


def example(number: int = 0) -> str:
    """Return the text of a module that the page shows: the first is the example, the second is SEP-50 in Python."""
    return _blocks("python")[number]


def install(folder: Path, text: str | None = None) -> Path:
    """Install the page's package in a folder for `PYTHONPATH`, as its entry point has it; `text`: another module."""
    groups = tomllib.loads(_blocks("toml")[0])["project"]["entry-points"]
    ((group, points),) = groups.items()
    ((name, value),) = points.items()
    package, module = value.partition(":")[0].split(".")
    return make(folder, f"{group}\n{name} = {value}", package, module, example() if text is None else text)


def make(folder: Path, entry: str, package: str, module: str, text: str) -> Path:
    """Write a package of one module with one entry point, `GROUP` and `NAME = VALUE` on two lines."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").touch()
    (folder / package / f"{module}.py").write_text(text)
    told = folder / f"{package}-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    group, _, point = entry.partition("\n")
    (told / "entry_points.txt").write_text(f"[{group}]\n{point}\n")
    return folder


def taking_out(protocol_id: str) -> str:
    """Return the statements with which the page on operating takes a protocol out of a store."""
    (block,) = re.findall(r"-v id=POINTS <<'SQL'\n(.*?)SQL\n", OPERATING.read_text(), re.DOTALL)
    return str(block).replace(":'id'", f"'{protocol_id}'")


def beginning_anew(protocol_id: str) -> str:
    """Return the statements with which the page on operating lets a current state begin anew."""
    (block,) = re.findall(r"-v anew=POINTS <<'SQL'\n(.*?)SQL\n", OPERATING.read_text(), re.DOTALL)
    return str(block).replace(":'anew'", f"'{protocol_id}'")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
