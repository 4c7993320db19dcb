"""Where the body of a loop ends, and by which edge it goes back.

Promise: the validator and the executor both ask here, so they agree. Refusal: nothing is guessed
where a document leaves two answers.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any


def body_exit(
    values: Mapping[str, Any], targets: Sequence[str], pairs: Container[tuple[str, str]]
) -> str | None:
    """Return the last node of a loop's body; None where that is not clear.

    It is `body_exit` where that is given; else the only target with an edge back to the body's
    first node or to the source; else the first node, where the targets name no other.

    Args:
        values: The configuration of the surface.
        targets: Of the surface.
        pairs: The two ends of every edge.
    """
    given = values.get("body_exit")
    if given is not None:
        return given if isinstance(given, str) else None
    source, entry = values.get("source"), values.get("body_entry")
    if not isinstance(source, str) or not isinstance(entry, str):
        return None
    body = dict.fromkeys(target for target in targets if target != source) | {entry: None}
    back = [alias for alias in body if (alias, entry) in pairs or (alias, source) in pairs]
    if back:
        return back[0] if len(back) == 1 else None
    return entry if len(body) == 1 else None
