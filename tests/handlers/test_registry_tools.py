"""What the registry asks of tools, and of surfaces that packs provide for each other."""

from __future__ import annotations

from typing import Any

import pytest

from conductor_handlers.registry import Registry, load_registry
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack import Pack


def make(slug: str, *, provides: Any = (), **fields: Any) -> Pack:
    manifest = {"id": slug, "version": "1.0.0", "surfaces_required": [], **fields}
    return Pack(PackManifest.from_mapping(manifest), provides=provides)


def tool(name: str, *approvals: str) -> dict[str, Any]:
    scope = {"type": "path", "pattern": "x/**", "access": "read"}
    return {
        "name": name, "entry": "m:f", "required_scopes": [scope],
        "required_approvals": list(approvals),
    }  # fmt: skip


def load(*packs: Pack, **options: Any) -> Registry:
    return load_registry(packs=packs, installed=False, **options)


def codes(registry: Registry) -> dict[str, list[str]]:
    return {each.name: [p.code for p in each.problems] for each in registry.refused}


def test_two_tools_of_one_name_are_refused() -> None:
    found = load(make("p", tools=[tool("a:b"), tool("a:b")]))
    assert {"p": ["TOOL_DUPLICATE"]} == codes(found)


def test_an_approval_of_a_tool_is_named_after_the_pack() -> None:
    found = load(make("p", tools=[tool("a:b", "q:b")]), make("q", tools=[tool("a:b", "q:b")]))
    assert {"p": ["APPROVAL_FOREIGN"]} == codes(found)
    assert "name it p:b" == found.refused[0].problems[0].hint


@pytest.mark.parametrize("consumer_first", [True, False])
def test_a_surface_that_a_loaded_pack_provides_is_available(consumer_first: bool) -> None:
    packs = [
        make("consumer", surfaces_required=["sidekick-channel"]),
        make("provider", provides=["sidekick-channel"]),
    ]
    found = load(*(packs if consumer_first else reversed(packs)))
    assert {} == codes(found)
    assert ["consumer", "provider"] == [pack.slug for pack in found.packs]


def test_a_surface_of_a_pack_that_is_not_loaded_is_not_available() -> None:
    consumer = make("consumer", surfaces_required=["sidekick-channel"])
    provider = make("provider", provides=["sidekick-channel"])
    assert {"consumer": ["SURFACE_UNAVAILABLE"]} == codes(load(consumer))
    off = load(consumer, provider, enabled={"provider": False})
    assert {"consumer": ["SURFACE_UNAVAILABLE"]} == codes(off)
    refused = make("broken", provides=["sidekick-channel"], tools=[tool("a:b"), tool("a:b")])
    assert {"broken", "consumer"} == codes(load(consumer, refused)).keys()


def test_refusals_go_down_a_chain_of_providers() -> None:
    found = load(
        make("third", surfaces_required=["two"]),
        make("second", surfaces_required=["one"], provides=["two"]),
        make("first", surfaces_required=["none-has-it"], provides=["one"]),
        make("other", surfaces_required=[]),
    )
    assert ["other"] == [pack.slug for pack in found.packs]
    assert {"first", "second", "third"} == codes(found).keys()


def test_two_packs_that_provide_for_each_other_are_loaded() -> None:
    found = load(
        make("a", surfaces_required=["of-b"], provides=["of-a"]),
        make("b", surfaces_required=["of-a"], provides=["of-b"]),
    )
    assert {} == codes(found)


@pytest.mark.parametrize("provides", ["sidekick-channel", [1], None, 3])
def test_provides_is_a_list_of_names(provides: Any) -> None:
    assert ["PACK_NOT_A_PACK"] == codes(load(make("p", provides=provides)))["p"]


def test_a_tool_set_is_a_function() -> None:
    pack = Pack(make("p").manifest, toolset=["a:b"])  # type: ignore[arg-type]
    assert ["PACK_NOT_A_PACK"] == codes(load(pack))["p"]
