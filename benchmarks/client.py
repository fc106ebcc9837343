"""A bare COPY client, the least that any client costs: it copies files that it is told of, a transaction each.

A program of its own, so that its CPU is that of a whole process: `client.py URL`, then on each line of standard input
a path and `TABLE OFFSET LENGTH` for each table. Answers each with the CPU seconds that it took.
"""

import sys
import time

import psycopg

BUFFER = 256 << 10


def main() -> None:
    """Copy until there are no more lines."""
    with psycopg.connect(sys.argv[1], autocommit=True) as conn:
        for line in sys.stdin:
            began = time.process_time()
            _copy(conn, *line.split())
            print(time.process_time() - began, flush=True)


def _copy(conn: psycopg.Connection, path: str, *sections: str) -> None:
    with conn.transaction(), open(path, "rb", buffering=0) as file:  # noqa: PTH123  # nothing else is imported here
        for table, offset, length in zip(sections[::3], sections[1::3], sections[2::3], strict=True):
            file.seek(int(offset))
            left, buffer = int(length), memoryview(bytearray(BUFFER))
            with conn.cursor().copy(f"COPY ledgerfill.{table} FROM STDIN (FORMAT BINARY)") as copy:
                while left and (count := file.readinto(buffer[:left])):
                    copy.write(buffer[:count])
                    left -= count


if __name__ == "__main__":
    main()
