"""Tells what is in the tables: `python totals.py warehouse.db`."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing


def main(database: str) -> None:
    """Print sums and the three largest rows."""
    with closing(sqlite3.connect(database)) as connection:
        rows, used, most = connection.execute(
            "SELECT count(*), sum(bytes), max(writes) FROM usage"
        ).fetchone()
        [late] = connection.execute("SELECT count(*) FROM late_events").fetchone()
        print(f"{rows} rows, {used} bytes, each written {most} time; {late} late lines")
        for customer, start, size in connection.execute(
            "SELECT customer_id, datetime(window_start / 1000, 'unixepoch'), bytes FROM usage"
            " ORDER BY bytes DESC LIMIT 3"
        ):
            print(f"{customer:8} {start} {size:>9}")


if __name__ == "__main__":
    main(sys.argv[1])
