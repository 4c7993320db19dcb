"""Child processes that say what they measure, one JSON object a line.

Promise: whatever a `with` block does, its process is gone afterwards. Refusal: no process that was
not started here is touched.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
CONDUCTOR = Path(sys.executable).with_name("conductor")
PATIENCE_S = 120.0
_STOP_S = 15.0


class MeasurementFailed(Exception):
    """A process ended or fell silent before it had said what it should."""


def environment(*first: Path) -> dict[str, str]:
    """Return the environment of a child: ours, without its settings, and where to import from."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONDUCTOR_")}
    before = [kept["PYTHONPATH"]] if kept.get("PYTHONPATH") else []
    kept["PYTHONPATH"] = os.pathsep.join(map(str, (*first, ROOT, *before)))
    return kept


class Child:
    """One process; a context manager."""

    def __init__(
        self, arguments: Sequence[str | Path], env: Mapping[str, str] | None = None
    ) -> None:
        self._arguments = [str(word) for word in arguments]
        self._process = subprocess.Popen(
            self._arguments, cwd=ROOT, env=dict(env or environment()),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)
        self._pending = b""

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def hear(self, name: str, timeout_s: float = PATIENCE_S) -> Any:
        """Return the member `name` of the next line that has one.

        Raises:
            MeasurementFailed: The process ended, or said nothing such in time.
        """
        return self.hear_all(name, timeout_s)[name]

    def hear_all(self, name: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """Return the whole line; see `hear`."""
        end = time.monotonic() + timeout_s
        while True:
            line, newline, rest = self._pending.partition(b"\n")
            if newline:
                self._pending = rest
                said: dict[str, Any] = json.loads(line)
                if name in said:
                    return said
                continue
            self._read(name, end - time.monotonic())

    def say(self, text: str = "go") -> None:
        """Write a line to the process."""
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode() + b"\n")
        self._process.stdin.flush()

    def wait(self) -> None:
        """Wait for the process to end by itself.

        Raises:
            MeasurementFailed: It ended badly.
        """
        if code := self._process.wait(PATIENCE_S):
            raise MeasurementFailed(f"exit code {code}: {' '.join(self._arguments)}")

    def end(self) -> None:
        """Ask the process to end, then insist."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._selector.close()

    def _read(self, name: str, left_s: float) -> None:
        if left_s <= 0:
            raise MeasurementFailed(f"no {name!r} in time: {' '.join(self._arguments)}")
        if not self._selector.select(left_s):
            return
        assert self._process.stdout is not None
        data = self._process.stdout.read()
        if data == b"":
            code = self._process.wait(_STOP_S)
            raise MeasurementFailed(f"exit code {code}, no {name!r}: {' '.join(self._arguments)}")
        self._pending += data or b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


def python(module: str, *arguments: object) -> Child:
    """Start a module of this package."""
    return Child([sys.executable, "-m", module, *map(str, arguments)])


def peer(mode: str, **numbers: int) -> Child:
    """Start a peer; its first line holds its port."""
    return python(
        "benchmarks.peer", mode, *(f"{name}={number}" for name, number in numbers.items())
    )


def peak_rss_mb(pid: int) -> float | None:
    """Return the largest resident size of a running process in MB; None where it is not told."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return None
    line = next(line for line in text.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def processor_s(pid: int) -> float | None:
    """Return the processor time of a running process in seconds; None where it is not told."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
