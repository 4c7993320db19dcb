"""All checks of a pack, in their order.

Promise: one verdict for one pack; what depends on a manifest that cannot be read is skipped and
says so. Refusal: nothing is installed or loaded into the daemon, and no tool is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conductor_handlers.errors import describe
from conductor_handlers.pack_lint import entries, imports, integrity, names, security
from conductor_handlers.pack_lint.manifest_check import ReadManifest, read_manifest
from conductor_handlers.pack_lint.place import PackPlace
from conductor_handlers.pack_lint.verdict import Check, Finding, PackVerdict, checked, skipped
from conductor_sdk.manifest_tools import ToolManifest
from conductor_sdk.pack import Pack

CHECKS = ("manifest", "imports", "names", "entries", "security", "integrity")
_NO_MANIFEST = "the manifest failed"


def lint_pack(
    place: PackPlace,
    pack: Pack | None = None,
    *,
    pin: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> PackVerdict:
    """Check a pack's files.

    Args:
        place: Where they are.
        pack: The imported pack; None: it could not be imported.
        pin: What its files must hash to; None: any hash.
        config: The pack's section, for packs whose tools depend on it; those of an empty section
            are checked too.
    """
    read = read_manifest(place, pack.manifest if pack else None)
    hashed, found = integrity.check_integrity(place.root, pin)
    checks = [read.check, imports.check_imports(place), *_of_tools(place, read, pack, config)]
    return PackVerdict(place.name, str(place.root), (*checks, hashed), found, pin)


def _of_tools(
    place: PackPlace, read: ReadManifest, pack: Pack | None, config: Mapping[str, Any] | None
) -> list[Check]:
    titles = {"names": names.TITLE, "entries": entries.TITLE, "security": security.TITLE}
    if read.manifest is None:
        return [skipped(name, title, _NO_MANIFEST) for name, title in titles.items()]
    try:
        sets = [read.manifest.tools, *_chosen(pack, config)]
    except (Exception, SystemExit) as error:  # noqa: BLE001  foreign code: anything may come
        problem = Finding("toolset_failed", "toolset", describe(error), "mend the pack's toolset")
        rest = [skipped(name, titles[name], "the toolset failed") for name in list(titles)[1:]]
        return [checked("names", names.TITLE, [problem]), *rest]
    every: list[ToolManifest] = []
    for tools in sets:
        every += [tool for tool in tools if tool not in every]
    clashes = [names.check_names(tools) for tools in sets]
    return [
        next((check for check in clashes if check.findings), clashes[0]),
        entries.check_entries(place, every, read.bad_entries),
        security.check_security(every),
    ]


def _chosen(pack: Pack | None, config: Mapping[str, Any] | None) -> list[Sequence[ToolManifest]]:
    if pack is None or pack.toolset is None:
        return []
    return [pack.toolset({}), *([pack.toolset(config)] if config else [])]
