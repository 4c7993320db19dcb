"""Groups of commands in which a flow may stand where a command is missing.

Promise: whoever leaves the command out is told the whole line. Refusal: nothing is guessed and run.
"""

from __future__ import annotations

import shlex
from typing import Any

import click

from conductor_terminal.shell import HelpfulGroup, LazyGroup


class FlowGroup(HelpfulGroup):
    """A group whose first word may be a flow by mistake."""

    def __init__(self, *given: Any, usual: str = "", **named: Any) -> None:
        """Make a group.

        Args:
            given: As click's group.
            usual: The command that is meant most often.
            named: As click's group.
        """
        super().__init__(*given, **named)
        self.usual = usual

    def meant(self, ctx: click.Context, args: list[str]) -> str | None:
        """Say what may have been meant by words of which the first is no command."""
        if _is_a_flow(args[0]):
            line = shlex.join([*ctx.command_path.split(), *self.usual.split(), *args])
            return f"the command is missing: {line}"
        return super().meant(ctx, args)


class FlowRoot(FlowGroup, LazyGroup):
    """The same, whose commands are imported when they are used."""


def _is_a_flow(word: str) -> bool:
    place = word.partition(":")[0]
    return place != word or place.endswith((".py", ".json"))
