"""Which tools one MCP client sees, so that its context holds no more than it needs.

Promise: a selection only ever leaves tools out. Refusal: it grants nothing; what a caller may call
is the tool host's to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from conductor_sidecar.errors import RequestInvalid

PATTERNS_MAX = 256
PATTERN_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True)
class Selection:
    """Patterns such as `task:*` or `sidekick_memory_*`; either name of a tool may match."""

    patterns: tuple[str, ...] | None = None
    """None: every tool; (): none."""

    def takes(self, tool: str, mcp_name: str) -> bool:
        """Say whether a tool is in the selection."""
        return self.patterns is None or any(
            fnmatchcase(tool, pattern) or fnmatchcase(mcp_name, pattern)
            for pattern in self.patterns
        )


EVERYTHING = Selection()


def selected(words: Iterable[str]) -> Selection:
    """Read a selection from words, each one pattern or several with commas between them.

    No word at all selects everything; words without a pattern in them select nothing.

    Raises:
        RequestInvalid: More than 256 patterns, or one longer than 200 characters.
    """
    given = list(words)
    if not given:
        return EVERYTHING
    patterns = tuple(part.strip() for word in given for part in word.split(",") if part.strip())
    if len(patterns) > PATTERNS_MAX or any(len(one) > PATTERN_LENGTH_MAX for one in patterns):
        limits = f"{PATTERNS_MAX} patterns of {PATTERN_LENGTH_MAX} characters"
        raise RequestInvalid(f"a selection of tools is at most {limits}")
    return Selection(patterns)
