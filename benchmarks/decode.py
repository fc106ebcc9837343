"""One core, zstd objects in memory to verified COPY bytes of four tables: the walk against the typed decoder.

Both sides run in one Rust program, `decode/benches/pass.rs`, which first checks that they write the same bytes.
"""

from __future__ import annotations

import re
import subprocess

import figures
import inputs
import rust

TARGET = 3.5


def main() -> None:
    """Measure both lakes."""
    given = inputs.arguments(__doc__, ledgers=100, rounds=20)
    program = rust.build("pass")
    with inputs.lakes(given.ledgers, given.lakes) as lakes:
        for lake in lakes:
            figures.title("decode: typed decoding over the walk, one core", lake.name, f"{given.ledgers} ledgers")
            command = [program, lake.path, "--seconds", str(given.rounds)]
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            print("".join(f"  {line}\n" for line in printed.splitlines()), end="")
            ratio = re.search(r"^ratio +([\d.]+)", printed, re.MULTILINE)
            assert ratio is not None, printed
            figures.share("typed over walk, same proofs and rows", [float(ratio[1])], TARGET, at_least=True)


if __name__ == "__main__":
    main()
