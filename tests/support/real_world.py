"""Real processes of the product for the acceptance tests: a conductor, sidecars, commands.

Every process belongs to one `World`, is ended by its own process id, and every wait has a bound.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from resource import RLIMIT_FSIZE, setrlimit
from types import TracebackType
from typing import Any, Self, TypeVar

from conductor_sdk.client import ask
from conductor_sdk.errors import ConductorError, SidecarUnreachable
from conductor_sdk.workspace import resolve_workspace
from house import ROOT
from installed import install
from running import Running, environment

T = TypeVar("T")
SECONDS = 20.0
PACKS = ROOT / "tests/acceptance/packs"
CONDUCTOR = str(Path(sys.executable).with_name("conductor"))
RECOVERY = "conductor:recovery_requested"
QUEUED = "acme-demo:job_queued"
COMPLETED = "acme-demo:job_completed"
QUICK = ("--set", "reconnect.first_spread_s=0", "--set", "reconnect.cap_s=1")
"""A sidecar that comes back at once."""


def until(reached: Callable[[], T], what: str, seconds: float = SECONDS) -> T:
    """Wait until a question is answered with something true; returns the answer."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        answer = reached()
        if answer:
            return answer
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        pause.wait(0.02)


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """What went wrong, as `--json` says it."""
        found: dict[str, Any] = json.loads(self.err)["error"]
        return found


class World:
    """A directory with everything that runs in it. Use as a context manager."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ends = ExitStack()
        self.env = environment()

    def with_packs(self, packs: Mapping[str, str]) -> None:
        """Make packs of `tests/acceptance/packs` look installed: name to `module:attribute`."""
        installed = install(self.directory / "installed", packs=packs)
        self.env["PYTHONPATH"] = f"{installed}{os.pathsep}{PACKS}"

    def command(
        self, *words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None,
        seconds: float = 40.0,
    ) -> Done:  # fmt: skip
        """Type `conductor …` and wait for its end."""
        ended = subprocess.run(
            [CONDUCTOR, *words], cwd=cwd or self.directory, env={**self.env, **(env or {})},
            capture_output=True, timeout=seconds, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        return Done(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def without_room(self, *words: str) -> Done:
        """Type `conductor …` where no file can grow, as on a full disk."""
        ended = subprocess.run(
            [CONDUCTOR, *words], cwd=self.directory, env=self.env, capture_output=True, timeout=30,
            check=False, preexec_fn=lambda: setrlimit(RLIMIT_FSIZE, (0, 0)),
        )  # fmt: skip
        return Done(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def start(self, *words: str, cwd: Path | None = None) -> Running:
        """Start `conductor …`; it is ended with the world."""
        line = " ".join(["exec", CONDUCTOR, *(f"'{word}'" for word in words)])
        return self._ends.enter_context(Running(line, cwd or self.directory, self.env))

    def conductor(self, *words: str) -> Conductor:
        """Start `conductor dev`."""
        return Conductor(self, words)

    def sidecar(self, workspace: Path, *words: str, ready: bool = True) -> Sidecar:
        """Start `conductor sidecar`; returns when its control socket answers."""
        running = self.start("sidecar", "-w", str(workspace), *words)
        sidecar = Sidecar(workspace, running)
        if ready:
            sidecar.wait_until_ready()
        return sidecar

    def loopback(self, name: str, *words: str) -> Sidecar:
        """Start a sidecar with the memory adapter in a new workspace."""
        workspace = self.directory / name
        workspace.mkdir(exist_ok=True)
        sidecar = self.sidecar(workspace, "--adapter", "memory", *words)
        sidecar.wait_for_link()
        return sidecar

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._ends.close()


class Conductor:
    """A running `conductor dev`."""

    def __init__(self, world: World, words: Sequence[str] = ()) -> None:
        self._world = world
        self.home = world.directory / "conductor"
        self.running = world.start("dev", "--directory", str(self.home), *words)
        self.url = self.running.wait_for(r"listening on (\S+)")[1]

    def dev(self, *words: str) -> Done:
        """Type `conductor dev …`."""
        done = self._world.command("dev", "--directory", str(self.home), *words)
        assert done.code == 0, done.err
        return done

    def token(self, workspace: str, *words: str) -> Path:
        """Issue an enrollment token; returns its file."""
        path = self._world.directory / f"{workspace}-{time.monotonic_ns()}.token"
        self.dev("token", "issue", workspace, "--output", str(path), *words)
        return path

    def enroll(self, workspace: Path) -> Done:
        """Enroll a workspace under the name of its directory."""
        workspace.mkdir(exist_ok=True)
        token = str(self.token(workspace.name))
        words = ("enroll", self.url, "--token-file", token, "-w", str(workspace))
        done = self._world.command(*words)
        assert done.code == 0, done.err
        return done

    def credentials(self, workspace: str) -> list[str]:
        """The ids of a workspace's valid credentials."""
        listed = self.dev("token", "list", "--json").json["tokens"]
        return [
            str(of["token_id"])
            for of in listed
            if (of["workspace"], of["purpose"], of["state"]) == (workspace, "credential", "valid")
        ]

    def send(self, workspace: str, kind: str, payload: object = None, *words: str) -> str:
        """Send one event down; returns its id."""
        text = json.dumps(payload or {})
        done = self.dev("send", kind, "--to", workspace, "--payload", text, "--json", *words)
        return str(json.loads(done.out.splitlines()[0])["event_id"])

    def events(self, workspace: str) -> list[dict[str, Any]]:
        """What a workspace pushed, in the order of arrival."""
        lines = self.dev("events", "--from", workspace, "--json").out.splitlines()
        return [json.loads(line)["event"] for line in lines]


class Sidecar:
    """A running `conductor sidecar`, asked over its control socket."""

    def __init__(self, workspace: Path, running: Running) -> None:
        self.workspace = workspace
        self.running = running

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send one request; raises what the sidecar answered."""
        encoded = None if body is None else json.dumps(body).encode()
        answer = ask(resolve_workspace(self.workspace), method, path, encoded, timeout_s=SECONDS)
        return json.loads(answer)

    def status(self) -> dict[str, Any]:
        """What `conductor status --json` prints."""
        found: dict[str, Any] = self.ask("GET", "/v1/status")
        return found

    def send(self, kind: str, payload: object = None, key: str | None = None) -> str:
        """Send an event down through the loopback; returns its id."""
        body = {"kind": kind, "payload": payload or {}, "idempotency_key": key}
        return str(self.ask("POST", "/v1/loopback/send", body)["event_id"])

    def push(self, *events: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Push events; returns the receipts."""
        found: list[dict[str, Any]] = self.ask("POST", "/v1/push", {"events": events})["receipts"]
        return found

    def letters(self) -> list[dict[str, Any]]:
        """The dead letters."""
        found: list[dict[str, Any]] = self.ask("GET", "/v1/dead-letters")["dead_letters"]
        return found

    def counts(self, kind: str, direction: str = "inbound") -> dict[str, Any]:
        """The counters of a kind; all zero when it was never seen."""
        zero = dict.fromkeys(
            ("accepted", "delivered", "buffered", "dead_lettered", "duplicates", "replayed"), 0
        )
        return {**zero, "dropped": {}, **self.status()[direction].get(kind, {})}

    def until(self, kind: str, direction: str = "inbound", **wanted: Any) -> dict[str, Any]:
        """Wait until counters of a kind have these values; returns them all."""

        def reached() -> dict[str, Any] | None:
            counts = self.counts(kind, direction)
            return counts if wanted.items() <= counts.items() else None

        return until(reached, f"{kind}: {wanted}")

    def wait_until_ready(self) -> None:
        """Wait until the control socket answers."""

        def answers() -> bool:
            try:
                return bool(self.status()["running"])
            except (SidecarUnreachable, ConductorError):
                return bool(re.search(r"(?m)^conductor: ", self.running.printed))

        until(answers, "the sidecar answers")
        assert "conductor: " not in self.running.printed, self.running.printed

    def wait_for_link(self, state: str = "open") -> dict[str, Any]:
        """Wait until the link is in a state; returns its report."""

        def reached() -> dict[str, Any] | None:
            link: dict[str, Any] = self.status()["link"]
            return link if link["state"] == state else None

        return until(reached, f"the link is {state}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; returns its exit code."""
        return self.running.end(number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.running.end(signal.SIGKILL)
