"""Where the tools' entries lead: into the pack, to something that can be called.

Promise: what passes here can be imported and called by the tool host. Refusal: no tool is called,
and an entry outside of the pack is not imported to look at it.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Sequence

from conductor_handlers.errors import describe
from conductor_handlers.pack_lint.place import PackPlace
from conductor_handlers.pack_lint.verdict import Check, Finding, checked
from conductor_sdk.manifest_tools import ToolManifest

TITLE = "tool entries"
_ENTRY = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")


def check_entries(
    place: PackPlace, tools: Sequence[ToolManifest], bad: Sequence[Finding] = ()
) -> Check:
    """Check where each tool's entry leads.

    Args:
        place: The pack's files; its modules can be imported by their names.
        tools: The pack's tools.
        bad: What the manifest's schema found in entries; those are not looked at again.
    """
    spoilt = {finding.where for finding in bad}
    findings = list(bad)
    for index, tool in enumerate(tools):
        where = f"/tools/{index}/entry"
        if where in spoilt:
            continue
        problem = _problem(place, tool.entry)
        if problem is not None:
            rule, message, hint = problem
            findings.append(Finding(rule, where, f"{tool.name}: {message}", hint))
    return checked("entries", TITLE, findings)


def _problem(place: PackPlace, entry: str) -> tuple[str, str, str] | None:
    if not _ENTRY.match(entry):
        return "entry_shape", f"{entry!r} names no attribute", "write package.module:attribute"
    module, attribute = entry.split(":", 1)
    if not _inside(place, module):
        inside = place.package or "the pack's directory"
        return "entry_escapes", f"{module} is not in {inside}", "name a module of the pack"
    try:
        found: object = importlib.import_module(module)
        for step in attribute.split("."):
            found = getattr(found, step)
    except (Exception, SystemExit) as error:  # noqa: BLE001  foreign code: anything may come
        return "entry_missing", f"{entry}: {describe(error)}", "correct the entry, or write it"
    return _not_a_tool(entry, found)


def _not_a_tool(entry: str, found: object) -> tuple[str, str, str] | None:
    if not callable(found):
        kind = type(found).__name__
        return "entry_not_callable", f"{entry} is a {kind}", "point it at an async function"
    try:
        inspect.signature(found).bind({}, None)
    except TypeError:
        return "entry_signature", f"{entry} does not take (input, ctx)", "give it these two"
    except ValueError:
        return None  # a callable that says nothing of its arguments
    return None


def _inside(place: PackPlace, module: str) -> bool:
    if place.package:
        return module == place.package or module.startswith(f"{place.package}.")
    top = place.root / module.partition(".")[0]
    return top.with_suffix(".py").is_file() or (top / "__init__.py").is_file()
