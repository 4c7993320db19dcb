"""The OpenAPI document of a web host, from the types of its ports.

Promise: every route is there with what it takes and gives, and with every status that it answers;
schemas are those that payloads are checked against. Refusal: nothing is said of a port that is
open: it takes any JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from conductor_flows.execute.program import Handler
from conductor_flows.host.web.resuming import RESUME
from conductor_flows.host.web.route import Route
from conductor_flows.ir.json_values import as_array, as_object

VERSION: Final = "3.1.0"
ERRORS: Final[Mapping[int, str]] = {
    400: "The payload is not JSON, or does not fit; `details.pointer` says where",
    408: "The body did not come in time", 413: "The body is too large",
    414: "The query is too large",
    415: "The body is not JSON", 500: "The run failed",
    503: "Too many runs, or the host is stopping",
    504: "The run did not end before its deadline",
}  # fmt: skip
RESUME_ERRORS: Final[Mapping[int, str]] = {
    400: "The answer is not JSON, or does not fit what the run waits for",
    404: "The token is unknown, has run out or was revoked",
    409: "The run is under way", 410: "The token was used, or the run is over",
}  # fmt: skip
ENVELOPE: Final[dict[str, Any]] = {
    "type": "object", "required": ["error"],
    "properties": {
        "error": {"type": "string"}, "code": {"type": "string"},
        "details": {"type": "object"}, "diagnostics": {"type": "array", "items": {}},
    },
}  # fmt: skip
HALTED: Final[dict[str, Any]] = {
    "type": "object", "required": ["halted", "node", "payload"],
    "properties": {
        "halted": {"const": True}, "node": {"type": "string"}, "payload": {},
        "checkpoint_id": {"type": "string"},
        "token": {"type": "string", "description": f"Ends the wait: POST {RESUME}"},
    },
}  # fmt: skip
_BODYLESS: Final = {"get", "delete"}
_PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::(str|int|path))?\}")


class _Schemas:
    """Schemas of ports, with their definitions in one place."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {"Error": ENVELOPE, "Halted": HALTED}

    def add(self, schema: Mapping[str, Any], prefix: str) -> Any:
        """Return a schema whose references lead into the components."""
        definitions = as_object(schema.get("$defs")) or {}
        names = {name: self._name(name, found, prefix) for name, found in definitions.items()}
        for name, found in definitions.items():
            self.components[names[name]] = _renamed(found, names)
        rest = {key: value for key, value in schema.items() if key != "$defs"}
        return _renamed(rest, names)

    def _name(self, name: str, schema: Any, prefix: str) -> str:
        plain = f"{prefix}.{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}"
        same = {plain: _renamed(schema, {})}
        number, found = 1, plain
        while found in self.components and self.components[found] != same[plain]:
            number += 1
            found = f"{plain}_{number}"
        return found


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    found, items = as_object(value), as_array(value)
    if found is not None:
        reference = found.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/$defs/"):
            name = reference.removeprefix("#/$defs/")
            target = f"#/components/schemas/{names.get(name, name)}"
            return {**{key: _renamed(each, names) for key, each in found.items()}, "$ref": target}
        return {key: _renamed(each, names) for key, each in found.items()}
    return value if items is None else [_renamed(each, names) for each in items]


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the document.

    Args:
        routes: Checked.
    """
    schemas, paths = _Schemas(), dict[str, Any]()
    for route in routes:
        for path in route.paths:
            plain = _PARAMETER.sub(r"{\1}", path)
            operation = _operation(route, path, schemas)
            paths.setdefault(plain, {})[route.method.lower()] = operation
    paths[RESUME] = {"post": _resume()}
    flows = {route.host.flow.id: route.host.flow for route in routes}
    one = next(iter(flows.values())) if len(flows) == 1 else None
    title = "flows" if one is None else one.name
    return {
        "openapi": VERSION,
        "info": {"title": title, "version": "1.0.0" if one is None else one.version},
        "paths": paths, "components": {"schemas": schemas.components},
    }  # fmt: skip


def _operation(route: Route, path: str, schemas: _Schemas) -> dict[str, Any]:
    flow = route.host.flow
    handlers = _handlers(route)
    takes = {} if handlers[0] is None else handlers[0].takes.schema()
    name = "_".join(re.findall(r"[A-Za-z0-9]+", path)) or "root"
    operation: dict[str, Any] = {
        "operationId": f"{flow.name}_{route.method.lower()}_{name}", "tags": [flow.name],
        "responses": _responses(route, handlers[1], schemas),
    }  # fmt: skip
    if flow.summary:
        operation["summary"] = flow.summary
    parameters: list[dict[str, Any]] = [
        {"name": each, "in": "path", "required": True,
         "schema": {"type": "integer" if kind == "int" else "string"}}
        for each, kind in _PARAMETER.findall(path)
    ]  # fmt: skip
    if route.method.lower() in _BODYLESS:
        parameters += _query(
            schemas.add(takes, flow.name), schemas, {p["name"] for p in parameters}
        )
    else:
        body = {"application/json": {"schema": schemas.add(takes, flow.name)}}
        operation["requestBody"] = {"required": bool(takes), "content": body}
    if parameters:
        operation["parameters"] = parameters
    return operation


def _handlers(route: Route) -> tuple[Handler | None, Handler | None]:
    program = route.host.runner.program
    by_alias = {node.alias: program.handlers.get(node.identifier) for node in program.flow.nodes}
    return by_alias[route.trigger], by_alias[route.capture]


def _query(schema: Any, schemas: _Schemas, known: set[Any]) -> list[dict[str, Any]]:
    found = as_object(schema) or {}
    reference = found.get("$ref")
    if isinstance(reference, str):
        found = as_object(schemas.components.get(reference.rpartition("/")[2])) or {}
    required = as_array(found.get("required")) or ()
    return [
        {"name": name, "in": "query", "required": name in required, "schema": field}
        for name, field in (as_object(found.get("properties")) or {}).items() if name not in known
    ]  # fmt: skip


def _responses(route: Route, capture: Handler | None, schemas: _Schemas) -> dict[str, Any]:
    flow = route.host.flow
    gives = schemas.add({} if capture is None else capture.gives.schema(), flow.name)
    if capture is not None and capture.streams:
        # The content is text; OpenAPI 3.1 has no word for the type of its events.
        kind, shape = "text/event-stream", {"type": "string", "x-event-schema": gives}
    else:
        kind, shape = "application/json", gives
    responses: dict[str, Any] = {
        "200": {"description": "What the flow gives", "content": {kind: {"schema": shape}}}
    }
    if any(node.durability.halts for node in flow.nodes):
        responses["202"] = _reference("The run waits for something from outside", "Halted")
    errors = {str(status): _reference(text, "Error") for status, text in ERRORS.items()}
    return responses | errors


def _resume() -> dict[str, Any]:
    errors = {**ERRORS, **RESUME_ERRORS}
    return {
        "operationId": "resume", "tags": ["resume"], "summary": "End a wait of a run",
        "parameters": [
            {"name": "token", "in": "path", "required": True, "schema": {"type": "string"}}
        ],
        "requestBody": {"content": {"application/json": {"schema": {}}}},
        "responses": {
            "200": {"description": "What the flow gives",
                    "content": {"application/json": {"schema": {}},
                                "text/event-stream": {"schema": {"type": "string"}}}},
            "202": _reference("The run waits again", "Halted"),
            **{str(status): _reference(text, "Error") for status, text in sorted(errors.items())},
        },
    }  # fmt: skip


def _reference(text: str, name: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": text, "content": {"application/json": {"schema": schema}}}
