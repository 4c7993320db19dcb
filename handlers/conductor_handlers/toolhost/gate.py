"""What is decided about a tool and a caller before any of its calls.

Promise: scopes, labels, patterns and fixed verdicts are worked out once for each tool and set of
caller's scopes. Refusal: nothing of a single call is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from conductor_handlers.toolhost.catalogue import CatalogueTool
from conductor_handlers.toolhost.policy import (
    Layer,
    Question,
    Verdict,
    judge,
    manifest_layer,
    pack_layer,
)
from conductor_handlers.toolhost.records import AnyScope, Caller, Listing
from conductor_handlers.toolhost.scopes import Reach, intersect, label, reach
from conductor_handlers.toolhost.settings import HostSettings
from conductor_sdk.scoped_files import WorkspaceFiles

RESERVED_PATH = "kernel.scope.reserved-path"
BOUNDARY = "kernel.scope.boundary"
"""Policy ids of what the host itself decides about scopes."""
GATES_MAX = 4096
"""Pairs of tool and caller's scopes that are kept."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One tool, for one set of caller's scopes."""

    tool: CatalogueTool
    reach: Reach
    files: WorkspaceFiles
    trace: Mapping[str, Any]
    """The part of the started trace that is the same for every call."""
    layers: tuple[Layer, ...]
    verdict: Verdict | None
    """The policy's answer, where it does not depend on the arguments."""

    def judge(self, arguments: Mapping[str, Any] | None) -> Verdict:
        """Ask the policy."""
        if self.verdict is not None:
            return self.verdict
        return judge(self.layers, Question(self.tool.name, self.tool.pack, arguments))

    def listing(self) -> Listing | None:
        """Return the tool as it is listed; None: no call of it could be allowed."""
        if self.reach.reserved or self.reach.missing:
            return None
        verdict = self.verdict or judge(self.layers, Question(self.tool.name, self.tool.pack))
        if verdict.decision == "deny" and self.verdict is not None:
            return None
        asked = approvals_of(verdict)
        listed = self.tool.listing
        if asked == listed.required_approvals:
            return listed
        return msgspec.structs.replace(listed, required_approvals=asked)


def approvals_of(verdict: Verdict) -> list[str]:
    """Return what must be approved, the manifest's names first."""
    asked = [one.policy_id for one in verdict.decisions if one.decision == "approval_required"]
    return sorted(dict.fromkeys(asked), key=lambda name: ":" not in name)


class Gates:
    """All gates of one host, made when first needed."""

    def __init__(self, settings: HostSettings, roots: Mapping[str, Path]) -> None:
        """Hold what all gates share.

        Args:
            settings: The workspace's scopes and policy.
            roots: Where the files of each pack's tools are, by slug: the workspace.
        """
        self._settings = settings
        self._roots = roots
        self._workspace = Layer(
            "workspace", settings.rules, settings.default_decision, allow_loosening=True
        )
        self._gates: dict[tuple[str, tuple[AnyScope, ...] | None], Gate] = {}

    def of(self, tool: CatalogueTool, scopes: tuple[AnyScope, ...] | None) -> Gate:
        """Return the gate of a tool for a caller's scopes."""
        place = (tool.name, scopes)
        gate = self._gates.get(place)
        if gate is None:
            if len(self._gates) >= GATES_MAX:
                self._gates.clear()
            gate = self._gates[place] = self._made(tool, scopes)
        return gate

    def _made(self, tool: CatalogueTool, scopes: tuple[AnyScope, ...] | None) -> Gate:
        workspace, declared = self._settings.scopes, tuple(tool.manifest.required_scopes)
        found = reach(workspace, scopes, declared)
        allowed = intersect([workspace] if scopes is None else [workspace, scopes])
        layers = (self._workspace, pack_layer(tool.policies), manifest_layer(tool.manifest))
        conditional = any(rule.when is not None for layer in layers for rule in layer.rules)
        return Gate(
            tool, found, WorkspaceFiles(self._roots[tool.pack], found.scopes),
            {
                "tool": tool.name, "pack": tool.pack, "pack_version": tool.version,
                "scopes": {
                    "requested": [label(scope) for scope in declared],
                    "allowed": [label(scope) for scope in allowed],
                    "enforced": [label(scope) for scope in found.scopes],
                },
            },
            layers,
            None if conditional else judge(layers, Question(tool.name, tool.pack)),
        )  # fmt: skip


def may_call(caller: Caller, tool: str) -> bool:
    """Tell whether the caller's own list of tools holds one."""
    return caller.tools is None or _listed(caller.tools, tool)


@lru_cache(maxsize=4096)
def _listed(patterns: tuple[str, ...], tool: str) -> bool:
    return any(fnmatchcase(tool, pattern) for pattern in patterns)
