"""Broken documents of both dialects: diagnostics or `DocumentInvalid`, and never anything else."""

from __future__ import annotations

import functools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from conductor_flows.ir.errors import DocumentInvalid
from conductor_flows.ir.read import from_json, read_flow
from conductor_flows.ir.schema import json_schema
from conductor_flows.ir.small import as_json
from conductor_flows.validate.registry import CODES
from conductor_flows.validate.run import validate
from flow_documents import at
from flow_fuzz import broken, documents

DATA = Path(__file__).parents[2] / "data" / "flows"
DRAWN = 300
SMALL, RICH = "small", "rich"
CHECKED = 25
"""Of so many documents one has its locations looked up."""


@functools.cache
def schema_of(dialect: str) -> dict[str, Any]:
    if dialect == SMALL:
        return json_schema()
    found: dict[str, Any] = json.loads((DATA / "flow_ir.rich.schema.json").read_text())
    return found


@functools.cache
def drawn(dialect: str) -> list[dict[str, Any]]:
    return documents(schema_of(dialect), 7, DRAWN)


def torture(dialect: str, seed: int, count: int) -> Counter[str]:
    """Read and judge broken documents; returns how often each answer was given."""
    answers: Counter[str] = Counter()
    for number, data in enumerate(broken(drawn(dialect), seed, count)):
        try:
            flow = read_flow(data)
        except DocumentInvalid:
            answers["refused"] += 1
            continue
        try:
            found = validate(flow)
        except Exception as error:
            raise AssertionError(data) from error
        answers.update({each.code for each in found} or {"fine"})
        if number % CHECKED == 0:
            document = as_json(flow)
            for each in found:
                at(each.location, document)
    return answers


@pytest.mark.parametrize("dialect", [SMALL, RICH])
def test_drawn_documents_are_valid_and_can_be_read(dialect: str) -> None:
    valid = jsonschema_rs.validator_for(schema_of(dialect)).is_valid

    assert DRAWN == sum(valid(document) for document in drawn(dialect))
    for document in drawn(dialect):
        validate(from_json(json.loads(json.dumps(document))))


def test_a_broken_small_document_is_answered() -> None:
    assert 0 < torture(SMALL, 11, 16_000)["refused"] < 16_000


def test_a_broken_rich_document_is_answered() -> None:
    assert 0 < torture(RICH, 11, 4_000)["refused"] < 4_000


@pytest.mark.soak
@pytest.mark.parametrize(("dialect", "count"), [(SMALL, 70_000), (RICH, 30_000)])
def test_a_hundred_thousand_broken_documents_are_answered(dialect: str, count: int) -> None:
    assert 0 < torture(dialect, 17, count)["refused"] < count


def test_the_torture_reaches_most_rules() -> None:
    said = set(torture(SMALL, 13, 3000))
    expected = {code for code, entry in CODES.items() if entry.status == "validator"}

    assert len(expected & said) >= 0.85 * len(expected), sorted(expected - said)
