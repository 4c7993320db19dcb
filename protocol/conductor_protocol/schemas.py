"""JSON Schemas and the AsyncAPI document, computed from the message types.

Promise: what is checked in under `docs/protocol` is what these functions return. Refusal: nothing
is written here; `docs/protocol/generate.py` does, and reads the fields' descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, get_args

import msgspec

from conductor_protocol.messages import PROTOCOL, ConductorMessage, SidecarMessage
from conductor_sdk.event import EVENT_ID_MAX, KIND_MAX, KernelEvent

Json: TypeAlias = dict[str, Any]
Descriptions: TypeAlias = Mapping[str, Mapping[str, str]]
"""Record name to field name to sentence."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_KIND = r"^(?:[a-z][a-z0-9]*(?:-[a-z0-9]+)*:[a-z][a-z0-9]*(?:_[a-z0-9]+)*|[a-z_]+)$"
_TIMESTAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T.*Z$"


def sidecar_types() -> list[type[msgspec.Struct]]:
    """The messages that a sidecar sends."""
    return list(get_args(SidecarMessage))


def conductor_types() -> list[type[msgspec.Struct]]:
    """The messages that a conductor sends."""
    return list(get_args(ConductorMessage))


def tag_of(message: type[msgspec.Struct]) -> str:
    """The message's `type` on the wire."""
    return str(message.__struct_config__.tag)


def components(descriptions: Descriptions, ref_template: str) -> Json:
    """Return the schema of every message and of every record in one, by name."""
    messages = dict.fromkeys([*sidecar_types(), *conductor_types(), KernelEvent])
    _, found = msgspec.json.schema_components(messages, ref_template=ref_template)
    for name, schema in found.items():
        for field, text in descriptions.get(name, {}).items():
            if field in schema["properties"]:
                schema["properties"][field] = _described(schema["properties"][field], text)
    event = {"$ref": ref_template.format(name="KernelEvent")}
    flat = {"$ref": ref_template.format(name="FlatEvent")}
    found["KernelEvent"] = _event(found["KernelEvent"])
    found["FlatEvent"] = _flat_event()
    found["Events"]["properties"]["events"]["items"] = {"anyOf": [event, flat, {"type": "null"}]}
    found["Push"]["properties"]["events"]["items"] = {"anyOf": [event, flat]}
    return dict(sorted(found.items()))


def json_schemas(descriptions: Descriptions) -> dict[str, Json]:
    """Return one self-contained JSON Schema for each message, and for an event, by file stem."""
    known = components(descriptions, "#/$defs/{name}")
    names = {tag_of(t): t.__name__ for t in [*sidecar_types(), *conductor_types()]}
    names["event"] = "KernelEvent"
    schemas: dict[str, Json] = {}
    for stem, name in sorted(names.items()):
        needed = _needed(known, name)
        schema: Json = {"$schema": DIALECT, **known[name]}
        if needed:
            schema["$defs"] = {other: known[other] for other in sorted(needed)}
        schemas[stem] = schema
    return schemas


def asyncapi(descriptions: Descriptions, version: str) -> Json:
    """Return the AsyncAPI 3 document, told from the sidecar's side."""
    up = [tag_of(t) for t in sidecar_types()]
    down = [tag_of(t) for t in conductor_types()]
    types = {tag_of(t): t for t in [*sidecar_types(), *conductor_types()]}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Conductor link",
            "version": version,
            "description": "JSON text frames between a sidecar and its conductor. "
            "The rules of order, credit and time are in docs/protocol.md.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"conductor": _server()},
        "channels": {
            "link": {
                "address": None,
                "description": "One link: a duplex stream of frames, one message in each.",
                "messages": {t: {"$ref": f"#/components/messages/{t}"} for t in sorted(types)},
            }
        },
        "operations": {
            "up": _operation("send", "What a sidecar sends.", up),
            "down": _operation("receive", "What a conductor sends.", down),
        },
        "components": {
            "messages": {tag: _message(tag, types[tag]) for tag in sorted(types)},
            "schemas": components(descriptions, "#/components/schemas/{name}"),
        },
    }


def _server() -> Json:
    return {
        "host": "{host}",
        "protocol": "wss",
        "description": f"WebSocket, subprotocol {PROTOCOL}, bearer credential in the "
        "handshake's Authorization header.",
        "variables": {"host": {"description": "Host and port of the conductor."}},
    }


def _message(tag: str, message: type[msgspec.Struct]) -> Json:
    return {
        "name": tag,
        "summary": (message.__doc__ or "").split("\n", 1)[0],
        "payload": {"$ref": f"#/components/schemas/{message.__name__}"},
    }


def _operation(action: str, summary: str, tags: list[str]) -> Json:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": "#/channels/link"},
        "messages": [{"$ref": f"#/channels/link/messages/{tag}"} for tag in tags],
    }


def _described(schema: Json, text: str) -> Json:
    return {"description": text, **schema}


def _event(schema: Json) -> Json:
    name: Json = {"type": "string", "minLength": 1, "maxLength": EVENT_ID_MAX}
    closer: dict[str, Json] = {
        "schema_version": {"const": 2},
        "kind": {"type": "string", "maxLength": KIND_MAX, "pattern": _KIND},
        "event_id": name,
        "timestamp": {"type": "string", "pattern": _TIMESTAMP},
        "from": name,
        "payload": {"type": "object"},
        "traceparent": {}, "tracestate": {},
    }  # fmt: skip
    return {
        **schema,
        "description": "A kernel event, version 2.",
        "properties": {
            field: {**schema["properties"][field], **rules} for field, rules in closer.items()
        },
    }


def _flat_event() -> Json:
    return {
        "title": "FlatEvent",
        "description": "An event whose fields stand beside the envelope: version 2, to be folded "
        "into `payload`, or one of the 17 kinds of version 1.",
        "type": "object",
        "properties": {
            "schema_version": {"enum": [1, 2]},
            "kind": {"type": "string", "maxLength": KIND_MAX},
            "timestamp": {"type": "string", "pattern": _TIMESTAMP},
        },
        "required": ["schema_version", "kind", "timestamp"],
    }


def _needed(known: Json, name: str) -> set[str]:
    """Every definition that a schema refers to, directly or not."""
    found: set[str] = set()
    queue = [name]
    while queue:
        text = msgspec.json.encode(known[queue.pop()]).decode()
        fresh = {other for other in known if f'"#/$defs/{other}"' in text} - found
        found |= fresh
        queue += fresh
    return found
