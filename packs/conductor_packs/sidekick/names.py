"""The pack's own names.

Promise: they stand here once, and importing them costs nothing. Refusal: nothing else is here.
"""

from __future__ import annotations

from typing import Final

PACK: Final = "sidekick"
"""Its id, slug, domain and key in the configuration."""
VERSION: Final = "0.1.0"
ROOT: Final = ".sidekick"
"""The directory of its records, relative to the workspace."""
