"""Workers and the program that started them: they never outlive it, and it decides what an interrupt means."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from faulty_s3 import FaultyS3
from pooling import FIRST, key_of


def lives(process: psutil.Process) -> bool:
    """A zombie waits only for a new parent to look at it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def test_interrupt_of_the_whole_group_leaves_workers_alone(faulty_pubnet: FaultyS3, tmp_path: Path) -> None:
    """Ctrl-C reaches every process of the terminal: workers go on until their coordinator decides."""
    with running_coordinator(tmp_path, faulty_pubnet) as (coordinator, children):
        os.killpg(coordinator.pid, signal.SIGINT)
        time.sleep(0.5)
        assert coordinator.poll() is None
        assert [child for child in children if not child.is_running()] == []


@pytest.mark.parametrize("busy", ["idle", "fetching", "decoding", "stopped"])
def test_workers_die_with_their_coordinator(busy: str, faulty_pubnet: FaultyS3, tmp_path: Path) -> None:
    """After a SIGKILL of the coordinator every process of its run is gone within 2 s, whatever it was at."""
    with running_coordinator(tmp_path, faulty_pubnet, busy=busy) as (coordinator, children):
        assert len(children) == 4
        coordinator.kill()
        coordinator.wait()
        deadline = time.monotonic() + 2.0
        while alive := [child for child in children if lives(child)]:
            assert time.monotonic() < deadline, f"still there: {alive}"
            time.sleep(0.01)


def test_workers_do_not_run_the_command_again(tmp_path: Path) -> None:
    """A worker loads what it needs and not the program that started it, whose modules cost it time and memory."""
    script = tmp_path / "command.py"
    script.write_text(
        "print('loaded', flush=True)\n"
        "from workers.messages import LakeSpec, WorkerConfig\n"
        "from workers.pool import Pool\n"
        "spec = LakeSpec(url='/', ledgers_per_object=1, objects_per_partition=1)\n"
        "if __name__ == '__main__':\n"
        "    with Pool(WorkerConfig(source=spec, network_passphrase='a network')) as pool:\n"
        "        pool.start(0)\n"
        "        print(pool.wait(10.0), flush=True)\n"
    )
    ran = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, check=True)
    loaded, ready = ran.stdout.splitlines()
    assert loaded == "loaded"
    assert "Ready(pid=" in ready


@contextlib.contextmanager
def running_coordinator(
    folder: Path, faulty_pubnet: FaultyS3, busy: str = "fetching"
) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """Run a coordinator of two workers in a process group of its own, and list what came of it."""
    faulty_pubnet.hang_s = 20.0
    if busy == "fetching":
        faulty_pubnet.faults[key_of(FIRST)] = ["hang"] * 9
    environment = {**os.environ, "BUSY": busy, "FOLDER": str(folder)}
    coordinator = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("coordinating.py"))],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    children: list[psutil.Process] = []
    try:
        assert coordinator.stdout is not None
        assert coordinator.stdout.readline() == "busy\n"
        children = psutil.Process(coordinator.pid).children(recursive=True)
        yield coordinator, children
    finally:
        for process in [*children, coordinator]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        coordinator.communicate()
