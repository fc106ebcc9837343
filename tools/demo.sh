#!/bin/sh
# The main job end to end on a lake and a store of its own, both fresh each time.
set -eu
cd "$(dirname "$0")/.."
unset LEDGERFILL_DATABASE DATABASE_URL LEDGERFILL_CONFIG
if [ "$(id -u)" = 0 ]; then data=/var/lib; else data=${XDG_DATA_HOME:-$HOME/.local/share}; fi
export LEDGERFILL_HOME="${LEDGERFILL_DEMO_HOME:-$data/ledgerfill-demo}"
ledgers=${LEDGERFILL_DEMO_LEDGERS:-500}
lake=$LEDGERFILL_HOME/lake
run() { echo; echo "\$ ledgerfill $*"; .venv/bin/ledgerfill "$@"; }

echo "the demo's own lake and store: $LEDGERFILL_HOME"
.venv/bin/ledgerfill store reset --yes >/dev/null
rm -rf "$lake"
run lake make "$lake" --ledgers "$ledgers"
run backfill --source "$lake" --start-ledger 2
run verify --source "$lake" --start-ledger 2

cat <<END

Next, with   export LEDGERFILL_HOME=$LEDGERFILL_HOME
  .venv/bin/ledgerfill status                         what the store holds
  psql "\$(.venv/bin/ledgerfill store url)" -c 'SELECT * FROM ledgerfill.events_readable LIMIT 5'
  .venv/bin/ledgerfill backfill --source $lake --start-ledger 2     the same command again: nothing to do
  .venv/bin/ledgerfill store stop                     the embedded PostgreSQL runs until then
END
