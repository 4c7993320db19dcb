"""The tools of the installed packs without a daemon, and tool sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor_sdk.errors import UsageWrong
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.mcp.offline import Installed
from conductor_sidecar.settings import (
    McpSettings,
    PacksSettings,
    Settings,
    ToolPolicy,
    ToolsSettings,
)
from installed import install


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    directory = install(tmp_path / "installed", packs={"notes": "notes_sets_pack:pack"})
    monkeypatch.syspath_prepend(str(directory))
    return resolve_workspace(tmp_path)


def settings(toolset: str, **sections: object) -> Settings:
    chosen = {"pack": {"notes": {"toolset": toolset}}, **sections}
    packs = PacksSettings(disabled=["acme-demo", "sidekick", "plan"])
    return Settings.model_validate({"packs": packs, **chosen})


def offered(installed: Installed) -> set[str]:
    names = {tool.name.removeprefix("notes_note_") for tool in installed.tools()}
    return {name for name in names if name in {"add", "list", "find", "drop", "wait"}}


def test_the_configured_tool_set_is_listed(workspace: Workspace) -> None:
    assert {"add", "list"} == offered(Installed(workspace, settings("core")))
    assert {"add", "list", "find", "drop"} == offered(Installed(workspace, settings("full")))


def test_a_client_may_take_a_smaller_tool_set(workspace: Workspace) -> None:
    installed = Installed(workspace, settings("full"), (), "core")

    assert {"add", "list"} == offered(installed)
    assert {"note:add", "note:list"} <= set(installed.words)


def test_a_client_that_asks_for_a_larger_tool_set_gets_no_more(workspace: Workspace) -> None:
    assert {"add", "list"} == offered(Installed(workspace, settings("core"), (), "full"))


def test_tool_set_and_patterns_narrow_together(workspace: Workspace) -> None:
    installed = Installed(workspace, settings("full"), ("note:*d*", "no:*"), "core")

    assert {"add"} == offered(installed)
    assert set() == offered(Installed(workspace, settings("full"), ("note:find",), "core"))


def test_a_tool_set_that_a_pack_does_not_know_is_refused(workspace: Workspace) -> None:
    with pytest.raises(UsageWrong, match="--toolset huge"):
        Installed(workspace, settings("full"), (), "huge")


def test_what_the_policy_denies_is_not_listed(workspace: Workspace) -> None:
    tools = ToolsSettings(policies=[ToolPolicy(tool="note:add", decision="deny")])

    assert {"list"} == offered(Installed(workspace, settings("core", tools=tools)))


def test_what_the_workspace_keeps_from_mcp_is_not_listed(workspace: Workspace) -> None:
    mcp = McpSettings(tools=["note:list"])

    assert {"list"} == offered(Installed(workspace, settings("full", mcp=mcp)))
