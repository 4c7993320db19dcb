"""The SQL of this folder, by name.

Promise: each statement stands in a `.sql` file under its name and with its reason. Refusal: no
statement is put together from pieces.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path


@functools.cache
def statements(name: str) -> Mapping[str, str]:
    """Return the statements of `<name>.sql` by their names."""
    text = Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
    named = (part.split("\n", 1) for part in text.split("-- name: ")[1:])
    return {key.strip(): statement.strip() for key, statement in named}
