-- Tables for trials, beside the store's own: what `bench` compares the product's layout with.

-- name: drop
-- Away with a trial and with the store; what is left of their files goes with the checkpoint.
DROP SCHEMA IF EXISTS trial, ledgerfill CASCADE

-- name: checkpoint
-- Nothing of what was written before weighs on what comes.
CHECKPOINT

-- name: schema
-- A place for trials.
CREATE SCHEMA trial

-- name: plain
-- A table with the product's columns and without any index.
CREATE TABLE trial.{table} (LIKE ledgerfill.{table})

-- name: whole
-- A partitioned table as store version 1 had it: with its key,
CREATE TABLE trial.{table} (LIKE ledgerfill.{table}, PRIMARY KEY ({key})) PARTITION BY RANGE ({first})

-- name: index
-- with its other index,
CREATE INDEX ON trial.{table} ({columns})

-- name: part
-- and with one partition for everything, which gets both.
CREATE TABLE trial.{part} PARTITION OF trial.{table} FOR VALUES FROM (MINVALUE) TO (MAXVALUE)

-- name: rows
-- How many rows came.
SELECT count(*) FROM {table}
