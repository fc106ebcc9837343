-- Ledgers whose contracts were never read.

-- name: all
-- All of them.
SELECT first, last FROM ledgerfill.contracts_unread ORDER BY first

-- name: shrink
-- The compare-and-swap: a range that begins with the chunk now begins above it.
UPDATE ledgerfill.contracts_unread SET first = %(last)s::int4 + 1 WHERE first = %(first)s AND last > %(last)s

-- name: end
-- The same of a range that is no longer than the chunk.
DELETE FROM ledgerfill.contracts_unread WHERE first = %(first)s AND last = %(last)s
