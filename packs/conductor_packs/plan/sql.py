"""SQL statements by name, from the `.sql` files beside this module.

Promise: a file is read once, and every statement has a name and a sentence that says what it is
for. Refusal: no statement is put together from values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_STATEMENT = re.compile(
    r"^-- name: (?P<name>[a-z][a-z0-9_]*)\n(?:-- [^\n]+\n)+(?P<sql>.+?);\n",
    re.DOTALL | re.MULTILINE,
)


@cache
def load_sql(name: str) -> Mapping[str, str]:
    """Return the statements of `<name>.sql` by name, in the order of the file.

    Args:
        name: Relative to this package, for example `gateway/statements`.


    Raises:
        KeyError: When a statement that is not in the file is looked up.
    """
    text = (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")
    return {found["name"]: found["sql"].strip() for found in _STATEMENT.finditer(text)}
