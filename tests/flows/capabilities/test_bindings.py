"""`--bind`, the bindings lock, and what is looked at before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from conductor_flows.capabilities.bindings import lock
from conductor_flows.capabilities.bindings.bound import build, built, missing, preflight
from conductor_flows.capabilities.bindings.providers import PROVIDERS
from conductor_flows.capabilities.bindings.spec import ALIASES, Binding, parse, parse_all
from conductor_flows.capabilities.errors import BindingRefused, LockRefused
from conductor_flows.execute.errors import CapabilitiesMissing
from flow_pieces import flow_ir, node_ir

FLOW = "5f1c0000-0000-5000-8000-000000000001"


def test_a_binding_is_read_with_long_and_short_names() -> None:
    assert Binding("resource::kv", "kv.memory") == parse("resource::kv=memory")
    assert parse("resource::kv=memory") == parse("kv=memory")
    assert Binding("resource::kv::read", "kv.sqlite", {"path": "a=b.db"}) == parse(
        "resource::kv::read=sqlite:a=b.db"
    )
    assert Binding("durability::checkpoint_store", "checkpoint_store.memory") == parse(
        "checkpoint_store=memory"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kv", "form"), ("=memory", "form"), ("kv=", "form"), ("nothing=memory", "no capability"),
        ("kv=redis", "filesystem, memory, sqlite"), ("kv=memory:x", "no argument"),
        ("kv=sqlite", "path"), ("resource::mystery::read=memory", "no capability"),
    ],
)  # fmt: skip
def test_a_binding_that_cannot_be_used_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(BindingRefused, match=says):
        parse(text)


def test_a_hint_is_bound_once() -> None:
    with pytest.raises(BindingRefused, match="twice"):
        parse_all(["kv=memory", "resource::kv=sqlite:x.db"])


async def test_everything_in_the_table_can_be_made(tmp_path: Path) -> None:
    arguments = {"at": "2026-01-01T00:00:00Z", "seed": "1", "path": str(tmp_path / "x.db"),
                 "root": str(tmp_path)}  # fmt: skip
    for kind, provider in PROVIDERS.items():
        family = kind.partition(".")[0]
        wanted = provider.argument
        connect = {} if wanted is None else {wanted: arguments[wanted]}
        async with built([Binding(f"resource::{family}", kind, connect)]) as found:
            assert (family != "checkpoint_store") == (f"resource::{family}" in found)
    assert {hint.split("::")[1] for hint in ALIASES.values()} == {
        kind.partition(".")[0] for kind in PROVIDERS
    }


@pytest.mark.parametrize("bind", ["clock=pinned:yesterday", "rng=seeded:x"])
def test_an_argument_that_makes_no_sense_is_refused(bind: str) -> None:
    with pytest.raises(BindingRefused):
        build([parse(bind)])


def test_the_longest_bound_prefix_wins_on_whole_parts() -> None:
    found = build(parse_all(["kv=memory", "resource::kv::write=memory", "http_read=httpx2"]))
    assert found["resource::kv::read"] is found["resource::kv"]
    assert found["resource::kv::read"] is found["resource::kv::write"]  # one kind, one instance
    separate = build([
        Binding("resource::kv", "kv.memory", instance="a"),
        Binding("resource::kv::write", "kv.memory", instance="b"),
    ])  # fmt: skip
    assert separate["resource::kv::read"] is not separate["resource::kv::write"]
    assert "resource::kvx" not in found
    assert "resource::http::write" not in found
    assert "resource::http" not in found


def test_a_lock_gives_back_the_bindings_it_was_made_from() -> None:
    bindings = parse_all(["kv=memory", "blob=filesystem:b", "resource::kv::read=sqlite:r.db"])
    data = lock.write([FLOW], bindings)
    found = lock.read(data, FLOW)
    assert {(each.hint, each.provider_kind, str(each.connect)) for each in bindings} == {
        (each.hint, each.provider_kind, str(each.connect)) for each in found
    }
    assert data == lock.write([FLOW], found)


def test_the_hash_is_sha_256_of_sorted_compact_json_without_itself() -> None:
    document = {"b": [2, 1], "a": {"z": "ä", "y": None}, "content_hash": "whatever"}
    compact = '{"a":{"y":null,"z":"ä"},"b":[2,1]}'.encode()
    import hashlib

    assert hashlib.sha256(compact).hexdigest() == lock.content_hash(document)


def changed(**changes: Any) -> bytes:
    """A lock with a correct hash, but for what is changed."""
    document = msgspec.json.decode(lock.write([FLOW], parse_all(["kv=memory"])))
    if "instance" in changes:
        document["instances"]["kv_memory"].update(changes.pop("instance"))
    document.update(changes)
    if "content_hash" not in changes:
        document["content_hash"] = lock.content_hash(document)
    return msgspec.json.encode(document)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"no json", "no JSON"), (b"[]", "version"), (changed(version=2), "version"),
        (changed(content_hash="0" * 64), "hash mismatch"),
        (changed(instance={"isolation": ["prefix_keys"]}), "isolation"),
        (changed(instance={"connect": "memory"}), "connect must be an object"),
        (changed(instance={"provider_kind": "kv.redis"}), "unknown provider kind 'kv.redis'"),
        (changed(instance={"provider_kind": "blob.memory"}), "of kind blob.memory"),
        (changed(instances={}), "no instance"),
        (changed(flows={"other": {"use": {}}}), f"flow id missing: {FLOW}"),
    ],
)  # fmt: skip
def test_a_lock_that_cannot_be_used_is_refused_by_its_cause(data: bytes, says: str) -> None:
    with pytest.raises(LockRefused, match=says):
        lock.read(data, FLOW)


def test_preflight_names_what_is_missing_sorted_and_once() -> None:
    flow = flow_ir([
        node_ir("a", effect_hints=["resource::mystery::read", "resource::kv::read"]),
        node_ir("b", effect_hints=["resource::kv::read", "resource::http::write"],
                determinism_hints=["resource::clock"]),
    ], [])  # fmt: skip
    capabilities = build(parse_all(["kv=memory"]))
    expected = ("resource::http::write", "resource::mystery::read")
    assert expected == missing(flow, capabilities)
    with pytest.raises(CapabilitiesMissing) as caught:
        preflight(flow, capabilities)
    assert ("CAP101", list(expected)) == (caught.value.code, caught.value.data["hints"])
    preflight(flow_ir([node_ir("c", effect_hints=["resource::kv::write"])], []), capabilities)
