"""`ledgerfill backfill`."""

from __future__ import annotations

from pipeline.cli.flags import BackfillFlags

EXAMPLES = """\
Examples:
  ledgerfill backfill --source ./lake --start-ledger 2
  ledgerfill backfill --source ./lake --fill-gaps

  AWS_SKIP_SIGNATURE=true AWS_REGION=us-east-2 ledgerfill backfill \\
    --source s3://aws-public-blockchain/v1.1/stellar/ledgers/pubnet \\
    --start-ledger 63000000 --end-ledger 63000999 --report run.json

Ends with 0 only when the whole range is in the database; 1 failed, 2 refused
before the start, 3 held by another run, 130 and 143 interrupted."""


def backfill(flags: BackfillFlags | None = None) -> int:
    """Fill the database with the ledgers of a range that it lacks: in parallel, in order, every hash proved.

    The same command again goes on where it stopped, and says so where nothing is left to do.
    """
    from pipeline import backfill as job
    from pipeline.cli.job import flags_of, run
    from pipeline.config import BackfillSettings
    from pipeline.config_sources import load

    settings = load(BackfillSettings, flags_of(flags))
    return run(settings, lambda watch: job.run(settings, watch))
