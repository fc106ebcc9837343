"""What processes take of the machine, by real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from pipeline import usage

LEAST_S = 0.25  # the kernel counts in hundredths, by sampling
BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
PARENT = (
    f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}]); print(flush=True); sys.stdin.read()"
)


def test_cpu_of_ended_children_counts() -> None:
    """A process that waited for a child is charged for it, and so is the tree that it is in."""
    before = usage.tree_s(os.getpid())
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        spent = usage.spent(parent.pid)
        assert spent is not None
        assert spent.parent == os.getpid()
        assert LEAST_S <= spent.ended_s < 2.0
        assert parent.pid in usage.below(os.getpid())
        now = usage.tree_s(os.getpid())
        assert before is not None
        assert now is not None
        assert now - before >= LEAST_S
        parent.communicate()
    after = usage.tree_s(os.getpid())  # all of them have ended
    assert after is not None
    assert after - before >= LEAST_S


def test_process_that_has_ended_has_its_account_until_it_is_waited_for() -> None:
    """The last figures of a run are read from a zombie; afterwards there is none to ask."""
    process = subprocess.Popen([sys.executable, "-c", BURN])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    spent = usage.spent(process.pid)
    assert spent is not None
    assert spent.own_s >= LEAST_S
    process.wait()
    assert usage.spent(process.pid) is None
    assert usage.tree_s(process.pid) is None
    assert usage.private_bytes(process.pid) == 0


def test_memory_of_ones_own_counts() -> None:
    """Bytes that a process wrote to are private to it."""
    before = usage.private_bytes(os.getpid())
    held = bytearray(os.urandom(1 << 20) * 32)
    assert usage.private_bytes(os.getpid()) - before >= 30 << 20
    assert len(held) == 32 << 20


def test_machine_is_charged_for_everybody() -> None:
    """What this process burns, the machine has burned."""
    before, own = usage.machine_s(), time.process_time()
    while time.process_time() - own < 0.3:
        pass
    assert usage.machine_s() - before >= LEAST_S


def test_peak_is_of_this_program_alone() -> None:
    """A small program that a large one has started says its own peak, not that of who started it."""
    large = (
        "import subprocess, sys; held = b'x' * (200 << 20); "
        "code = 'from pipeline import usage; print(usage.peak_bytes())'; "
        "subprocess.run([sys.executable, '-c', code])"
    )
    said = subprocess.run([sys.executable, "-c", large], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert 1 << 20 < int(said) < 100 << 20
