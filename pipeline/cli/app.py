"""The commands by name. Nothing heavy is imported before a command runs, so that help is there at once."""

from __future__ import annotations

from cyclopts import App, Parameter

from pipeline.cli import backfill, bench, gaps, lake, live, migrate, plan, runs, setup, status, store, verify

_TEXT = """\
Fills PostgreSQL with the history of a ledger network: in parallel and in order.

Settings come from flags, then the environment (LEDGERFILL_WORKERS
for --workers), then a TOML file (workers = 4)."""


def make_app() -> App:
    """Return the command line."""
    app = App(
        name="ledgerfill",
        help=_TEXT,
        help_format="plaintext",
        default_parameter=Parameter(show_default=False),  # the texts say them, with their units
        version=_version,
        suppress_keyboard_interrupt=False,  # the outermost door has a word for it
    )
    app.command(backfill.backfill, help_epilogue=backfill.EXAMPLES)
    app.command(setup.setup, help_epilogue=setup.EXAMPLES)
    app.command(migrate.app)
    app.command(live.live, help_epilogue=live.EXAMPLES)
    app.command(plan.plan, help_epilogue=plan.EXAMPLES)
    app.command(status.status, help_epilogue=status.EXAMPLES)
    app.command(runs.app)
    app.command(gaps.gaps, help_epilogue=gaps.EXAMPLES)
    app.command(verify.verify, help_epilogue=verify.EXAMPLES)
    app.command(bench.bench, help_epilogue=bench.EXAMPLES)
    app.command(lake.app)
    app.command(store.app)
    return app


def _version() -> str:
    from importlib.metadata import version

    return version("ledgerfill")
