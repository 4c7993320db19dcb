"""The tools of the installed packs, read without a daemon.

Promise: what is listed is what a daemon with this configuration would offer to MCP. Refusal: no
entry is imported and nothing is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from glob import escape

from mcp_types import Tool

from conductor_handlers.toolhost.catalogue import Catalogue
from conductor_handlers.toolhost.gate import Gates
from conductor_handlers.toolhost.records import Listing
from conductor_sdk.errors import UsageWrong
from conductor_sdk.workspace import Workspace
from conductor_sidecar.mcp.names import named
from conductor_sidecar.mcp.present import tool_of
from conductor_sidecar.mcp.selection import Selection, selected
from conductor_sidecar.pack_selection import selected_packs
from conductor_sidecar.settings import Settings
from conductor_sidecar.tools import host_settings, packs_catalogue


class Installed:
    """Tools of the packs that these settings select, as one client wants to see them."""

    def __init__(
        self, workspace: Workspace, settings: Settings, words: Sequence[str] = (),
        toolset: str | None = None,
    ) -> None:  # fmt: skip
        """Describe a selection.

        Args:
            workspace: Whose tools.
            settings: Of the workspace.
            words: Patterns, as `selected` reads them.
            toolset: Only the tools of this set, of the packs that have sets. It selects among
                what is configured: naming a larger set adds nothing.

        Raises:
            RequestInvalid: As `selected`.
            UsageWrong: A pack does not know that tool set.
        """
        self._root = workspace.root
        self._settings = settings
        self._workspace = Selection(tuple(settings.mcp.tools))
        self._wanted = selected(words)
        self.words = list(words) if toolset is None else self._members(toolset)
        """The selection for a daemon; with a tool set, the names of its tools."""
        self._wanted = selected(self.words)

    def tools(self) -> list[Tool]:
        """Return the tools that the client sees."""
        packs = selected_packs(self._settings)
        catalogue = packs_catalogue(packs, self._settings, root=self._root)
        return [tool_of(name, listing) for name, listing in self._seen(catalogue).items()]

    def _seen(self, catalogue: Catalogue) -> dict[str, Listing]:
        tools = {
            name: tool for name, tool in catalogue.tools.items() if not tool.manifest.internal_only
        }
        roots = dict.fromkeys((tool.pack for tool in tools.values()), self._root)
        gates = Gates(host_settings(self._settings), roots)
        seen = {
            name: gates.of(tools[one.name], None).listing()
            for name, one in named(tool.listing for tool in tools.values()).items()
            if self._workspace.takes(one.name, name) and self._wanted.takes(one.name, name)
        }
        return {name: listing for name, listing in seen.items() if listing is not None}

    def _members(self, toolset: str) -> list[str]:
        registry = selected_packs(self._settings)
        pack = self._settings.pack
        configured = {
            key: pack.get(key, {}) | {"toolset": toolset}
            for one in registry.packs
            for key in (one.pack.manifest.config_key or one.slug,)
            if one.pack.toolset is not None
        }
        settings = self._settings.model_copy(update={"pack": pack | configured})
        catalogue = packs_catalogue(registry, settings, root=self._root)
        for problem in catalogue.problems:
            if not problem.tool:
                raise UsageWrong(f"--toolset {toolset}: {problem.pack}: {problem.message}")
        return [escape(listing.name) for listing in self._seen(catalogue).values()] or [""]
