"""Whether a pack's files hash to what the workspace's configuration pins.

Promise: without a pin any pack that can be hashed passes, and its hash is in the verdict. Refusal:
nothing is pinned here.
"""

from __future__ import annotations

from pathlib import Path

from conductor_handlers.pack_lint.verdict import Check, Finding, checked
from conductor_sdk.pack_hash import NotHashable, tree_hash

TITLE = "integrity hash"


def check_integrity(root: Path, pin: str | None) -> tuple[Check, str | None]:
    """Hash a pack and compare it with the pin."""
    try:
        found = tree_hash(root)
    except (NotHashable, OSError) as error:
        problem = Finding("not_hashable", str(root), str(error), "make it a plain file")
        return checked("integrity", TITLE, [problem]), None
    if pin is None or pin == found:
        return checked("integrity", TITLE, []), found
    problem = Finding(
        "pin_mismatch", "packs.pins", f"the files hash to {found}, pinned is {pin}",
        "look at what changed; if it is meant to, pin the new hash in conductor.toml",
    )  # fmt: skip
    return checked("integrity", TITLE, [problem]), found
