"""A scope of any kind, as callers, tools and the workspace have them.

Promise: importing it costs nothing. Refusal: what scopes mean is said in `scopes`.
"""

from __future__ import annotations

from typing import TypeAlias

from conductor_sdk.manifest_tools import NetworkScope, PathScope

AnyScope: TypeAlias = PathScope | NetworkScope
