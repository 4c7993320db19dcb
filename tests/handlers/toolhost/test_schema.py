"""Schemas of tools: compiled once, strict, and what is checked is what runs."""

from __future__ import annotations

from typing import Any

import pytest

from conductor_sdk.tool_entry import ToolUnavailable, load_entry, read_answer
from conductor_sdk.tool_output import ToolFault, ToolOutput, failed, succeeded
from conductor_sdk.tool_schema import DEPTH_MAX, NotJson, Schema, from_json, to_json

TASK = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1},
        "priority": {"type": "string", "enum": ["P0", "P1"]},
        "tags": {"type": "array", "items": {"type": "object", "properties": {"n": {}}}},
        "open": {"type": "object"},
        "more": {"type": "object", "properties": {}, "additionalProperties": True},
    },
    "required": ["title"],
}


def pointers(value: Any, schema: dict[str, Any] = TASK) -> list[str]:
    return sorted(problem["pointer"] for problem in Schema(schema, strict=True).problems(value))


def test_every_problem_has_its_pointer() -> None:
    given = {"title": "", "priority": "P9", "tags": [{"n": 1}, {"x/~": 1}], "surplus": 1}
    assert ["", "/priority", "/tags/1", "/title"] == pointers(given)
    assert [""] == pointers({})
    assert ["/a~1b~0"] == pointers(
        {"a/b~": 1}, {"type": "object", "properties": {"a/b~": {"type": "string"}}}
    )


def test_objects_that_name_their_properties_take_no_others_unless_they_say_so() -> None:
    assert [] == pointers({"title": "t", "open": {"any": 1}, "more": {"any": 1}})
    assert ["/tags/0"] == pointers({"title": "t", "tags": [{"other": 1}]})
    assert [""] == pointers({"any": 1}, {"type": "object"})
    assert [] == pointers({"any": 1}, {"type": "object", "additionalProperties": True})


def test_composed_objects_are_closed_as_a_whole_and_not_piece_by_piece() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {}},
        "allOf": [{"properties": {"b": {}}}, {"$ref": "#/$defs/c"}],
        "$defs": {"c": {"properties": {"c": {}}, "unevaluatedProperties": True}},
    }
    assert [] == pointers({"a": 1, "b": 2, "c": 3}, schema)
    step = {"oneOf": [{"type": "string"}, {"type": "object", "properties": {"tool": {}}}]}
    routine = {"type": "object", "properties": {"steps": {"type": "array", "items": step}}}
    assert [] == pointers({"steps": ["a", {"tool": "b"}]}, routine)
    assert ["/steps/0"] == pointers({"steps": [{"toll": "b"}]}, routine)


def test_an_answer_is_checked_as_the_schema_stands() -> None:
    assert [] == Schema(TASK).problems({"title": "t", "surplus": 1})


def test_formats_are_checked() -> None:
    schema = {"type": "object", "properties": {"at": {"type": "string", "format": "date-time"}}}
    assert [] == pointers({"at": "2026-01-01T00:00:00Z"}, schema)
    assert ["/at"] == pointers({"at": "tomorrow"}, schema)


def test_problems_and_their_messages_are_bounded() -> None:
    schema = Schema({"type": "object", "additionalProperties": {"type": "integer"}})
    found = schema.problems({f"k{at}": "x" * 5000 for at in range(100)})
    assert 20 == len(found)
    assert all(len(problem["message"]) <= 300 for problem in found)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strang"}, {"$ref": "https://example.invalid/x.json"}, {"$ref": "file:///etc/passwd"},
        {"properties": {"a": {"pattern": "(?=a)b"}}}, {"pattern": "("},
    ],
)  # fmt: skip
def test_what_is_no_schema_here_is_refused_and_nothing_is_fetched(schema: dict[str, Any]) -> None:
    with pytest.raises(NotJson):
        Schema(schema)


def test_a_hostile_pattern_takes_linear_time() -> None:
    schema = Schema({"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}})
    assert not schema.fits({"a": "a" * 50_000 + "!"})


def test_one_value_has_one_text() -> None:
    assert b'{"a":[1,2.5,null],"b":"\xc3\xa4"}' == to_json({"b": "ä", "a": [1, 2.5, None]})
    assert to_json({"b": 1, "a": {"d": 1, "c": 2}}) == to_json({"a": {"c": 2, "d": 1}, "b": 1})
    assert {"n": 10**30} == from_json(to_json({"n": 10**30}))


def nested(depth: int, leaf: Any = 1) -> Any:
    value = leaf
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        {1: 2}, {"a": {1, 2}.__iter__()}, {"a": object()}, {"a": "\ud800"}, {"\ud800": 1},
        nested(DEPTH_MAX + 1), nested(5000), {"a": "x" * 5_000_000},
    ],
)  # fmt: skip
def test_what_json_has_not_or_is_too_much_is_refused(value: Any) -> None:
    with pytest.raises(NotJson):
        to_json(value)


def test_depth_is_counted_and_not_guessed() -> None:
    to_json(nested(DEPTH_MAX))
    to_json({"text": "{[" * 1000, "flat": [[] for _ in range(1000)]})


def test_a_value_that_holds_itself_is_refused() -> None:
    value: dict[str, Any] = {}
    value["self"] = value
    with pytest.raises(NotJson):
        to_json(value)


@pytest.mark.parametrize(
    "entry", ["", "nothing", "json:", ":dumps", "no.such.module:x", "json:no_such", "json:__name__"]
)
def test_an_entry_that_is_no_function_says_why(entry: str) -> None:
    with pytest.raises(ToolUnavailable):
        load_entry(entry)


@pytest.mark.parametrize(
    "answer",
    [
        None, {"success": True}, "done", ToolOutput(success=False), ToolOutput(success="yes"),  # type: ignore[arg-type]
        ToolOutput(success=True, data=[1]), succeeded({"n": object()}), succeeded({"n": "\ud800"}),  # type: ignore[arg-type]
        ToolOutput(success=True, error=ToolFault("X", "y")), failed("", "no code"),
        ToolOutput(success=False, error="broken"), failed(3, "a number"), succeeded({"n": "text"}),  # type: ignore[arg-type]
        succeeded({"a": nested(100)}),
    ],
)  # fmt: skip
def test_nonsense_becomes_invalid_output(answer: Any) -> None:
    schema = Schema({"type": "object", "properties": {"n": {"type": "integer"}}})
    output, text = read_answer(answer, schema)
    assert not output.success
    assert output.error is not None
    assert "INVALID_OUTPUT" == output.error.code
    assert from_json(text)["error"]["code"] == "INVALID_OUTPUT"


def test_an_answer_shares_nothing_with_the_tool() -> None:
    data: dict[str, Any] = {"list": [1]}
    answer = ToolOutput(success=True, data=data)
    output, _ = read_answer(answer, None)
    data["list"].append(2)
    assert {"list": [1]} == output.data
