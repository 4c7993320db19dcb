"""Which contract this is.

Promise: the hash changes with any schema of any tool. Refusal: no schema is here.

Written by `python -m conductor_packs.sidekick.contract.generate --write`: do not edit.
"""

from __future__ import annotations

from typing import Final

SCHEMA_HASH: Final = "sha256:341ac28a84c0582e4684d32418585a8015a1250604829b276f94ff32ace6ae7e"
"""Over the names and schemas of both tool sets."""
