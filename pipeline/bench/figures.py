"""What was measured, and what follows from it: pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

RUN, BEFORE = "backfill", "backfill_before"
RUST, COPY, COPY_MORE, COPY_PLAIN, COPY_BEFORE = "rust", "copy", "copy_2", "copy_plain", "copy_before"
_BARE = ("client", "server")  # whose CPU a bare COPY takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing, measured once."""

    name: str  # for people
    ledgers: int
    elapsed_s: float
    rows: int
    plain_bytes: int
    cpu_s: Mapping[str, float]  # by stage or process
    whole_client_s: float = 0.0  # CPU of a bare client with its start, as if it had copied just these ledgers
    memory: Mapping[str, int] = field(default_factory=dict)  # resident bytes by process, each at its highest
    private: Mapping[str, int] = field(default_factory=dict)  # of these, what it shared with no other
    others_s: float = 0.0  # CPU that anybody else on the machine had meanwhile

    @property
    def ledgers_per_s(self) -> float:
        """Ledgers a second."""
        return self.ledgers / self.elapsed_s

    @property
    def rows_per_s(self) -> float:
        """Rows a second, over all tables."""
        return self.rows / self.elapsed_s

    @property
    def mb_per_s(self) -> float:
        """Plain megabytes of ledgers a second."""
        return self.plain_bytes / self.elapsed_s / 1e6

    @property
    def cpu_ms(self) -> dict[str, float]:
        """Milliseconds of CPU a ledger, by stage or process."""
        return {name: seconds / self.ledgers * 1e3 for name, seconds in self.cpu_s.items()}

    @property
    def peak_memory_mib(self) -> float:
        """Resident MiB of all processes of the program together, each at its highest; 0 where it was not looked at."""
        return sum(self.memory.values()) / (1 << 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A ratio that the program has to reach."""

    key: str
    name: str
    ratio: float
    bound: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound


Round = Mapping[str, Figure]  # everything, measured once in turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything, measured in every round; there is one at least."""

    cores: int
    rounds: Sequence[Round]

    def middle(self, key: str, of: Callable[[Figure], float]) -> float:
        """Return the median over the rounds of something of a figure."""
        return median(of(each[key]) for each in self.rounds)

    @property
    def roofline_ms(self) -> dict[str, float]:
        """CPU a ledger that nothing can do without: the Rust pass, a bare client, and the server with its indexes."""
        parts = [needed_ms(each) for each in self.rounds]
        return {name: median(part[name] for part in parts) for name in parts[0]}

    @property
    def roofline(self) -> float:
        """Ledgers a second if every core did nothing else, all the time."""
        return median(roofline(each, self.cores) for each in self.rounds)

    def share(self, key: str) -> float:
        """Return the median share that a figure has of the roofline of its round."""
        return median(each[key].ledgers_per_s / roofline(each, self.cores) for each in self.rounds)

    def targets(self) -> list[Target]:
        """Return what the program has to reach, each with its median ratio."""
        return [
            Target(
                key=key,
                name=name,
                ratio=median(ratio(each, self.cores) for each in self.rounds),
                bound=bound,
                at_least=at_least,
            )
            for key, name, ratio, bound, at_least in _TARGETS
        ]


def needed_ms(measured: Round) -> dict[str, float]:
    """Return the CPU a ledger that nothing can do without, of one round."""
    rust, copy = measured[RUST].cpu_ms, measured[COPY].cpu_ms
    return {"rust": sum(rust.values()), **{name: copy[name] for name in _BARE}}


def roofline(measured: Round, cores: int) -> float:
    """Return the roofline of one round: cores over CPU a ledger."""
    return cores * 1e3 / sum(needed_ms(measured).values())


def _over_roofline(measured: Round, cores: int) -> float:
    return measured[RUN].ledgers_per_s / roofline(measured, cores)


def _over_before(measured: Round, _: int) -> float:
    return measured[RUN].ledgers_per_s / measured[BEFORE].ledgers_per_s


def _more_connections(measured: Round, _: int) -> float:
    return measured[COPY_MORE].ledgers_per_s / measured[COPY].ledgers_per_s


def _over_plain(measured: Round, _: int) -> float:
    return measured[COPY].cpu_ms["server"] / measured[COPY_PLAIN].cpu_ms["server"]


def _coordinator(measured: Round, _: int) -> float:
    """Return the coordinator's CPU beyond that of a bare client that copies as many ledgers, over the run's own CPU."""
    run, copy = measured[RUN], measured[COPY]
    client_s = copy.whole_client_s + copy.cpu_s["client"] * (run.ledgers / copy.ledgers - 1)
    return (run.cpu_s["coordinator"] - client_s) / (run.cpu_s["coordinator"] + run.cpu_s["workers"])


_TARGETS: Sequence[tuple[str, str, Callable[[Round, int], float], float, bool]] = (
    ("run_over_roofline", "the whole run over the roofline", _over_roofline, 0.80, True),
    ("run_over_before", "the whole run over one with all indexes in place, 1 connection", _over_before, 1.1, True),
    ("connections", "2 connections over 1, server alone", _more_connections, 1.3, True),
    ("server_over_plain", "server's CPU over that of COPY into tables without an index", _over_plain, 2.0, False),
    ("coordinator", "coordinator beyond a bare client, of the run's CPU", _coordinator, 0.04, False),
)
