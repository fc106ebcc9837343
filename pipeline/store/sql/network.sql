-- The one network whose ledgers are here.

-- name: pin
-- The first to come decides; a second waits for it.
INSERT INTO ledgerfill.network (passphrase) VALUES (%(passphrase)s) ON CONFLICT DO NOTHING

-- name: pinned
-- What was decided.
SELECT passphrase FROM ledgerfill.network
