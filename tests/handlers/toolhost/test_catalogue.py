"""The tools of the loaded packs, each under one name."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from conductor_handlers.registry import load_registry
from conductor_handlers.toolhost.catalogue import (
    Catalogue,
    build_catalogue,
    input_schema,
    mcp_name,
)
from conductor_sdk.manifest import PackManifest
from conductor_sdk.manifest_tools import ToolManifest
from conductor_sdk.pack import Pack, ToolLeftOut

SCOPE = {"type": "path", "pattern": "x/**", "access": "read"}


def tool(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "entry": "no.such.module:f", "required_scopes": [SCOPE], **fields}


def pack(slug: str, *names: str, **options: Any) -> Pack:
    manifest = {"id": slug, "version": "1.0.0", "tools": [tool(name) for name in names]}
    return Pack(PackManifest.from_mapping(manifest), **options)


def catalogue(
    *packs: Pack, root: Path | None = None, **configs: Mapping[str, Any]
) -> Catalogue:  # fmt: skip
    registry = load_registry(packs=packs, installed=False)
    assert () == registry.refused
    return build_catalogue(registry, configs, root)


def test_tools_of_all_packs_are_listed_by_name_and_none_is_imported() -> None:
    found = catalogue(pack("b", "z:last", "a:first"), pack("a", "m:middle"))
    assert ["a:first", "m:middle", "z:last"] == list(found.tools)
    assert () == found.problems
    assert "no" not in sys.modules


def test_a_name_that_is_taken_refuses_the_later_pack_s_tool_alone() -> None:
    found = catalogue(pack("beta", "t:x", "t:y"), pack("alpha", "t:x"))
    assert {"t:x": "alpha", "t:y": "beta"} == {n: t.pack for n, t in found.tools.items()}
    [problem] = found.problems
    assert ("beta", "t:x") == (problem.pack, problem.tool)
    assert "alpha" in problem.message


def test_two_names_that_are_one_on_mcp_are_refused_too() -> None:
    found = catalogue(pack("p", "task:create", "task.create"))
    assert ["task:create"] == list(found.tools)
    assert "p_task_create" in found.problems[0].message


@pytest.mark.parametrize(
    ("slug", "name", "expected"),
    [
        ("sidekick", "task:create", "sidekick_task_create"),
        ("sidekick", "sidekick:init", "sidekick_init"),
        ("acme-demo", "job:re-run", "acme_demo_job_re_run"),
        ("p", "plain", "p_plain"),
        ("p", "täsk:x", "p_t_sk_x"),
    ],
)
def test_names_on_mcp_have_word_characters_only(slug: str, name: str, expected: str) -> None:
    assert expected == mcp_name(slug, name)


def test_a_tool_set_depends_on_the_configuration() -> None:
    def choose(config: Mapping[str, Any]) -> Sequence[ToolManifest]:
        names = ["a:x", "a:y"] if config.get("toolset") == "full" else ["a:x"]
        return [ToolManifest.model_validate(tool(name)) for name in names]

    chosen = pack("p", "m:anifest", toolset=choose)
    assert ["a:x"] == list(catalogue(chosen).tools)
    full = catalogue(chosen, p={"toolset": "full"})
    assert ["a:x", "a:y"] == list(full.tools)
    assert "full" == full.tools["a:x"].listing.toolset


def test_a_tool_set_that_fails_costs_its_pack_the_tools_and_nobody_else() -> None:
    def broken(_config: Mapping[str, Any]) -> Sequence[ToolManifest]:
        raise KeyError("toolset")

    found = catalogue(pack("p", toolset=broken), pack("q", "a:x"))
    assert ["a:x"] == list(found.tools)
    assert ("p", "") == (found.problems[0].pack, found.problems[0].tool)


def test_a_tool_set_of_something_else_or_with_foreign_approvals_is_refused_tool_by_tool() -> None:
    def odd(_config: Mapping[str, Any]) -> Any:
        return ["a:x", ToolManifest.model_validate(tool("a:y", required_approvals=["other:y"]))]

    found = catalogue(pack("p", toolset=odd))
    assert {} == dict(found.tools)
    assert ["", "a:y"] == [problem.tool for problem in found.problems]


def test_a_pack_makes_tools_of_what_stands_in_a_workspace(tmp_path: Path) -> None:
    def found(_config: Mapping[str, Any], root: Path) -> Sequence[ToolManifest | ToolLeftOut]:
        made = [ToolManifest.model_validate(tool(f"p:{path.name}")) for path in root.iterdir()]
        return [*made, ToolLeftOut("p:gone", "it is gone")]

    def broken(_config: Mapping[str, Any], _root: Path) -> Sequence[ToolManifest]:
        raise KeyError("files")

    (tmp_path / "here").touch()
    packs = pack("p", "a:x", tools_in=found), pack("q", "a:y", tools_in=broken)
    assert ["a:x", "a:y", "p:here"] == list(catalogue(*packs, root=tmp_path).tools)
    assert [("p", "p:gone", True), ("q", "", False)] == [
        (problem.pack, problem.tool, problem.left_out)
        for problem in catalogue(*packs, root=tmp_path).problems
    ]
    assert (["a:x", "a:y"], ()) == (list(catalogue(*packs).tools), catalogue(*packs).problems)


def test_a_tool_that_checks_its_input_itself_is_given_any_object() -> None:
    closed = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
    seen = [
        input_schema(ToolManifest.model_validate(tool("a:x", input_schema=closed, **by)))
        for by in ({}, {"input_check": "tool"})
    ]
    assert [closed, {"type": "object", "additionalProperties": True}] == seen
