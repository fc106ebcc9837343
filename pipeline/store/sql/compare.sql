-- The rows of a table as they would have been loaded.

-- name: rows
-- Keys from low to high, both included, in key order, as the stream that a worker would write.
COPY (SELECT {columns} FROM ledgerfill.{table} WHERE {key} BETWEEN {low} AND {high} ORDER BY {order}) TO STDOUT (FORMAT BINARY)
