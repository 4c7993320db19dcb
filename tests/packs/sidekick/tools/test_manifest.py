"""M1 to M15: one source for manifest, tool sets and implementation, held together both ways."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

from conductor_packs.sidekick import manifest_file
from conductor_packs.sidekick.descriptors import DESCRIPTORS, MODULES, tools_of
from conductor_packs.sidekick.errors import ToolsetUnknown
from conductor_packs.sidekick.inputs.fields import Input
from conductor_packs.sidekick.names import PACK, VERSION
from conductor_packs.sidekick.pack import pack
from conductor_packs.sidekick.toolsets import tool_fields, tool_manifests, toolset_of
from conductor_sdk.manifest import PackManifest
from conductor_sdk.manifest_tools import PathScope
from conductor_sdk.testing import run_conformance
from conductor_sdk.tool_entry import load_entry
from conductor_sdk.tool_schema import Schema

NAMES = [
    "task:create", "task:list", "task:complete", "task:schedule",
    "memory:store", "memory:recall", "memory:forget",
    "channel:configure", "channel:send", "channel:receive",
    "routine:create", "routine:list", "routine:run",
    "sidekick:init", "sidekick:status", "sidekick:export",
]  # fmt: skip
LATER = [
    "task:update", "task:cancel", "memory:update", "channel:list", "channel:delete",
    "routine:update", "routine:delete",
]  # fmt: skip
READS = [
    "task:list", "memory:recall", "channel:receive", "routine:list", "routine:run",
    "sidekick:status", "sidekick:export",
]  # fmt: skip
CORE = {tool.name: tool for tool in pack.manifest.tools}
FULL = {tool.name: tool for tool in tool_manifests("full")}


def scopes(tool: Any) -> list[tuple[str, str]]:
    found = [scope for scope in tool.required_scopes if isinstance(scope, PathScope)]
    assert len(found) == len(tool.required_scopes)
    return [(scope.pattern, scope.access) for scope in found]


def test_m1_what_others_embed_can_be_imported_by_itself() -> None:
    for name in (*(f"tools.{module}" for module in MODULES.values()), "tools.router",
                 "channels.port", "channels.registry", "storage.port"):  # fmt: skip
        assert importlib.import_module(f"conductor_packs.sidekick.{name}").__doc__


def test_m2_id_and_version_are_the_packs() -> None:
    manifest = pack.manifest
    assert (PACK, PACK, VERSION, PACK) == (
        manifest.id, manifest.slug, manifest.version, manifest.config_key,
    )  # fmt: skip
    assert ("sidekick",) == manifest.task_types


def test_m3_there_are_sixteen_tools_by_every_count() -> None:
    assert 16 == len(pack.manifest.tools) == len(tools_of("core")) == len(set(CORE))
    assert 23 == len(FULL) == len(tools_of("full")) == len(DESCRIPTORS)


def test_m4_the_names_are_the_sixteen_and_the_seven() -> None:
    assert NAMES == [tool.name for tool in pack.manifest.tools]
    assert sorted(NAMES + LATER) == sorted(FULL)


def test_m5_seven_tools_read_and_nine_write() -> None:
    assert {name: "read" if name in READS else "write" for name in NAMES} == {
        name: tool.permission for name, tool in CORE.items()
    }


def test_m6_each_write_tool_may_read_and_write_below_its_directory() -> None:
    for tool in CORE.values():
        if tool.permission == "write":
            assert [(".sidekick/**", "read"), (".sidekick/**", "write")] == scopes(tool)


def test_m7_no_read_tool_may_write() -> None:
    for tool in (*CORE.values(), *FULL.values()):
        if tool.permission == "read":
            assert [(".sidekick/**", "read")] == scopes(tool)


def test_m8_every_pattern_is_below_the_packs_directory() -> None:
    patterns = [scope.pattern for tool in DESCRIPTORS for scope in (*tool.declared, *tool.needed)]
    assert all(pattern.startswith(".sidekick/") for pattern in patterns)


def test_m9_every_tool_has_both_schemas_and_they_are_schemas() -> None:
    for tool in (*CORE.values(), *FULL.values()):
        assert tool.input_schema is not None
        assert tool.output_schema is not None
        Schema(tool.input_schema, strict=True)
        Schema(tool.output_schema)
        assert ("object", False) == (
            tool.input_schema["type"], tool.input_schema["additionalProperties"],
        )  # fmt: skip
        assert ("object", False) == (
            tool.output_schema["type"], tool.output_schema["additionalProperties"],
        )  # fmt: skip


def test_m10_the_first_policy_allows_tool_requests() -> None:
    policy = pack.manifest.policies[0]
    assert ("sidekick.policy.default", "on_tool_request", "allow") == (
        policy.id, policy.trigger, policy.decision,
    )  # fmt: skip


def test_m11_the_file_is_what_the_table_gives() -> None:
    assert manifest_file.manifest_text() == manifest_file.MANIFEST.read_text(encoding="utf-8")
    assert PackManifest.from_mapping(manifest_file.manifest_fields()) == pack.manifest
    assert tuple(tool_manifests("core")) == tuple(pack.manifest.tools)


def test_m12_routine_run_is_a_read() -> None:
    assert CORE["routine:run"].permission == "read"


def test_m13_export_is_a_read() -> None:
    assert CORE["sidekick:export"].permission == "read"


def test_m14_init_is_a_write() -> None:
    assert CORE["sidekick:init"].permission == "write"


def test_m15_each_group_has_its_module_and_each_entry_its_function() -> None:
    for tool in DESCRIPTORS:
        function = load_entry(tool.entry)
        assert inspect.iscoroutinefunction(function), tool.name
        assert function.__module__ == f"conductor_packs.sidekick.tools.{MODULES[tool.group]}"
        assert function.__name__ == tool.name.replace(":", "_")
        assert function.__doc__


def test_every_function_of_a_tool_module_that_is_a_tool_is_in_the_table() -> None:
    entries = {tool.entry for tool in DESCRIPTORS}
    for module_name in MODULES.values():
        module = importlib.import_module(f"conductor_packs.sidekick.tools.{module_name}")
        public = [
            name for name, value in vars(module).items()
            if inspect.iscoroutinefunction(value) and not name.startswith("_")
            and value.__module__ == module.__name__
        ]  # fmt: skip
        assert {f"{module.__name__}:{name}" for name in public} <= entries


def test_every_write_tool_has_a_dry_run_and_no_read_tool_has() -> None:
    for tool in (*CORE.values(), *FULL.values()):
        assert tool.input_schema is not None
        assert ("dry_run" in tool.input_schema["properties"]) == (tool.permission == "write")


def test_every_string_and_list_that_is_taken_has_a_limit() -> None:
    def unlimited(schema: Any, path: str) -> list[str]:
        if not isinstance(schema, dict):
            return []
        kind = schema.get("type", "")
        found = [path] if "string" in kind and not {"maxLength", "enum"} & set(schema) else []
        found += [path] if kind == "array" and "maxItems" not in schema else []
        found += [path] if kind == "integer" and "maximum" not in schema else []
        for name, part in schema.get("properties", {}).items():
            found += unlimited(part, f"{path}/{name}")
        for part in (schema.get("items"), *schema.get("oneOf", ())):
            found += unlimited(part, f"{path}/*")
        return found

    assert [] == [
        where for tool in FULL.values() for where in unlimited(tool.input_schema, tool.name)
    ]


def test_the_full_tool_set_takes_all_that_the_core_one_takes() -> None:
    for name, tool in CORE.items():
        assert tool.input_schema is not None
        full = FULL[name].input_schema
        assert full is not None
        assert set(tool.input_schema["properties"]) <= set(full["properties"])
        assert tool.input_schema.get("required") == full.get("required")
        assert tool.output_schema == FULL[name].output_schema


def test_every_field_of_a_schema_is_a_field_of_its_model_and_back() -> None:
    for tool in DESCRIPTORS:
        schema = FULL[tool.name].input_schema
        assert schema is not None
        assert issubclass(tool.inputs, Input)
        assert set(schema["properties"]) == set(tool.inputs.model_fields)
        assert all(field.get("description") for field in schema["properties"].values()), tool.name


def test_approvals_and_hints_of_the_tool_sets() -> None:
    assert {
        "task:cancel": ("sidekick:task_cancel",),
        "memory:forget": ("sidekick:memory_forget",),
        "channel:delete": ("sidekick:channel_delete",),
        "routine:delete": ("sidekick:routine_delete",),
    } == {name: tuple(t.required_approvals) for name, t in FULL.items() if t.required_approvals}
    assert [] == [name for name, tool in CORE.items() if tool.required_approvals]
    assert ["memory:forget"] == [name for name, tool in CORE.items() if tool.destructive]
    assert all(tool.idempotent for tool in FULL.values() if tool.permission == "read")
    assert ["channel:send", "memory:store", "routine:create", "task:create"] == sorted(
        name for name, tool in FULL.items() if not tool.idempotent
    )


def test_what_a_tool_needs_is_within_what_it_declares() -> None:
    for tool in DESCRIPTORS:
        declared = {scope.access for scope in tool.declared}
        assert {scope.access for scope in tool.needed} == declared
        if tool.permission == "write" and tool.group != "sidekick":
            patterns = {scope.pattern for scope in tool.needed if scope.access == "write"}
            assert patterns == {
                f".sidekick/{MODULES[tool.group]}/**", ".sidekick/audit/**", ".sidekick/.lock",
            }  # fmt: skip


@pytest.mark.parametrize("config", [{}, {"toolset": "core"}])
def test_the_core_tool_set_is_the_manifests(config: dict[str, Any]) -> None:
    assert pack.toolset is not None
    assert pack.toolset(config) is pack.manifest.tools
    assert toolset_of(config) == "core"


def test_an_unknown_tool_set_is_refused() -> None:
    assert pack.toolset is not None
    assert 23 == len(pack.toolset({"toolset": "full"}))
    with pytest.raises(ToolsetUnknown):
        pack.toolset({"toolset": "all"})


def test_a_tool_is_written_without_what_is_the_default() -> None:
    fields = tool_fields(DESCRIPTORS[0], "full")
    assert "destructive" not in fields
    assert "required_approvals" not in fields


def test_the_script_compares_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_file, "MANIFEST", tmp_path / "manifest.yaml")
    (tmp_path / "manifest.yaml").write_text("id: other\n")
    assert manifest_file.main([]) == 1
    assert manifest_file.main(["--write"]) == 0
    assert manifest_file.main([]) == 0


def test_the_pack_conforms() -> None:
    run_conformance(pack).assert_passed()
