"""The manifest: whether it is there, fits the schema, and is what the loaded pack says.

Promise: what the file says of tools, the code says too; a bad `entry` is left to the check of
entries, so that one typing error does not hide every other finding. Refusal: whether the pack can
be loaded here is the registry's question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from conductor_handlers.pack_lint.place import PackPlace
from conductor_handlers.pack_lint.verdict import Check, Finding, checked
from conductor_sdk.manifest import PackManifest
from conductor_sdk.manifest_tools import ToolManifest
from conductor_sdk.pack_errors import ManifestInvalid, PackRefused
from conductor_sdk.yaml12 import load_yaml

NAME = "manifest"
TITLE = "manifest schema"
_ENTRY = re.compile(r"^/tools/\d+/entry$")


@dataclass(frozen=True, slots=True)
class ReadManifest:
    """What the file gave."""

    manifest: PackManifest | None
    """None: nothing more can be checked. Bad entries are replaced by a name that is nowhere."""
    check: Check
    bad_entries: tuple[Finding, ...] = ()


def read_manifest(place: PackPlace, loaded: PackManifest | None) -> ReadManifest:
    """Read and check a manifest.

    Args:
        place: The pack's files; without a manifest's file the loaded one is taken.
        loaded: What the imported pack says; None: it could not be imported.
    """
    if not place.manifest.is_file():
        if loaded is not None:
            return ReadManifest(loaded, checked(NAME, TITLE, []))
        return _refused([Finding("manifest_missing", str(place.manifest), "there is no such file",
                                 "write one; see docs/tutorial/first-pack.md")])  # fmt: skip
    try:
        manifest = PackManifest.from_yaml(place.manifest)
    except ManifestInvalid as error:
        return _without_bad_entries(place, error)
    findings = _differences(manifest, loaded)
    # A file may leave its tools to the code; then the code's are the ones to check.
    tools_in_code = loaded is not None and not manifest.tools
    return ReadManifest(loaded if tools_in_code else manifest, checked(NAME, TITLE, findings))


def _without_bad_entries(place: PackPlace, error: ManifestInvalid) -> ReadManifest:
    problems = _problems(error)
    bad = tuple(problem for problem in problems if _ENTRY.match(problem.where))
    if len(bad) < len(problems):
        return _refused([problem for problem in problems if problem not in bad])
    fields = cast("dict[str, Any]", load_yaml(place.manifest.read_bytes()))
    tools = cast("list[dict[str, Any]]", fields["tools"])
    for finding in bad:
        tools[int(finding.where.split("/")[2])]["entry"] = "nowhere:nothing"
    return ReadManifest(PackManifest.from_mapping(fields), checked(NAME, TITLE, []), bad)


def _problems(error: PackRefused) -> list[Finding]:
    each = cast("Sequence[Mapping[str, str]]", error.data.get("problems", ()))
    if not each:
        return [Finding("manifest_invalid", "/", error.detail, error.hint)]
    return [
        Finding(
            "entry_escapes" if _ENTRY.match(one["pointer"]) else "manifest_invalid",
            one["pointer"] or "/", one["message"], f"correct {one['pointer'] or 'the manifest'}",
        )
        for one in each
    ]  # fmt: skip


def _differences(manifest: PackManifest, loaded: PackManifest | None) -> list[Finding]:
    """Name what the file says and the code does not, or the other way round."""
    if loaded is None:
        return []
    written, said = manifest.model_dump(mode="json"), loaded.model_dump(mode="json")
    where = [key for key in written if key != "tools" and written[key] != said[key]]
    found = [_drift(f"/{key}") for key in where]
    if not manifest.tools:
        return found
    return [*found, *_different_tools(manifest.tools, loaded.tools)]


def _different_tools(
    written: Sequence[ToolManifest], said: Sequence[ToolManifest]
) -> list[Finding]:
    code = {tool.name: tool for tool in said}
    names = [tool.name for tool in written]
    found = [
        _drift(f"/tools/{index}")
        for index, tool in enumerate(written)
        if code.get(tool.name) != tool
    ]
    return [*found, *(_drift(f"/tools ({name})") for name in code if name not in names)]


def _drift(where: str) -> Finding:
    return Finding(
        "manifest_drift", where, "the file and the loaded pack differ",
        "build the pack's manifest with PackManifest.from_yaml, or write the file from the code",
    )  # fmt: skip


def _refused(findings: list[Finding]) -> ReadManifest:
    return ReadManifest(None, checked(NAME, TITLE, findings))
