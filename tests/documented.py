"""The plug-in that the page on protocols shows, made into a package as the page says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs/protocols.md"


def example() -> str:
    """Return the text of the one module that the page shows."""
    return _block("python")


def install(folder: Path, text: str | None = None) -> Path:
    """Install the page's package in a folder for `PYTHONPATH`, as its entry point has it; `text`: another module."""
    groups = tomllib.loads(_block("toml"))["project"]["entry-points"]
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


def _block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(found)
