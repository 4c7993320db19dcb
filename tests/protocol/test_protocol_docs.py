"""What is checked in beside the code is what the code says."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml

from conductor_protocol import messages as msg
from conductor_protocol.codec import encode
from conductor_protocol.schemas import conductor_types, sidecar_types, tag_of

DOCS = Path(__file__).parents[2] / "docs"
SAMPLES: list[Any] = [
    msg.Hello(versions=[1], software="x", packs=[msg.PackNotice("a", "1", [], [])], credit=1),
    msg.Ack(sequence=1, credit=0),
    msg.Push(events=[]),
    msg.Beat(sequence=1, journal=msg.Head(1, "x")),
    msg.Bye(reason=""),
    msg.Error(code="X", message="y"),
    msg.Welcome(
        version=1,
        session="s",
        subject="w",
        epoch="e",
        resumed=False,
        start=0,
        limits=msg.Limits(),
        beat_s=1.5,
    ),
    msg.Events(first=1, events=[]),
    msg.Pushed(results=[msg.PushResult("evt-1", "duplicate")]),
    msg.Rotate(version=1, url="u"),
    msg.Drain(retry_after_s=1),
]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "protocol" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_generated_document_is_up_to_date(generator: ModuleType) -> None:
    stale = [
        str(path.relative_to(DOCS))
        for path, text in generator.documents().items()
        if not path.exists() or text != path.read_text(encoding="utf-8")
    ]

    assert stale == [], "run: python docs/protocol/generate.py"


def test_no_schema_is_left_over(generator: ModuleType) -> None:
    expected = {path for path in generator.documents() if path.parent.name == "schemas"}

    assert expected == set((DOCS / "protocol" / "schemas").iterdir())


def test_the_page_states_the_test_vectors_of_the_recipe(generator: ModuleType) -> None:
    page = (DOCS / "protocol.md").read_text(encoding="utf-8")
    for parts in generator.VECTORS:
        data = b"".join(
            len(text.encode()).to_bytes(4, "big") + text.encode()
            for text in ("conductor.event.v2", *parts)
        )

        assert "evt-" + hashlib.sha256(data).hexdigest()[:32] in page
    assert len(generator.VECTORS) == 3


def schema(stem: str) -> Any:
    return json.loads((DOCS / "protocol" / "schemas" / f"{stem}.json").read_text(encoding="utf-8"))


def test_there_is_a_sample_of_every_message() -> None:
    assert {*sidecar_types(), *conductor_types()} == {type(sample) for sample in SAMPLES}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_what_we_send_satisfies_its_schema(sample: Any) -> None:
    found = schema(tag_of(type(sample)))
    jsonschema.Draft202012Validator.check_schema(found)

    jsonschema.validate(json.loads(encode(sample)), found)


def test_the_event_schema_takes_an_event_and_refuses_others(event: Any) -> None:
    validator = jsonschema.Draft202012Validator(schema("event"))

    assert validator.is_valid(json.loads(event(1)))
    assert not validator.is_valid(json.loads(event(1, kind="Not A Kind")))
    assert not validator.is_valid(json.loads(event(1, timestamp="2026-01-01")))
    assert not validator.is_valid(json.loads(event(1, payload=[])))


def test_the_two_forms_of_the_asyncapi_document_are_one() -> None:
    as_json = json.loads((DOCS / "protocol" / "asyncapi.json").read_text(encoding="utf-8"))
    text = (DOCS / "protocol" / "asyncapi.yaml").read_text(encoding="utf-8")

    assert as_json == yaml.safe_load(text)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = json.loads((DOCS / "protocol" / "asyncapi.json").read_text(encoding="utf-8"))

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [r for child in value.values() for r in references(child)]
        return [r for child in value for r in references(child)] if isinstance(value, list) else []

    for reference in references(document):
        target = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        assert target
