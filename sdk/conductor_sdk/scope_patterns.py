"""Patterns of paths in a scope: matched, compared and intersected exactly.

Promise: pure. A path that an intersection matches is matched by both patterns, and the other way
round. `**` stands for any number of path segments, dot directories included; `*` and `?` stay
within one. Refusal: everything that two glob dialects read differently (braces, brackets,
parentheses, `!`, backslashes, `..`) is no pattern here, so it can never widen anything.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias

Segments: TypeAlias = tuple[str, ...]

RESERVED = ".lumenflow"
"""The workspace's directory that belongs to the daemon alone."""
SEGMENTS_MAX = 64
STARS_MAX = 8
"""`**` in one pattern, and `*` in one of its segments: what an intersection costs is their sum."""
RESULTS_MAX = 256
"""Patterns that one intersection may need; past that it counts as empty."""
_REFUSED = re.compile(r"[\[\]{}()!\\\x00-\x1f\x7f]")
_IGNORED = dict.fromkeys(
    [0x200C, 0x200D, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)
"""Code points that some file systems leave out when they compare names."""


class PatternRefused(ValueError):
    """The text is no pattern here."""


def parse(pattern: str) -> Segments:
    """Read a pattern, relative to the workspace.

    Raises:
        PatternRefused: It is absolute, leads up, or holds what is not understood here.
    """
    if _REFUSED.search(pattern):
        raise PatternRefused(f"{pattern!r} holds a character that is not understood in a scope")
    if pattern.startswith(("/", "~")):
        raise PatternRefused(f"{pattern!r} is not relative to the workspace")
    segments = tuple(_plain(segment) for segment in pattern.split("/") if segment not in {"", "."})
    if ".." in segments:
        raise PatternRefused(f"{pattern!r} leads up")
    if not pattern or len(segments) > SEGMENTS_MAX:
        raise PatternRefused(f"{pattern!r} has no segment, or more than {SEGMENTS_MAX}")
    merged = _merged(segments)
    if merged.count("**") > STARS_MAX or any(s.count("*") > STARS_MAX for s in merged):
        raise PatternRefused(f"{pattern!r} has more than {STARS_MAX} stars")
    return merged


def render(segments: Segments) -> str:
    """Return the text of a parsed pattern."""
    return "/".join(segments) or "."


def _plain(segment: str) -> str:
    return segment if segment == "**" else re.sub(r"\*+", "*", segment)


def _merged(segments: Iterable[str]) -> Segments:
    result: list[str] = []
    for segment in segments:
        if segment == "**" and result and result[-1] == "**":
            continue
        result.append(segment)
    return tuple(result)


@lru_cache(maxsize=4096)
def matcher(segments: Segments) -> re.Pattern[str]:
    """Return the pattern as a regular expression over `/`-joined paths; use `fullmatch`.

    The workspace itself is the empty path; every segment of a path is followed by a slash here,
    so give `path + "/"`.
    """
    groups: list[str] = [""]
    for segment in segments:
        if segment == "**":
            groups.append("")
        else:
            groups[-1] += _segment(segment)
    return re.compile(_between("(?:[^/]+/)*", groups))


def _segment(segment: str) -> str:
    if segment == "*":  # a star alone stands for a name, and a name is never empty
        return "[^/]+/"
    literals = [re.escape(text).replace(r"\?", "[^/]") for text in segment.split("*")]
    return _between("[^/]*", literals) + "/"


def _between(wild: str, pieces: Sequence[str]) -> str:
    """Return the expression of pieces with anything between; it takes quadratic time at most.

    The first place of a piece is as good as any later one, so no choice is tried again.
    """
    if len(pieces) == 1:
        return pieces[0]
    inner = "".join(f"(?>{wild}?{piece})" for piece in pieces[1:-1] if piece)
    return f"{pieces[0]}{inner}{wild}{pieces[-1]}"


def matches(segments: Segments, path: Sequence[str]) -> bool:
    """Tell whether a pattern matches a path, given as its names."""
    return matcher(segments).fullmatch("".join(name + "/" for name in path)) is not None


def intersection(first: Segments, second: Segments) -> tuple[Segments, ...]:
    """Return patterns that together match exactly what both match; (): nothing.

    Where more than `RESULTS_MAX` patterns were needed, nothing: narrower, never wider.
    """
    try:
        found = _paths(first, second)
    except _TooMany:
        return ()
    return smallest(found)


def smallest(patterns: Iterable[Segments]) -> tuple[Segments, ...]:
    """Return the patterns without those that another one covers, sorted."""
    kept: list[Segments] = []
    for pattern in sorted(set(patterns), key=lambda each: (len(each), each)):
        if any(covers(other, pattern) for other in kept):
            continue
        kept = [other for other in kept if not covers(pattern, other)]
        kept.append(pattern)
    return tuple(sorted(kept))


class _TooMany(Exception):
    """An intersection needs too many patterns."""


def _bounded(found: set[Segments]) -> frozenset[Segments]:
    if len(found) > RESULTS_MAX:
        raise _TooMany
    return frozenset(found)


@lru_cache(maxsize=8192)
def _paths(p: Segments, q: Segments) -> frozenset[Segments]:
    """Intersect by the first segment of each; `**` either takes one more or ends."""
    if not p or not q:
        rest = p or q
        return frozenset({()}) if all(segment == "**" for segment in rest) else frozenset()
    if p[0] == "**" and q[0] == "**":
        ends = _paths(p[1:], q) | _paths(p, q[1:])
        return _bounded({_merged(("**", *rest)) for rest in ends})
    if p[0] == "**":
        taken = {(q[0], *rest) for rest in _paths(p, q[1:])}
        return _bounded({*taken, *_paths(p[1:], q)})
    if q[0] == "**":
        return _paths(q, p)
    heads = _names(p[0], q[0])
    if not heads:
        return frozenset()
    return _bounded({(head, *rest) for head in heads for rest in _paths(p[1:], q[1:])})


@lru_cache(maxsize=8192)
def _names(p: str, q: str) -> frozenset[str]:
    """Intersect two segments; none of the results is a name that no file has.

    A result is read again as a pattern, where `.` would vanish and what is left be wider.
    """
    return frozenset(_plain(name) for name in _texts(p, q) if name not in {"", ".", ".."})


@lru_cache(maxsize=8192)
def _texts(p: str, q: str) -> frozenset[str]:
    if not p or not q:
        return frozenset({""}) if set(p or q) <= {"*"} else frozenset()
    if p[0] == "*" and q[0] == "*":
        return _few({"*" + rest for rest in _texts(p[1:], q) | _texts(p, q[1:])})
    if p[0] == "*":
        return _few({*(q[0] + rest for rest in _texts(p, q[1:])), *_texts(p[1:], q)})
    if q[0] == "*":
        return _texts(q, p)
    if p[0] == q[0] or q[0] == "?":
        return frozenset(p[0] + rest for rest in _texts(p[1:], q[1:]))
    return frozenset(q[0] + rest for rest in _texts(p[1:], q[1:])) if p[0] == "?" else frozenset()


def _few(found: set[str]) -> frozenset[str]:
    # `*` and `**` within a segment are one star; fold them before they multiply.
    folded = {_plain(name) for name in found}
    if len(folded) > RESULTS_MAX:
        raise _TooMany
    return frozenset(folded)


@lru_cache(maxsize=8192)
def covers(wide: Segments, narrow: Segments) -> bool:
    """Tell whether `wide` matches all that `narrow` does; in doubt False."""
    if not wide:
        return not narrow
    if wide[0] == "**":
        return covers(wide[1:], narrow) or (bool(narrow) and covers(wide, narrow[1:]))
    if not narrow or narrow[0] == "**":
        return False
    return _covers_name(wide[0], narrow[0]) and covers(wide[1:], narrow[1:])


@lru_cache(maxsize=8192)
def _covers_name(wide: str, narrow: str) -> bool:
    if not wide:
        return not narrow
    if wide[0] == "*":
        return _covers_name(wide[1:], narrow) or (bool(narrow) and _covers_name(wide, narrow[1:]))
    if not narrow or narrow[0] == "*":
        return False
    return wide[0] in {"?", narrow[0]} and _covers_name(wide[1:], narrow[1:])


def is_reserved(path: Sequence[str]) -> bool:
    """Tell whether a path is `.lumenflow` or lies below it, however its name is written."""
    return bool(path) and folded(path[0]) == RESERVED


def aims_at_reserved(segments: Segments) -> bool:
    """Tell whether a pattern names `.lumenflow`, rather than everything and so it too."""
    rest = list(segments)
    while rest and rest[0] == "**":
        rest.pop(0)
    if not rest or rest[0] == "*":
        return False
    return matcher((folded(rest[0]),)).fullmatch(RESERVED + "/") is not None


def folded(name: str) -> str:
    """Return a name as the most forgiving file system would compare it."""
    text = unicodedata.normalize("NFKC", name.translate(_IGNORED)).casefold()
    return unicodedata.normalize("NFKC", text).rstrip(". ")
