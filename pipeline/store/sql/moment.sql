-- Reading several tables as of one moment.

-- name: begin
-- Whatever others commit meanwhile, this transaction sees the store as its first query found it.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
