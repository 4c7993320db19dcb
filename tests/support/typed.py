"""`conductor …` typed in this process, for tests of commands.

Promise: a command runs as it would in a shell, and what it printed and ended with comes back.
Refusal: no process is started, and nothing is set up for the command.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from conductor_sidecar.cli.main import main

COLUMNS = 80


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What was printed, as JSON."""
        return json.loads(self.out)

    @property
    def data(self) -> Any:
        """The data of a tool's answer."""
        return self.json["data"]


def typed(capsys: pytest.CaptureFixture[str], *words: str) -> Ran:
    """Run `conductor` with these words."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    out, err = capsys.readouterr()
    code = ended.value.code or 0
    assert isinstance(code, int)
    return Ran(code, out, err)


def shown(capsys: pytest.CaptureFixture[str], *words: str, raw: bool = False) -> Ran:
    """Run `conductor` as `typed`; what it printed must suit a narrow screen.

    Args:
        capsys: Catches what is printed.
        words: As they are typed.
        raw: The output is no text for a screen; that of `--json` never is.
    """
    ran = typed(capsys, *words)
    assert raw or "--json" in words or all(len(line) <= COLUMNS for line in ran.out.splitlines())
    assert "\x1b" not in ran.out
    return ran
