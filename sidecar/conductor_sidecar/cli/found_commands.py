"""Commands that installed packs bring: found by entry point, without what finding usually costs.

Promise: `conductor --help` names them with their one line and imports none of them; one that is
broken hides no other. Refusal: nothing is run here, and a pack cannot replace a command of ours.

`importlib.metadata` would take longer than everything else in `--help`, so the files that it reads
are read here directly: `entry_points.txt` of every distribution on the path.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import click

    from conductor_sdk.command import PackCommand

GROUP = "conductor.commands"
SUMMARY_MAX = 60
_OURS = "conductor_sidecar-"
_ENDS = (".dist-info", ".egg-info")
_FILE = "entry_points.txt"


class FoundCommand(NamedTuple):
    """A command that a distribution names."""

    name: str
    target: str
    """`module:attribute` of a `PackCommand`."""

    def summary(self) -> str:
        """Return its one line of help, or why there is none."""
        try:
            summary = self._command().summary
        except (Exception, SystemExit) as error:  # noqa: BLE001  foreign code: help must go on
            return f"Cannot be loaded: {type(error).__name__}."
        return " ".join(summary.split())[:SUMMARY_MAX]

    def load(self) -> click.Command:
        """Import and return the click command.

        Raises:
            PackCommandBroken: It cannot be imported, or is none.
        """
        import click

        from conductor_sidecar.errors import PackCommandBroken

        try:
            command: Any = self._command().load()
        except (Exception, SystemExit) as error:
            from conductor_handlers.errors import describe

            raise PackCommandBroken(f"{self.name}: {describe(error)}") from error
        if not isinstance(command, click.Command):
            raise PackCommandBroken(f"{self.name}: {self.target} gives no click command")
        return command

    def _command(self) -> PackCommand:
        module, _, attribute = self.target.partition(":")
        command: PackCommand = getattr(import_module(module), attribute)
        return command


@cache
def find_commands() -> dict[str, FoundCommand]:
    """Return the commands of installed packs by name, sorted; of two, ours or the first stays."""
    found: dict[str, FoundCommand] = {}
    for text in sorted(_declarations(), key=lambda item: not item[0].startswith(_OURS)):
        for name, target in _entries(text[1]):
            found.setdefault(name, FoundCommand(name, target))
    return dict(sorted(found.items()))


def _declarations() -> Iterator[tuple[str, str]]:
    """Give (directory's name, text) of every file on the path that names the group."""
    for place in dict.fromkeys(sys.path):
        try:
            found = os.listdir(place or ".")  # noqa: PTH208  pathlib costs half of the budget here
        except OSError:
            continue  # an archive, or nothing at all
        for name in sorted(name for name in found if name.endswith(_ENDS)):
            try:
                with open(os.path.join(place, name, _FILE), encoding="utf-8") as file:  # noqa: PTH118, PTH123  as above
                    text = file.read()
            except (OSError, UnicodeDecodeError):
                continue
            if GROUP in text:
                yield name, text


def _entries(text: str) -> Iterator[tuple[str, str]]:
    inside = False
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("["):
            inside = stripped == f"[{GROUP}]"
        elif inside and "=" in stripped and not stripped.startswith("#"):
            name, _, target = stripped.partition("=")
            yield name.strip(), target.split("[", 1)[0].strip()
