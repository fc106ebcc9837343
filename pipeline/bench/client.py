"""A bare COPY client, the least that any client costs: it copies parts of files, a transaction for each line.

A program of its own, so that its CPU is that of a whole process. The first line of standard input is the server's URL;
it answers with an empty one when it is connected. Each line after it is JSON: a path, and of each table its name, the
offset and the length of its rows in bytes. At the end it says, as JSON, the CPU seconds that the copying and the whole
process took, and the rows that came.
"""

import json
import sys
import time
from collections.abc import Iterable

import psycopg

BUFFER = 256 << 10  # bytes


def main() -> None:
    """Copy until there are no more lines."""
    rows, spent = 0, 0.0
    with psycopg.connect(sys.stdin.readline().strip(), autocommit=True) as conn:
        print(flush=True)
        for line in sys.stdin:
            began = time.process_time()
            rows += _copy(conn, *json.loads(line))
            spent += time.process_time() - began
    print(json.dumps({"rows": rows, "copy_s": spent, "whole_s": time.process_time()}), flush=True)


def _copy(conn: psycopg.Connection, path: str, sections: Iterable[tuple[str, int, int]]) -> int:
    rows = 0
    with conn.transaction(), open(path, "rb", buffering=0) as file:  # noqa: PTH123  # nothing else is imported here
        for table, offset, length in sections:
            file.seek(offset)
            left, buffer, cursor = length, memoryview(bytearray(BUFFER)), conn.cursor()
            with cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)".encode()) as copy:
                while left and (count := file.readinto(buffer[:left])):
                    copy.write(buffer[:count])
                    left -= count
            rows += cursor.rowcount
    return rows


if __name__ == "__main__":
    main()
