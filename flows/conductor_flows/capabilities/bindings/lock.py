"""The bindings lock: which provider a flow was released with.

Promise: a lock that is read has the hash that it claims, and everything in it can be built; the
same bindings give the same file. Refusal: no secret, and no isolation that is not enforced.

The hash is SHA-256 of the document without `content_hash`, as compact JSON with sorted keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from conductor_flows.capabilities.bindings.providers import PROVIDERS
from conductor_flows.capabilities.bindings.spec import Binding, family_of
from conductor_flows.capabilities.errors import LockRefused
from conductor_flows.ir.json_values import as_array, as_object

VERSION: Final = 1
NOT_GENERATED: Final = "1970-01-01T00:00:00Z"
KNOWN_AS: Final = {"http.reqwest": "http.httpx2"}
"""Kinds in locks of other builds that mean one of ours."""
_canonical = msgspec.json.Encoder(order="sorted").encode


def content_hash(document: Mapping[str, Any]) -> str:
    """Return the hash of a lock; hex."""
    content = {key: value for key, value in document.items() if key != "content_hash"}
    return hashlib.sha256(_canonical(content)).hexdigest()


def write(
    flows: Iterable[str], bindings: Iterable[Binding], *, generated_at: str = NOT_GENERATED
) -> bytes:
    """Return a lock that gives every one of these flows these bindings.

    Args:
        flows: Ids of flows.
        bindings: What they use.
        generated_at: When; fixed by default, so that the same input gives the same bytes.
    """
    instances: dict[str, Any] = {}
    use: dict[str, str] = {}
    for binding in bindings:
        name = binding.instance or _name(binding, instances)
        entry = instances.setdefault(name, {
            "provider_kind": binding.provider_kind, "provides": [], "connect": binding.connect,
            "config": {}, "isolation": [],
        })  # fmt: skip
        entry["provides"].append(binding.hint)
        use[binding.hint] = name
    document: dict[str, Any] = {
        "version": VERSION, "generated_at": generated_at, "instances": instances,
        "flows": {flow: {"use": use} for flow in flows},
    }  # fmt: skip
    document["content_hash"] = content_hash(document)
    return msgspec.json.format(_canonical(document), indent=2) + b"\n"


def _name(binding: Binding, instances: Mapping[str, Any]) -> str:
    stem = binding.provider_kind.replace(".", "_")
    for number in range(1, len(instances) + 2):
        name = stem if number == 1 else f"{stem}_{number}"
        known = instances.get(name)
        if known is None or known["connect"] == binding.connect:
            return name
    raise AssertionError  # one more name than there are instances


def read(data: bytes, flow: str) -> tuple[Binding, ...]:
    """Return the bindings of one flow.

    Args:
        data: The file.
        flow: The flow's id.

    Raises:
        LockRefused: Not a lock of this version; the hash does not match; an instance wants
            isolation, has an unknown kind of provider or a `connect` that is no object; the flow
            is not in it.
    """
    try:
        document = as_object(msgspec.json.decode(data))
    except msgspec.DecodeError as error:
        raise LockRefused(f"no JSON: {error}") from None
    if document is None or document.get("version") != VERSION:
        raise LockRefused(f"no lock of version {VERSION}")
    if document.get("content_hash") != content_hash(document):
        raise LockRefused("hash mismatch: it was changed by hand")
    instances = {
        name: _instance(name, as_object(found) or {})
        for name, found in (as_object(document.get("instances")) or {}).items()
    }
    chosen = as_object((as_object(document.get("flows")) or {}).get(flow))
    if chosen is None:
        raise LockRefused(f"flow id missing: {flow}")
    return tuple(
        _binding(hint, name, instances)
        for hint, name in (as_object(chosen.get("use")) or {}).items()
    )


def _instance(name: str, found: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    kind = found.get("provider_kind")
    kind = KNOWN_AS.get(kind, kind) if isinstance(kind, str) else kind
    if kind not in PROVIDERS or not isinstance(kind, str):
        raise LockRefused(f"instance {name}: unknown provider kind {kind!r}")
    if as_array(found.get("isolation")):
        raise LockRefused(f"instance {name}: isolation is not enforced by this build")
    connect = as_object(found.get("connect"))
    if connect is None:
        raise LockRefused(f"instance {name}: connect must be an object")
    return kind, dict(connect)


def _binding(
    hint: str, name: object, instances: Mapping[str, tuple[str, dict[str, Any]]]
) -> Binding:
    if not isinstance(name, str) or name not in instances:
        raise LockRefused(f"{hint}: there is no instance {name!r}")
    kind, connect = instances[name]
    if family_of(hint) != kind.partition(".")[0]:
        raise LockRefused(f"{hint}: instance {name} is of kind {kind}")
    return Binding(hint, kind, connect, name)
