"""`docs/how-to/mcp-clients.md`: every configuration on the page works as it stands."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from notes_world import pack_installed, program

from conductor_sdk.workspace import resolve_workspace
from conductor_sidecar.config import load_configuration
from conductor_sidecar.mcp.selection import selected
from doc_runner import Block, blocks
from house import ROOT

PAGE = ROOT / "docs/how-to/mcp-clients.md"
PLACEHOLDERS = ("/path/to/workspace", "${workspaceFolder}")
CLIENTS = {
    "claude-desktop": "mcpServers", "claude-code": "mcpServers", "cursor": "mcpServers",
    "vs-code": "servers",
}  # fmt: skip


def of_language(language: str) -> list[Block]:
    return [block for block in blocks(PAGE) if block.language == language]


def servers() -> list[tuple[str, dict[str, Any]]]:
    return [
        (block.place, json.loads(block.body)[CLIENTS[block.options["client"]]]["conductor"])
        for block in of_language("json")
    ]


STDIO = [one for _, one in servers() if "command" in one]
COMMANDS = sorted({(one["command"], *one["args"]) for one in STDIO})
HTTP = [pytest.param(one, id=place) for place, one in servers() if "url" in one]


def test_every_client_has_its_configuration_in_both_ways() -> None:
    named = {block.options["client"] for block in of_language("json")}

    assert set(CLIENTS) == named
    assert len(STDIO) >= 4
    assert len(HTTP) >= 3


def plain(words: Sequence[str]) -> tuple[str, ...]:
    """A command without what differs between clients."""
    return tuple("DIR" if word in PLACEHOLDERS else word for word in words)


async def started(words: Sequence[str], directory: Path, installed: Path) -> set[str]:
    """What a client that starts this command in a workspace is offered."""
    command, *arguments = [str(directory) if word == "DIR" else word for word in words]
    here = program(installed, directory)
    assert command == "conductor"
    parameters = StdioServerParameters(
        command=here.command, args=arguments, env=here.env, cwd=directory
    )
    async with Client(parameters) as client:
        return {tool.name for tool in (await client.list_tools()).tools}


@pytest.mark.parametrize("words", sorted({plain(command) for command in COMMANDS}))
async def test_every_command_of_a_configuration_serves_tools(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    installed = pack_installed(tmp_path / "installed")
    workspace = tmp_path / "workspace"
    workspace.mkdir()

    assert "notes_note_add" in await started(words, workspace, installed)


def test_the_command_that_adds_it_to_a_client_is_that_of_the_configurations() -> None:
    (line,) = [one.body for one in of_language("sh") if "claude mcp add" in one.body]
    words = shlex.split(line)

    assert plain(words[words.index("--") + 1 :]) in {plain(command) for command in COMMANDS}


@pytest.mark.parametrize("server", HTTP)
def test_an_address_carries_a_token_that_is_not_written_down(server: dict[str, Any]) -> None:
    assert "http://127.0.0.1:7433/mcp" == server["url"]
    assert re.fullmatch(r"Bearer \$\{[\w:-]+\}", server["headers"]["Authorization"])


def test_the_settings_on_the_page_are_settings(tmp_path: Path) -> None:
    tables = [tomllib.loads(block.body) for block in of_language("toml")]
    (tmp_path / "conductor.toml").write_text("\n".join(block.body for block in of_language("toml")))
    settings = load_configuration(resolve_workspace(tmp_path).root, environ={}).settings

    assert [["http"], ["mcp"]] == [list(table) for table in tables]
    assert "127.0.0.1:7433" == settings.http.listen
    assert ["task:*", "memory:recall"] == settings.mcp.tools


def test_the_selection_in_the_address_is_one() -> None:
    (query,) = re.findall(r"\?tools=(\S+)`", PAGE.read_text("utf-8"))

    assert ("task:*", "memory:recall") == selected([query]).patterns
