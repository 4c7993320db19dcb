"""The OpenAPI document: valid, drawn from the tools, and kept by the running surface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from conductor_sidecar.http.openapi import openapi_document
from files_pack import files_host
from tool_server import ToolServer, listing

EXAMPLES = 40
"""For each operation; the whole stays far below a minute."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToolServer]:
    root = tmp_path_factory.mktemp("openapi")
    (root / "shared").mkdir()
    host, _ = files_host(root)
    with ToolServer(root, host) as running:
        yield running


@pytest.fixture(scope="module")
def document(server: ToolServer) -> dict[str, Any]:
    return server.ask("GET", "/openapi.json").json


def test_every_tool_has_an_operation_with_its_schemas(document: dict[str, Any]) -> None:
    assert {
        "/tools", "/openapi.json", "/tools/files:rate", "/tools/files:read", "/tools/files:write",
    } == document["paths"].keys()  # fmt: skip
    call = document["paths"]["/tools/files:write"]["post"]
    assert ("files_write", "write") == (call["operationId"], call["x-permission"])
    assert {"files_write.input", "files_write.output"} <= document["components"]["schemas"].keys()


def test_references_inside_of_a_schema_still_lead_there(document: dict[str, Any]) -> None:
    moved = document["components"]["schemas"]["files_rate.input"]

    assert {"$ref": "#/components/schemas/files_rate.input/$defs/priority"} == (
        moved["properties"]["priority"]
    )
    assert {"enum": ["P0", "P1", "P2"]} == moved["$defs"]["priority"]


def test_data_that_look_like_references_are_left_alone() -> None:
    schema = {
        "type": "object",
        "properties": {"x": {"const": {"$ref": "#/a"}, "$ref": "#/$defs/b"}},
    }
    embedded = openapi_document([listing("a:b", input_schema=schema)])["components"]["schemas"]

    assert {"const": {"$ref": "#/a"}, "$ref": "#/components/schemas/demo_a_b.input/$defs/b"} == (
        embedded["demo_a_b.input"]["properties"]["x"]
    )


def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    found = list(walk(document))
    assert found
    for reference in found:
        node: Any = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_the_schemas_of_the_document_are_schemas(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.validator_for({**schema, "components": document["components"]})


def test_the_document_of_the_same_tools_is_the_same(
    document: dict[str, Any], server: ToolServer
) -> None:
    assert document == server.ask("GET", "/openapi.json").json


READS = ["/tools", "/openapi.json", *(f"/tools/files:{verb}" for verb in ("rate", "read", "write"))]
OPERATIONS = [("GET", path, GenerationMode.POSITIVE) for path in READS] + [
    ("POST", path, mode) for path in READS[2:] for mode in GenerationMode
]  # fmt: skip
"""A GET has nothing that could be wrong."""
CHECKS = [
    schemathesis.checks.not_a_server_error, status_code_conformance, content_type_conformance,
    response_headers_conformance, response_schema_conformance, negative_data_rejection,
    positive_data_acceptance, unsupported_method, ignored_auth,
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "mode"), OPERATIONS, ids=str)
def test_what_the_document_allows_is_answered_as_it_says(
    server: ToolServer, document: dict[str, Any], method: str, path: str, mode: GenerationMode
) -> None:
    load_all_checks()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=f"http://{server.host}")
    operation = schema[path][method]

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {server.token}"})
        case.validate_response(answer, checks=CHECKS)

    attempt()
