"""A process that asked for sizes and ends at once, as `plan` does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ENDS = 30
_ASK = """
import sys
from pathlib import Path
from workers.sources.bucket import Bucket, FetchLimits
lake = Path(sys.argv[1])
keys = [str(path.relative_to(lake)) for path in lake.glob("*/*.zst")]
assert len(Bucket(str(lake), FetchLimits()).sizes(keys * 3, 2.0)) == len(keys) > 20
"""


def test_process_that_asked_for_sizes_ends_well(shared: Path) -> None:
    """Nothing that a request leaves behind disturbs the interpreter's end, however often it is tried."""
    command = [sys.executable, "-c", _ASK, str(shared / "ledgers" / "pubnet")]
    codes = [subprocess.run(command, capture_output=True, check=False).returncode for _ in range(ENDS)]
    assert codes == [0] * ENDS
