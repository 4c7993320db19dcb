"""What people are shown drives no terminal, hides nothing and is as wide as it says."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_sdk.terminal_text import (
    REPLACED,
    clean,
    clean_lines,
    columns,
    escaped,
    fit,
    fixed,
    padded,
)

HOSTILE = (
    "\x00\x07\x1b[2J\x7f\x9b\u061c\u200b\u200d\u200e\u2028\u202e\u2060\u2066\ufeff\ufffb\udc80"
)
anything = st.text(st.characters(exclude_categories=()), max_size=40)


def test_each_character_that_drives_or_hides_is_replaced_by_one_mark() -> None:
    hidden = [each for each in HOSTILE if each not in "[2J"]
    assert [REPLACED] * len(hidden) == [clean(each) for each in hidden]
    assert "[2J" == clean("[2J")


@given(anything)
def test_a_clean_text_is_one_line_of_characters_that_are_seen(text: str) -> None:
    shown = clean(text)
    assert len(text) == len(shown)
    assert [] == [c for c in shown if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]
    assert [] == [c for c in shown if unicodedata.bidirectional(c) in {"RLO", "LRO", "RLI", "PDF"}]
    assert shown == clean(shown)


@given(anything)
def test_line_ends_and_tabs_may_stay_and_nothing_else(text: str) -> None:
    assert clean(text) == clean(clean_lines(text))
    assert [c for c in text if c in "\n\t"] == [c for c in clean_lines(text) if c in "\n\t"]


@given(st.recursive(st.text(max_size=20), lambda inner: st.lists(inner, max_size=3)))
def test_escaped_json_means_the_same_and_shows_nothing_hidden(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert value == json.loads(escaped(text))
    assert REPLACED not in clean(escaped(text)) or REPLACED in text


@pytest.mark.parametrize(
    ("text", "width"), [("", 0), ("abc", 3), ("日本", 4), ("é", 1), ("e\u0301", 1), ("\uff57", 2)]
)
def test_a_width_is_that_of_a_terminal(text: str, width: int) -> None:
    assert width == columns(text)


@given(anything, st.integers(1, 30), st.booleans())
def test_a_text_can_be_made_to_fit(text: str, width: int, right: bool) -> None:
    assert columns(fit(text, width)) <= width
    assert width == columns(fixed(text, width))
    wide = padded(clean(text), width, right=right)
    assert max(width, columns(clean(text))) == columns(wide)
    assert clean(text) in wide
