"""Programs that run until somebody ends them, started as child processes of a test.

Each is ended by its own process id, first as Ctrl-C would, and every wait has a bound.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

SECONDS = 30.0
FOREIGN = ("PYTEST", "CONDUCTOR", "COV")
"""Prefixes of variables that belong to the test run, not to a user's shell."""


def environment(programs: Path | None = None) -> dict[str, str]:
    """The environment of a user's shell in which `conductor` and `python` are found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    first = programs or Path(sys.executable).parent
    return kept | {
        "PATH": f"{first}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
        "COLUMNS": "80",
    }


class Running:
    """One program in a terminal of its own; use as a context manager."""

    def __init__(self, command: str, directory: Path, env: dict[str, str]) -> None:
        self.command = command
        self._process = subprocess.Popen(
            ["sh", "-c", command], cwd=directory, env=env, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._printed = ""
        self._over = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="running-reader")
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id of the program itself."""
        return self._process.pid

    @property
    def printed(self) -> str:
        """What it has printed until now."""
        with self._news:
            return self._printed

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until its output matches."""
        with self._news:
            self._news.wait_for(lambda: self._over or re.search(pattern, self._printed), SECONDS)
            found = re.search(pattern, self._printed)
        assert found, f"$ {self.command}\nno {pattern!r} within {SECONDS:g} s in\n{self._printed}"
        return found

    def wait(self) -> int:
        """Wait until it ends; returns its exit code."""
        return self._process.wait(SECONDS)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """End it and return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            self._reader.join(SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        with stream:
            for line in stream:
                with self._news:
                    self._printed += line
                    self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()
