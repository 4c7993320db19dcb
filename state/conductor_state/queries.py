"""SQL statements by name, from the `.sql` files in `queries/`.

Promise: every statement has a name and a sentence that says what it is for, and a file is read
once. Refusal: no statement is put together from values.

The form of a file: `-- name: <name>`, then one comment line or more, then the statement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "queries"
_STATEMENT = re.compile(
    r"^-- name: (?P<name>[a-z][a-z0-9_]*)\n(?P<comment>(?:-- [^\n]+\n)+)(?P<sql>.+?);\n",
    re.DOTALL | re.MULTILINE,
)


@cache
def load_queries(name: str) -> Mapping[str, str]:
    """Return the statements of `queries/<name>.sql` by name.

    Raises:
        KeyError: When a statement that is not in the file is looked up.
    """
    text = (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    return {found["name"]: found["sql"].strip() for found in _STATEMENT.finditer(text)}
