"""A world whose files a test changes, over each adapter."""

from __future__ import annotations

from reload_fixtures import packs, world

__all__ = ["packs", "world"]
