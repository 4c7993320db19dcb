"""Names for MCP clients, selections and schemas: the pure parts."""

from __future__ import annotations

import re
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_handlers.toolhost.records import Listing
from conductor_sdk.tool_output import ToolOutput, failed, succeeded
from conductor_sidecar.errors import RequestInvalid
from conductor_sidecar.mcp.names import named
from conductor_sidecar.mcp.present import result_of, tool_of
from conductor_sidecar.mcp.selection import selected


def listing(name: str, mcp_name: str, **more: Any) -> Listing:
    fields: dict[str, Any] = {
        "pack": "p", "version": "1", "permission": "read", "input_schema": {"type": "object"},
        "required_scopes": [],
    }  # fmt: skip
    return Listing(name=name, mcp_name=mcp_name, **(fields | more))


def names(*wishes: tuple[str, str]) -> dict[str, str]:
    return {one.name: name for name, one in named(listing(*wish) for wish in wishes).items()}


def test_a_name_that_nobody_else_wants_stays() -> None:
    assert {"task:create": "sidekick_task_create"} == names(("task:create", "sidekick_task_create"))


def test_a_name_that_two_want_is_given_to_neither() -> None:
    found = names(("b:c", "a_b_c"), ("b_c", "a_b_c"), ("x", "a_x"))

    assert "a_x" == found["x"]
    assert 2 == len({found["b:c"], found["b_c"]} - {"a_b_c"})
    assert all(re.fullmatch(r"a_b_c_[0-9a-f]{8}", found[name]) for name in ("b:c", "b_c"))


def test_the_order_of_packs_changes_no_name() -> None:
    wishes = [("b:c", "a_b_c"), ("b_c", "a_b_c"), ("x" * 90, "a_" + "x" * 90), ("x", "a_x")]

    assert 1 == len({tuple(sorted(names(*order).items())) for order in permutations(wishes)})


def test_a_long_name_keeps_its_beginning_and_becomes_64_characters() -> None:
    long = "sidekick_" + "x" * 100
    (name,) = names(("x" * 100, long)).values()

    assert 64 == len(name)
    assert name.startswith("sidekick_xxxx")


def test_a_tool_that_is_named_like_another_ones_short_name_takes_nothing_from_it() -> None:
    long = ("x" * 100, "a_" + "x" * 100)
    (short,) = names(long).values()
    found = names(long, ("thief", short))

    assert 2 == len(set(found.values()))
    assert all(len(name) <= 64 for name in found.values())


@given(st.dictionaries(st.text(min_size=1), st.text(), min_size=1, max_size=20))
def test_every_tool_has_one_name_that_clients_take(wishes: dict[str, str]) -> None:
    found = names(*wishes.items())

    assert set(wishes) == set(found)
    assert len(wishes) == len(set(found.values()))
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in found.values())


def test_no_word_selects_everything_and_an_empty_one_nothing() -> None:
    assert selected([]).takes("task:create", "sidekick_task_create")
    assert not selected([""]).takes("task:create", "sidekick_task_create")


@pytest.mark.parametrize("words", [["a," * 300], ["x" * 201], ["x"] * 257])
def test_a_selection_beyond_measure_is_refused(words: list[str]) -> None:
    with pytest.raises(RequestInvalid):
        selected(words)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, {"type": "object"}),
        ({"properties": {"a": True}}, {"properties": {"a": True}, "type": "object"}),
        ({"anyOf": [{"required": ["a"]}]}, {"anyOf": [{"required": ["a"]}], "type": "object"}),
        ({"type": ["object", "null"]}, {"type": "object"}),
    ],
)
def test_every_input_schema_is_an_objects(schema: Any, expected: Any) -> None:
    assert expected == tool_of("n", listing("t", "n", input_schema=schema)).input_schema


@pytest.mark.parametrize(
    "schema",
    [None, {}, {"type": "object"}, {"type": "array"}, {"type": "object", "properties": {}}],
)
def test_a_schema_of_answers_that_says_nothing_is_left_out(schema: Any) -> None:
    assert tool_of("n", listing("t", "n", output_schema=schema)).output_schema is None


def test_data_of_a_failed_call_is_kept() -> None:
    result = result_of(failed("PARTIAL", "Half of it.", data={"done": 1}))

    assert {
        "code": "PARTIAL",
        "message": "Half of it.",
        "data": {"done": 1},
    } == result.structured_content


def test_an_answer_without_data_is_an_empty_object() -> None:
    assert {} == result_of(succeeded()).structured_content
    assert {} == result_of(ToolOutput(success=True)).structured_content


def test_what_json_has_no_word_for_is_null() -> None:
    result = result_of(succeeded({"x": float("nan")}))

    assert {"x": None} == result.structured_content
