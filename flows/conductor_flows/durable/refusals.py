"""Errors by which a store says that it could not, as on a full disk.

Promise: none of them says anything about a run: what was asked may be asked again. Refusal: what a
node raises is not among them, as it comes out of a run as `NodeFailed`.
"""

from __future__ import annotations

from typing import Final

from conductor_sdk.pack_errors import StorageFailed

REFUSALS: Final = (OSError, StorageFailed)
