"""Copies rows as a worker wrote them: a section of a chunk's file, a whole binary COPY stream, into a table."""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg import sql

from pipeline.actions import ReadyChunk
from pipeline.errors import RowsDiffer
from workers.messages import Section

_BUFFER = 256 << 10  # bytes
_NO_ROWS = 21  # bytes of a binary COPY stream without a row: header and trailer


def copy(conn: psycopg.Connection, into: sql.Composed, section: Section, chunk: ReadyChunk) -> int:
    """Copy a section and return its rows as PostgreSQL counted them. Raises `RowsDiffer` where these are others."""
    if section.rows == 0 and section.length == _NO_ROWS:
        return 0
    left, cursor = section.length, conn.cursor()
    # Read through one small buffer: as quick as a mapping, and a chunk of any size takes no memory.
    with Path(chunk.path).open("rb", buffering=0) as file, memoryview(bytearray(_BUFFER)) as buffer:
        file.seek(section.offset)
        with cursor.copy(into) as copying:
            while left and (read := file.readinto(buffer[:left])):
                copying.write(buffer[:read])
                left -= read
    if cursor.rowcount != section.rows:
        raise RowsDiffer(chunk.ledgers, section.table, wanted=section.rows, found=cursor.rowcount)
    return cursor.rowcount
