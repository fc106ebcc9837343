-- The one network whose ledgers are here.

-- name: pin
-- The first to come decides; a second waits for it.
INSERT INTO ledgerfill.network (passphrase) VALUES (%(passphrase)s) ON CONFLICT DO NOTHING

-- name: pinned
-- What was decided.
SELECT passphrase FROM ledgerfill.network

-- name: bound
-- Whether a transaction has proved it, or an archive has brought its contracts: a ledger without any transaction is the
-- same under every passphrase.
SELECT EXISTS (SELECT FROM ledgerfill.transactions) OR EXISTS (SELECT FROM ledgerfill.contract_instances)

-- name: correct
-- Put another in the place of one that nothing has proved.
UPDATE ledgerfill.network SET passphrase = %(passphrase)s, pinned_at = now()
WHERE NOT EXISTS (SELECT FROM ledgerfill.transactions) AND NOT EXISTS (SELECT FROM ledgerfill.contract_instances)
