"""Where packs come from: objects, directories, entry points. Candidates are not imported yet.

Promise: the order is fixed (given objects, directories as listed, then installed ones by name), so
which of two packs with one slug is refused never depends on the machine. Refusal: nothing here
judges a pack.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from conductor_handlers.errors import describe
from conductor_handlers.pack_shape import check_shape
from conductor_sdk.pack import Pack
from conductor_sdk.pack_errors import PackImportFailed, PackNotAPack, PackRefused

GROUP = "conductor.packs"
OWN_DISTRIBUTION = "conductor-sidecar"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pack that may be loaded."""

    name: str
    """The entry point's name, or the slug of a given object."""
    source: str
    """Where it comes from, for people."""
    load: Callable[[], object]
    """Imports it; may raise anything."""
    module: str = ""
    """The dotted name of the module that holds it, where it is installed."""


def given_pack(pack: Pack) -> Candidate:
    """Return a candidate for a pack object."""
    return Candidate(pack.manifest.slug, "given", lambda: pack)


def installed_packs() -> list[Candidate]:
    """Find the entry points of the group `conductor.packs`; ours first, then by name."""
    found = [
        (point.dist.name if point.dist else "", point)
        for point in importlib.metadata.entry_points(group=GROUP)
    ]
    found.sort(key=lambda item: (item[0] != OWN_DISTRIBUTION, item[0], item[1].name))
    return [
        Candidate(
            point.name,
            f"{distribution} {point.dist.version}" if point.dist else "an entry point",
            point.load,
            point.module,
        )
        for distribution, point in found
    ]


def import_pack(candidate: Candidate) -> Pack:
    """Import a candidate.

    Raises:
        PackImportFailed: With the line at which the pack failed.
        PackNotAPack: What was imported is not a Pack, or one with fields of the wrong type.
        PackRefused: What the pack itself raised, for example an invalid manifest.
    """
    try:
        # What a pack prints while it is imported must not end up in somebody's JSON.
        with contextlib.redirect_stdout(sys.stderr):
            found = candidate.load()
    except PackRefused:
        raise
    except (Exception, SystemExit) as error:  # foreign code: anything may come
        raise _failed(candidate, error) from error
    if not isinstance(found, Pack):
        raise PackNotAPack(f"{candidate.name} holds a {type(found).__name__}", value=candidate.name)
    check_shape(found, candidate.name)
    return found


def _failed(candidate: Candidate, error: BaseException) -> PackRefused:
    from pydantic import ValidationError

    from conductor_sdk.manifest import manifest_invalid

    if isinstance(error, ValidationError) and error.title == "PackManifest":
        return manifest_invalid(error)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename
    ]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if len(frames) > 1 else ""
    text = describe(error)
    return PackImportFailed(f"{candidate.name}: {text}{where}", value=candidate.name)
