"""Writes the access log of this example, `log/access-*.log`, and `payload.json`, which lists it.

Two hours of requests, in the order in which they arrived: most at once, some up to 100 seconds
behind, a few many minutes late, and some a second time. The same script gives the same files.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

FOLDER = Path(__file__).parent
BEGIN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
MINUTES, PER_FILE_MINUTES = 120, 20
CUSTOMERS = ("acme", "birch", "cobalt", "dune", "ember", "fjord", "gale", "harbor")
PATHS = ("/v1/items", "/v1/items/7", "/v1/search", "/v1/export", "/health")
BEHIND, LATE, AGAIN, FAILED = 0.15, 0.012, 0.03, 0.03
"""Shares of lines that come behind others, after their window, a second time; of errors."""


def arrivals() -> Iterator[tuple[datetime, str]]:
    """Yield when each line arrives, and the line."""
    chance = random.Random(20261120)  # noqa: S311  # the same log every time
    moment, number = BEGIN, 0
    while (moment := moment + timedelta(milliseconds=chance.randint(200, 4600))) < (
        BEGIN + timedelta(minutes=MINUTES)
    ):
        number += 1
        # Few customers make most of the requests.
        customer = CUSTOMERS[min(int(chance.expovariate(0.6)), len(CUSTOMERS) - 1)]
        size = int(chance.lognormvariate(8.5, 1.4))
        status = 503 if chance.random() > 1 - FAILED else 200
        stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        path = chance.choice(PATHS)
        line = f"{stamp} r{number:06d} {customer} {status} {size} {path}"
        delay_s, lot = 0.0, chance.random()
        if lot < LATE:
            delay_s = chance.uniform(8 * 60, 30 * 60)
        elif lot < LATE + BEHIND:
            delay_s = chance.uniform(1, 100)
        yield moment + timedelta(seconds=delay_s), line
        if chance.random() < AGAIN:
            yield moment + timedelta(seconds=delay_s + chance.uniform(0, 60)), line


def main() -> None:
    """Write the files."""
    files: dict[str, list[str]] = {}
    for arrived, line in sorted(arrivals()):
        file = int((arrived - BEGIN) / timedelta(minutes=PER_FILE_MINUTES))
        files.setdefault(f"access-{file}.log", []).append(line)
    listing = []
    (FOLDER / "log").mkdir(exist_ok=True)
    for name, lines in files.items():
        data = "".join(f"{line}\n" for line in lines).encode()
        (FOLDER / "log" / name).write_bytes(data)
        listing.append({"key": name, "sha256": hashlib.sha256(data).hexdigest()})
    text = json.dumps({"objects": listing}, indent=2)
    (FOLDER / "payload.json").write_text(f"{text}\n", encoding="utf-8")
    print(f"{sum(map(len, files.values()))} lines in {len(files)} files")


if __name__ == "__main__":
    main()
