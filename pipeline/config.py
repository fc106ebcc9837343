"""Settings with units in their names; what contradicts is refused. `config_sources.load` makes them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from pipeline import secrets
from workers.messages import HASH_BYTES, MAX_LEDGER

PREFIX = "LEDGERFILL_"
CONFIG_FILE = "ledgerfill.toml"


def _no_truth(given: object) -> object:
    """Refuse what pydantic takes for 1 or 0: `workers = true` in a file."""
    if isinstance(given, bool):
        raise ValueError("expected a number")  # pydantic's way to be told
    return given


_Number = BeforeValidator(_no_truth)
Ledger = Annotated[int, Field(ge=1, le=MAX_LEDGER), _Number]
Count = Annotated[int, Field(ge=1), _Number]
Auto = Annotated[Count | None, BeforeValidator(lambda given: None if given == "auto" else given)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), _Number]
_WINDOW_BYTES_A_WORKER = 256 << 20
_LEAST_BYTES = 1 << 20
Bytes = Annotated[ByteSize, Field(ge=_LEAST_BYTES), _Number]
_LEAST_CONNECTIONS = 2  # one copies while the other commits
_MORE_WORKERS_A_CORE = 3  # that read ahead from a slow source


def cores() -> int:
    """Return how many cores this process may use, at most its control group's quota."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(usable, int(quota) // int(period)))
    except (OSError, ValueError):  # no such group, or no limit in it
        return usable


def _trusted(given: object) -> object:
    """Read `SEQ:HEX` texts, one or several with commas between them, as (ledger, hash)."""
    texts = given.split(",") if isinstance(given, str) else given
    if not isinstance(texts, list | tuple) or any(isinstance(text, tuple) for text in texts):
        return given  # read before, or nothing that can be
    read: dict[int, bytes] = {}
    for text in texts:
        match = re.fullmatch(r"\s*(\d{1,10}):([0-9A-Fa-f]+)\s*", str(text))
        if not match or len(match[2]) != 2 * HASH_BYTES:
            raise ValueError(f"expected SEQ:HEX with {2 * HASH_BYTES} hex digits, found {text}")
        ledger, trusted = int(match[1]), bytes.fromhex(match[2])
        if read.setdefault(ledger, trusted) != trusted:
            raise ValueError(f"two hashes for ledger {ledger}")
    return tuple(read.items())


class Settings(BaseModel):
    """What every command has. Constructed directly, it takes what it is given and looks nowhere else."""

    model_config = ConfigDict(
        defer_build=True,  # a command needs one of these classes, and each takes a few ms to build
        extra="ignore",  # one file serves every command
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    display: bool = True  # the live one, where there is a terminal
    debug: bool = False


class StoreSettings(Settings):
    """Which database. Without one, the program's own embedded server."""

    database: SecretStr | None = None
    insecure_tls: bool = False  # a server that is not local need not prove who it is

    @field_validator("database")
    @classmethod
    def _remember_secret(cls, database: SecretStr | None) -> SecretStr | None:
        if database is not None:
            secrets.remember(database.get_secret_value())
        return database

    @property
    def database_url(self) -> str | None:
        """The URL with its password, for the connection alone; None: the embedded server."""
        return self.database.get_secret_value() if self.database else None

    @property
    def database_shown(self) -> str:
        """The database as people may see it."""
        return secrets.shown(self.database.get_secret_value()) if self.database else "embedded"


class SourceSettings(Settings):
    """Where ledgers come from, and what is known of them beforehand."""

    source: str = Field(min_length=1)
    network_passphrase: str | None = Field(default=None, min_length=1)  # None: the manifest's
    trusted: Annotated[tuple[tuple[Ledger, bytes], ...], BeforeValidator(_trusted)] = Field(
        default=(), alias="trusted_hash"
    )
    ledgers_per_object: Count | None = None  # None, for these three: the manifest's
    objects_per_partition: Count | None = None
    suffix: Literal[".xdr.zst", ".xdr.zstd"] | None = None
    max_object_bytes: Bytes = ByteSize(256 << 20)  # plain bytes of one object
    fetch_timeout_s: Seconds = Field(default=15.0, alias="fetch_timeout")
    fetch_attempts: Count = 4
    fetch_concurrency: Count = 64  # objects at once, by each worker; 50 ms each, that is 1,280 a second

    @field_validator("source")
    @classmethod
    def _names_a_file(cls, source: str) -> str:
        if source == "stream:":
            raise ValueError("expected stream:FILE")
        return source

    @property
    def source_shown(self) -> str:
        """The source as people may see it."""
        return secrets.shown(self.source)

    @model_validator(mode="after")
    def _network_of_stream(self) -> Self:
        if self.source.startswith("stream:") and self.network_passphrase is None:
            raise ValueError("a stream does not name its network: give --network-passphrase")
        return self


class EngineSettings(Settings):
    """How much is done at once, and how long a missing head may hold the run."""

    workers_given: Auto = Field(default=None, alias="workers")  # None, for these two: by the machine, and corrected
    connections_given: Auto = Field(default=None, alias="connections")
    chunk_ledgers: Count | None = None  # None: by cost
    window: Count | None = None  # chunks; None: 4 a worker
    window_size: Bytes | None = Field(default=None, alias="window_bytes")
    max_attempts: Count = 3
    stall_floor_s: Seconds = Field(default=20.0, alias="stall_floor")
    stall_ceiling_s: Seconds = Field(default=600.0, alias="stall_ceiling")
    hole_deadline_s: Seconds = Field(default=60.0, alias="hole_deadline")

    @property
    def workers(self) -> int:
        """How many worker processes a run begins with."""
        return self.workers_given or cores()

    @property
    def more_workers(self) -> int:
        """How many more may be tried where they wait for the source; none beside a number that was asked for."""
        return 0 if self.workers_given else _MORE_WORKERS_A_CORE * cores()

    @property
    def connections(self) -> int:
        """How many connections a run begins to copy over, side by side: each is a core of PostgreSQL."""
        return self.connections_given or max(_LEAST_CONNECTIONS, cores() // 2)

    @property
    def more_connections(self) -> int:
        """How many more may be tried where workers wait for the database."""
        return 0 if self.connections_given else max(0, cores() - self.connections)

    @property
    def window_chunks(self) -> int:
        """How many chunks may be handed out and not committed."""
        return self.window if self.window is not None else 4 * self.workers

    @property
    def window_bytes(self) -> int:
        """How many bytes of rows may be in work or held."""
        return self.window_size if self.window_size is not None else _WINDOW_BYTES_A_WORKER * self.workers

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.window_chunks < self.workers + 1:
            raise ValueError(
                f"--window of {self.window_chunks} chunks is too small for --workers {self.workers}: "
                f"at least {self.workers + 1}, one for the head"
            )
        if self.stall_floor_s > self.stall_ceiling_s:
            raise ValueError(
                f"--stall-floor of {self.stall_floor_s:g} s is above --stall-ceiling of {self.stall_ceiling_s:g} s"
            )
        return self


class JobSettings(SourceSettings, StoreSettings, EngineSettings):
    """A job over a range of ledgers."""

    unflagged: ClassVar[frozenset[str]] = frozenset()  # settings that its command has no flag for

    start_ledger: Ledger
    end_ledger: Ledger | None = None  # None: the newest of the source
    report: Path | None = None

    @property
    def start_given(self) -> int | None:
        """The first ledger that was asked for, if any."""
        return self.start_ledger if "start_ledger" in self.model_fields_set else None

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.end_ledger is not None and self.end_ledger < self.start_ledger:
            raise ValueError(f"--end-ledger {self.end_ledger} is below --start-ledger {self.start_ledger}")
        if self.fetch_timeout_s > self.stall_ceiling_s:
            raise ValueError(
                f"--fetch-timeout of {self.fetch_timeout_s:g} s is above "
                f"--stall-ceiling of {self.stall_ceiling_s:g} s: an attempt would end before its fetch"
            )
        return self


class BackfillSettings(JobSettings):
    """`backfill`, and `plan`, which only looks."""

    start_ledger: Ledger = 1  # not given: the lowest of the store, with `fill_gaps` alone
    fill_gaps: bool = False  # the range is that of the gaps, and what the books claim wrongly is filled as well

    @model_validator(mode="after")
    def _begins_somewhere(self) -> Self:
        if self.start_given is None and not self.fill_gaps:
            raise ValueError(f"--start-ledger is missing (or {PREFIX}START_LEDGER, or start_ledger in {CONFIG_FILE})")
        return self


class VerifySettings(JobSettings):
    """`verify`."""

    no_database: bool = False  # the source alone: its proofs, no rows


class StatusSettings(StoreSettings):
    """`status`."""

    runs: Count = 10  # how many of the newest are shown


class GapsSettings(StoreSettings):
    """`gaps`."""

    start_ledger: Ledger | None = None  # None: the lowest of the store
    end_ledger: Ledger | None = None  # None: the highest of the store
    books_only: bool = False

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.start_ledger and self.end_ledger and self.end_ledger < self.start_ledger:
            raise ValueError(f"--end-ledger {self.end_ledger} is below --start-ledger {self.start_ledger}")
        return self


class RunsSettings(StoreSettings):
    """`runs`, and `runs show`."""

    limit: Count = 20  # how many of the newest are listed


def _ids(given: object) -> object:
    """Read protocol ids, one or several with commas between them."""
    return tuple(part.strip() for part in given.split(",")) if isinstance(given, str) else given


ProtocolId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]


class SetupSettings(JobSettings):
    """`setup`: a source only for ledgers whose contracts were never read, which are its range."""

    source: str = ""
    start_ledger: Ledger = 1
    protocol_ids: Annotated[tuple[ProtocolId, ...], BeforeValidator(_ids)] = Field(default=(), alias="protocol_id")
    archive: str | None = Field(default=None, min_length=1)
    checkpoint: Ledger | None = None  # None: the newest of the archive

    @model_validator(mode="after")
    def _checkpoint_of_archive(self) -> Self:
        if self.checkpoint is not None and self.archive is None:
            raise ValueError(f"--checkpoint {self.checkpoint} is of no --archive")
        return self


class MigrateSettings(JobSettings):
    """`migrate`: its range is from where the protocols' cursors stand to the tip of the store."""

    unflagged = frozenset({"end_ledger"})

    start_ledger: Ledger = 1  # of current state alone; not given: the cursors know
    protocol_ids: Annotated[tuple[ProtocolId, ...], BeforeValidator(_ids)] = Field(alias="protocol_id", min_length=1)
    until_tip: bool = False


class LiveSettings(JobSettings):
    """`live`: its range is from where the store ends to the newest ledger of the source, which moves."""

    unflagged = frozenset({"end_ledger"})

    start_ledger: Ledger = 1  # not given: where the store ends, and in an empty one the newest of the source
    until_tip: bool = False
    retention_ledgers: Count | None = None  # None: everything is kept


class HistorySettings(MigrateSettings):
    """`migrate history`: it begins with the oldest ledger that live ingestion keeps."""

    unflagged = frozenset({"start_ledger", "end_ledger"})


class LakeSettings(SourceSettings):
    """`lake info`."""
