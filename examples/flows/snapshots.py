"""Writes what is made from each example: `flow_ir.json`, `flow.svg`, and locks of bindings.

Promise: the same flow gives the same files; `--check` only says which ones are not up to date.
Refusal: nothing runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from conductor_flows.capabilities.bindings.lock import write
from conductor_flows.capabilities.bindings.spec import parse_all
from conductor_flows.host.loading import load
from conductor_flows.ir.show.svg import svg
from conductor_flows.ir.small import emit

FOLDER = Path(__file__).parent
EXAMPLES = (
    "s1_echo", "s2_site", "s3_branching", "s4_preflight", "s5_unsupported_surface", "s6_spill",
    "etl",
)  # fmt: skip
LOCKED = {"s4_preflight": ["kv=memory"], "s6_spill": ["blob=memory"]}
"""Examples with a lock, and what is bound in it."""


def files() -> Iterator[tuple[Path, bytes]]:
    """Yield every file and what belongs into it."""
    for name in EXAMPLES:
        folder = FOLDER / name
        flow = load("flow.py:flow", folder=folder).flow
        yield folder / "flow_ir.json", emit(flow)
        yield folder / "flow.svg", svg(flow).encode()
        if name in LOCKED:
            yield folder / "bindings.lock.json", write([flow.id], parse_all(LOCKED[name]))


def main() -> int:
    """Write what is not up to date."""
    stale = [
        (path, data) for path, data in files() if not path.exists() or path.read_bytes() != data
    ]
    for path, data in stale:
        print(path.relative_to(FOLDER))
        if "--check" not in sys.argv:
            path.write_bytes(data)
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
