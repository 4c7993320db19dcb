"""Pages as programs: finds the blocks of a page and does what they say.

A block's info string says what it is: `console` holds commands after `$ ` and what they print
(`...` stands for anything; nothing printed in the block means nothing is compared); `writes=F`
makes the file F; `shows=F` must be part of F; `fails=N` is the exit code; `stdin=NAME` is typed
into its commands; in an `eventually` block the last command is typed until it prints what the page
shows. Words that a reader must fill in (`PORT`, `EVENT_ID`) are bound by the test.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from house import ROOT
from running import Running, environment

FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEEPS = ("cd", "umask", "export")
"""Shell words whose effect lasts; they are typed again before each later command."""
SECONDS = 60.0


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    options: Mapping[str, str]
    body: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def steps(self) -> list[tuple[str, str]]:
        """The commands of a console block, without comments, each with its output."""
        parts = re.split(r"^\$ ", self.body, flags=re.MULTILINE)[1:]
        pairs = (part.partition("\n") for part in parts)
        return [(re.sub(r"\s+# .*", "", command).strip(), out) for command, _, out in pairs]


def pages() -> list[Path]:
    """Every page that people read, in the order of their paths."""
    tops = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md",
                                     "CHANGELOG.md")]  # fmt: skip
    below = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return [*tops, *sorted(below)]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page, text.count("\n", 0, found.start()) + 1, found[1],
            dict(word.partition("=")[::2] for word in found[2].split()), found[3],
        )
        for found in FENCE.finditer(text)
    ]  # fmt: skip


@dataclass
class Reader:
    """Someone who follows a page to the letter, in a directory of their own.

    Leaving the context ends everything that still runs, by its own process id.
    """

    directory: Path
    bindings: dict[str, str | Callable[[], str]] = field(
        default_factory=dict[str, "str | Callable[[], str]"]
    )
    programs: Path | None = None
    """A `bin` directory that comes first; default: that of the running interpreter."""
    typed: list[str] = field(default_factory=list[str])
    running: list[Running] = field(default_factory=list[Running])
    _kept: list[str] = field(default_factory=list[str])
    _ends: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ends.close()

    def read(self, page: Path) -> None:
        """Do everything that a page says."""
        for block in blocks(page):
            self.follow(block)

    def follow(self, block: Block) -> None:
        """Do what one block says."""
        options = block.options
        if "writes" in options:
            path = self.here / options["writes"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.bound(block.body), encoding="utf-8")
        elif "shows" in options:
            assert block.body in (self.here / options["shows"]).read_text(encoding="utf-8")
        elif block.language == "console":
            given = self.bound(options["stdin"]) if "stdin" in options else ""
            code, last = int(options.get("fails", "0")), len(block.steps) - 1
            for number, (command, expected) in enumerate(block.steps):
                patient = "eventually" in options and number == last
                self.type(command, expected, code=code, stdin=given, patient=patient)
        else:
            # A drawing, or a language that a test of its own executes.
            assert block.language in {"", "python"}, f"{block.place}: nobody runs this block"

    def type(
        self, command: str, expected: str = "", *,
        code: int = 0, stdin: str = "", patient: bool = False,
    ) -> str:  # fmt: skip
        """Type one command and wait for it; one that runs until Ctrl-C only gets started."""
        command, expected = self.bound(command), self.bound(expected)
        self.typed.append(command)
        if command.split()[0] in KEEPS:
            self._kept.append(command)
            return ""
        if command.startswith("make "):
            assert_target(command)
            return ""
        if stays(command) and code == 0:
            self.start(command)
            return ""
        until = time.monotonic() + SECONDS
        while True:
            done = self._run(command, stdin)
            ended = done.returncode == code
            if ended and (not expected.strip() or matches(expected, done.stdout)):
                return done.stdout
            patient = patient and time.monotonic() < until
            assert ended or patient, f"$ {command}\n{done.stdout}{done.stderr}"
            assert patient, f"$ {command}\n{done.stdout}\n-- and not\n{expected}"

    def _run(self, command: str, stdin: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", " && ".join([*self._kept, command])],
            cwd=self.directory, env=environment(self.programs), input=stdin,
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip

    def start(self, command: str) -> Running:
        """Start a command in a terminal of its own."""
        line = " && ".join([*self._kept, f"exec {command}"])
        program = Running(line, self.directory, environment(self.programs))
        started = self._ends.enter_context(program)
        self.running.append(started)
        if command.startswith("flows run serve"):
            started.wait_for(r"Ctrl-C stops")
        elif command.startswith("conductor sidecar"):
            started.wait_for(r'"ready"|\bready\b')
        elif command.startswith("conductor dev") and " events" not in command:
            started.wait_for(r"listening on \S+(?:.|\n)*enroll")
        return started

    @property
    def here(self) -> Path:
        """The directory after every `cd`."""
        path = self.directory
        for command in self._kept:
            if command.startswith("cd "):
                path = path / command.removeprefix("cd ").strip()
        return path

    def bound(self, text: str) -> str:
        """Fill in what the page leaves to its reader."""
        for word, value in self.bindings.items():
            pattern = rf"(?<![\w/-]){re.escape(word)}(?![\w-])"
            if re.search(pattern, text):
                filled = value if isinstance(value, str) else value()
                text = re.sub(pattern, filled.replace("\\", r"\\"), text)
        return text


def stays(command: str) -> bool:
    """Tell whether a command runs until Ctrl-C."""
    words = command.split()
    if words[:3] == ["flows", "run", "serve"]:
        return True
    if words[0] != "conductor" or {"--help", "--count"} & set(words):
        return False
    if {"--watch", "--follow", "-f"} & set(words) or words[1] in {"sidecar", "events"}:
        return True
    calls = {"send", "events", "workspaces", "restart", "token", "fault"}
    return words[1] == "dev" and not calls & set(words)


def matches(expected: str, printed: str) -> bool:
    """Compare what a page shows with what was printed; `...` stands for anything."""
    shown = expected.strip()
    core = shown.removeprefix("...\n").removesuffix("\n...")
    # A long path wraps to a line of its own, so space before the dots may be a line's end.
    pattern = re.escape(core).replace(r"\ \.\.\.", r"\s+.*").replace(r"\.\.\.", ".*")
    before = r"(.*\n)?" if shown.startswith("...\n") else ""
    after = r"(\n.*)?" if shown.endswith("\n...") else ""
    return re.fullmatch(before + pattern + after, printed.strip(), re.DOTALL) is not None


def assert_target(command: str) -> None:
    """Check that `make X` is a target; it is not run, since it may run this very test."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in command.split()[1:]:
        assert re.search(rf"^{re.escape(word)}:", makefile, re.MULTILINE), command


def python_blocks(page: Path) -> list[Block]:
    """The Python blocks of a page."""
    return [block for block in blocks(page) if block.language == "python"]
