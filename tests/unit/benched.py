"""A bench of round numbers, for the tests of what follows from one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pipeline.bench.figures import Figure, Measured, Round
from pipeline.bench.measuring import Bench

MIB = 1 << 20


def figure(name: str, ledgers: int, elapsed_s: float, cpu_s: Mapping[str, float], **more: object) -> Figure:
    """Return a figure of ledgers with 1,500 rows and 1 MB each."""
    return Figure(
        name=name,
        ledgers=ledgers,
        elapsed_s=elapsed_s,
        rows=1500 * ledgers,
        plain_bytes=1_000_000 * ledgers,
        cpu_s=cpu_s,
        **more,  # type: ignore[arg-type]  # a test's own
    )


def measures(*, run_s: float = 25.0, memory: int = 200 * MIB) -> Round:
    """Return a round on two cores: 1 ms of Rust, 0.25 of client and 2.75 of server a ledger make 500 ledgers/s."""
    of_run = {"workers": 12.0, "coordinator": 3.5, "server": 27.5}
    return {
        "rust": figure(
            "Rust pass, 1 thread", 1000, 1.0, {"decompress": 0.6, "walk": 0.3, "prove": 0.05, "encode": 0.05}
        ),
        "copy_plain": figure("COPY, no index", 1000, 2.0, {"client": 0.25, "server": 1.5}),
        "copy": figure("COPY, one", 1000, 3.0, {"client": 0.25, "server": 2.75}, whole_client_s=0.5),
        "copy_2": figure("COPY, two", 1000, 2.0, {"client": 0.25, "server": 2.9}),
        "backfill": figure(
            "backfill, as typed",
            10_000,
            run_s,
            of_run,
            memory={"coordinator": memory // 2, "worker 1": memory // 2},
            private={"coordinator": memory // 4, "worker": memory // 4},
        ),
        "backfill_before": figure("backfill, before", 10_000, 32.0, of_run, memory={"coordinator": memory}),
    }


def bench(*rounds: Round) -> Bench:
    """Return a bench that measured these rounds."""
    return Bench(
        measured=Measured(cores=2, rounds=rounds or (measures(),)),
        source="synthetic",
        ledgers=10_000,
        copied=1000,
        chunk=60,
        workers=2,
        connections=2,
        processor="a processor",
        memory_bytes=8 << 30,
        server_version="18.6",
        began=datetime(2026, 6, 19, 12, tzinfo=UTC),
        took_s=180.0,
    )
