"""`ledgerfill live`."""

from __future__ import annotations

from pipeline.cli.flags import LiveFlags

EXAMPLES = """\
Examples:
  ledgerfill live --source ./lake
  ledgerfill live --source ./lake --retention-ledgers 120000

It goes on until it is interrupted (130 and 143), or ends with 0 at the newest
ledger with --until-tip; 1 failed, 2 refused before the start, 3 another live
ingestion has the store."""


def live(flags: LiveFlags | None = None) -> int:
    """Follow the newest ledger of the source, from where the database ends, and take over from backfill and migrations.

    The same command again goes on where it stopped.
    """
    from pipeline import live as job
    from pipeline.cli.job import flags_of, run
    from pipeline.config import LiveSettings
    from pipeline.config_sources import load

    settings = load(LiveSettings, flags_of(flags))
    return run(settings, lambda watch: job.run(settings, watch), command="live")
