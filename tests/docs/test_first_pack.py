"""The tutorial, executed: every block of the page, in order, in one directory.

What a block's info string says: `console` runs the lines after `$` and compares the output (`...`
stands for anything); `writes=F` makes the file F; `shows=F` must be part of F; `fails=N` is the
exit code. Blocks marked `daemon` need a running sidecar and are executed elsewhere.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-pack.md"
FENCE = re.compile(r"^```(\S+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Reader:
    """Someone who follows the page to the letter."""

    directory: Path
    commands: int = 0
    written: list[str] = field(default_factory=list[str])

    def follow(self, language: str, options: dict[str, str], body: str) -> None:
        if "writes" in options:
            (self.directory / options["writes"]).write_text(body)
            self.written.append(options["writes"])
        elif "shows" in options:
            assert body in (self.directory / options["shows"]).read_text()
        else:
            assert language == "console"
            self.type(body, int(options.get("fails", "0")))

    def type(self, body: str, code: int) -> None:
        for step in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            command, _, expected = step.partition("\n")
            self.commands += 1
            words = shlex.split(command)
            if words[0] == "cd":
                self.directory /= words[1]
                continue
            done = self.run(words)
            assert done.returncode == code, done.stdout + done.stderr
            pattern = re.escape(expected.strip()).replace(r"\.\.\.", ".*")
            assert re.fullmatch(pattern, done.stdout.strip(), re.DOTALL), done.stdout
            assert all(len(line) <= 80 for line in done.stdout.splitlines())

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        programs = {
            "python": [sys.executable, "-B"],
            "conductor": [sys.executable, "-B", "-m", "conductor_sidecar"],
        }
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST", "CONDUCTOR", "COV"))
        }
        plugins = {"PYTEST_ADDOPTS": "-p no:cacheprovider"} if words[:3] == PYTEST else {}
        return subprocess.run(
            [*programs[words[0]], *words[1:]],
            cwd=self.directory, env=environment | plugins, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip


PYTEST = ["python", "-m", "pytest"]


def blocks() -> list[tuple[str, dict[str, str], str]]:
    found: list[tuple[str, dict[str, str], str]] = []
    for language, info, body in FENCE.findall(PAGE.read_text()):
        options = dict(word.partition("=")[::2] for word in info.split())
        found.append((language, options, body))
    return found


def test_the_tutorial_works_step_by_step(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    for language, options, body in blocks():
        if "daemon" not in options:
            reader.follow(language, options, body)
    assert reader.commands == 7
    assert len(reader.written) == 6


def test_every_block_of_the_tutorial_is_executed_or_marked() -> None:
    kinds = {
        next(iter(set(options) & {"writes", "shows", "daemon"}), language)
        for language, options, _ in blocks()
    }
    assert kinds == {"writes", "shows", "daemon", "console"}


def test_the_files_of_the_tutorial_are_what_the_scaffold_makes(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    done = reader.run(["conductor", "pack", "new", "acme-jobs"])
    assert done.returncode == 0, done.stderr
    compared: list[str] = []
    for _, options, body in blocks():
        name = options.get("writes", "")
        if name.endswith(".py"):
            assert (tmp_path / "acme-jobs" / name).read_text() == body
            compared.append(Path(name).name)
    assert compared == ["emit.py", "handlers.py", "pack.py"]
