"""`ledgerfill migrate current-state` and `ledgerfill migrate history`."""

from __future__ import annotations

from cyclopts import App

from pipeline.cli.flags import CurrentStateFlags, MigrateFlags

app = App(name="migrate", help="Compute what protocols make of ledgers that are in the database already.")
_ENDS = """\
Without --until-tip it goes on until live ingestion takes over. Ends with 0 only
when all is done; 1 failed, 2 refused before the start, 3 held by another run,
130 and 143 interrupted."""
_CURRENT_STATE = f"""\
Examples:
  ledgerfill migrate current-state --source ./lake --protocol-id SEP41 \\
    --start-ledger 2 --until-tip

{_ENDS}"""
_HISTORY = f"""\
Examples:
  ledgerfill migrate history --source ./lake --protocol-id SEP41 --until-tip

{_ENDS}"""


@app.command(name="current-state", help_epilogue=_CURRENT_STATE)
def current_state(flags: CurrentStateFlags | None = None) -> int:
    """Make the current state of protocols: balances, allowances, owners.

    The same command again goes on where it stopped.
    """
    from pipeline import migrate as job
    from pipeline.cli.job import flags_of, run
    from pipeline.config import MigrateSettings
    from pipeline.config_sources import load
    from pipeline.store.cursors import JOBS

    settings = load(MigrateSettings, flags_of(flags))
    return run(settings, lambda watch: job.run("current_state", settings, watch), command=JOBS["current_state"])


@app.command(help_epilogue=_HISTORY)
def history(flags: MigrateFlags | None = None) -> int:
    """Make the history of protocols: each change of a state, from the oldest ledger that live ingestion keeps.

    The same command again goes on where it stopped.
    """
    from pipeline import migrate as job
    from pipeline.cli.job import flags_of, run
    from pipeline.config import HistorySettings
    from pipeline.config_sources import load
    from pipeline.store.cursors import JOBS

    settings = load(HistorySettings, flags_of(flags))
    return run(settings, lambda watch: job.run("history", settings, watch), command=JOBS["history"])
