"""Patterns of paths: what they match, and what two of them have in common.

The fuzz compares with a matcher that shares no code and takes no short cuts.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conductor_sdk.scope_patterns import (
    PatternRefused,
    aims_at_reserved,
    covers,
    folded,
    intersection,
    is_reserved,
    matches,
    parse,
    render,
)

NAMES = st.sampled_from(["a", "b", "ab", "ba", "aba", ".a", ".sidekick", "x"])
PATHS = st.lists(NAMES, max_size=5).map(tuple)
SEGMENT = st.sampled_from(
    ["**", "**", "*", "a", "b", "x", "a*", "*b", "?", "*a*", "?b", "a?", "*b*a", ".*", ".sidekick"]
)
PATTERNS = st.lists(SEGMENT, min_size=1, max_size=4).map("/".join)


def slow_name(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(slow_name(pattern[1:], name[at:]) for at in range(len(name) + 1))
    return bool(name) and pattern[0] in {"?", name[0]} and slow_name(pattern[1:], name[1:])


def slow(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(slow(pattern[1:], path[at:]) for at in range(len(path) + 1))
    return bool(path) and slow_name(pattern[0], path[0]) and slow(pattern[1:], path[1:])


def both(first: str, second: str) -> list[str]:
    return [render(each) for each in intersection(parse(first), parse(second))]


@settings(max_examples=1500, deadline=None)
@given(PATTERNS, PATTERNS, PATHS)
@example("a/**", "**/a", ("a",))
@example("**/?", "**/.*", ("a",))
def test_an_intersection_matches_exactly_what_both_match(
    first: str, second: str, path: tuple[str, ...]
) -> None:
    p, q = tuple(first.split("/")), tuple(second.split("/"))
    expected = slow(p, path) and slow(q, path)
    found = intersection(parse(first), parse(second))
    assert expected == any(slow(each, path) for each in found)
    assert list(found) == [parse(render(each)) for each in found]


@settings(max_examples=500, deadline=None)
@given(PATTERNS, PATHS)
def test_a_pattern_matches_as_the_slow_matcher_says(pattern: str, path: tuple[str, ...]) -> None:
    assert slow(tuple(pattern.split("/")), path) == matches(parse(pattern), path)


@settings(max_examples=500, deadline=None)
@given(PATTERNS, PATTERNS, PATHS)
def test_what_covers_another_pattern_matches_all_that_it_does(
    wide: str, narrow: str, path: tuple[str, ...]
) -> None:
    if covers(parse(wide), parse(narrow)) and slow(tuple(narrow.split("/")), path):
        assert slow(tuple(wide.split("/")), path)


@settings(max_examples=200, deadline=None)
@given(PATTERNS)
def test_a_pattern_covers_itself_and_meets_itself_in_itself(pattern: str) -> None:
    parsed = parse(pattern)
    assert covers(parsed, parsed)
    assert any(covers(each, parsed) for each in intersection(parsed, parsed))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("**", ".sidekick/**", [".sidekick/**"]),
        ("packages/a/**", "packages/*/src/**", ["packages/a/src/**"]),
        ("packages/a/**", "packages/b/src/**", []),
        ("docs/**", "docs/tasks/**", ["docs/tasks/**"]),
        ("**/*.ts", "src/**", ["src/**/*.ts"]),
        ("a*", "*a", ["a", "a*a"]),
        ("./docs//x/.", "docs/**", ["docs/x"]),
        ("*", "a/b", []),
        ("*/b", "a/*", ["a/b"]),
    ],
)
def test_known_intersections(first: str, second: str, expected: list[str]) -> None:
    assert expected == both(first, second)
    assert expected == both(second, first)


def test_a_star_stays_within_one_segment_and_two_stars_reach_dot_directories() -> None:
    assert matches(parse("docs/*"), ["docs", ".hidden"])
    assert not matches(parse("docs/*"), ["docs", "a", "b"])
    assert matches(parse("**"), [".sidekick", "tasks.json"])
    assert matches(parse(".sidekick/**"), [".sidekick"])


@pytest.mark.parametrize(
    "pattern",
    [
        "{docs,packages}/**", "@(docs|src)/**", "+(a)/b", "!docs/**", "[.]lumenflow/**",
        "docs/../secret", "..", "/etc/**", "~/x", "a\0b", "a\\b", "", "a/" * 65, "x\ny",
        "/".join(["**", "a"] * 9), "a*" * 9,
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_no_pattern(pattern: str) -> None:
    with pytest.raises(PatternRefused):
        parse(pattern)


def test_a_dot_is_the_workspace_itself_and_nothing_in_it() -> None:
    assert matches(parse("."), [])
    assert not matches(parse("."), ["docs"])


@pytest.mark.parametrize(
    "pattern",
    [
        ".lumenflow/**", ".lumenflow", ".LUMENFLOW/**", "././.lumenflow/state/**", ".l*/**",
        ".lumenflow*/**", "**/.lumenflow/**", "?lumenflow/x", "*flow/x", ".Lumenflow./x",
        ".lumen\u200cflow/x", "\uff0elumenflow/x",
    ],
)  # fmt: skip
def test_a_pattern_that_names_the_reserved_directory_is_found_out(pattern: str) -> None:
    assert aims_at_reserved(parse(pattern))


@pytest.mark.parametrize(
    "pattern", ["**", "*", "*/**", "docs/**", "docs/.lumenflow/x", ".sidekick/**", "lumenflow/**"]
)
def test_a_pattern_for_everything_or_elsewhere_does_not_name_it(pattern: str) -> None:
    assert not aims_at_reserved(parse(pattern))


@pytest.mark.parametrize(
    "name",
    [".lumenflow", ".LUMENFLOW", ".LumenFlow", ".lumenflow.", ".lumenflow ", ".lu\u200dmenflow"],
)
def test_every_way_to_write_the_reserved_name_is_one(name: str) -> None:
    assert folded(name) == ".lumenflow"
    assert is_reserved([name, "state"])
    assert not is_reserved(["docs", name])


def test_hostile_patterns_and_paths_take_no_time() -> None:
    assert not matches(parse("*a*a*a*a*a*a*a*b"), ["a" * 255])
    assert not matches(parse("**/a/**/a/**/a/**/a/**/a/**/b"), ["a"] * 1000)
    intersection(parse("*a*b*c*d*e*f*"), parse("*f*e*d*c*b*a*"))
    intersection(parse("/".join(["**", "a"] * 8)), parse("/".join(["**", "b"] * 8)))
