"""The parts of a bundle: what each is, and how it is collected.

Promise: names, counts, sizes, times and settings; of events and journal entries no payload. A part
that cannot be collected says why in its place. Refusal: nothing here decides what is redacted.
"""

from __future__ import annotations

import asyncio
import platform
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from conductor_sdk.client import ask
from conductor_sidecar import __version__
from conductor_sidecar.app import open_journal
from conductor_sidecar.checkup.not_looked import NotLooked
from conductor_sidecar.checkup.process import environment_names, files_of, resident_bytes
from conductor_sidecar.checkup.scene import ASK_S, Scene
from conductor_sidecar.doctor import Doctor
from conductor_sidecar.pack_selection import selected_packs
from conductor_sidecar.packs import pack_reports
from conductor_sidecar.systemd.units import NAME
from conductor_state.inspection import stored_version

LOG_LINES = 1000
LOG_BYTES = 1024 * 1024
ENTRIES = 50
TOOL_S = 15.0
UNIT_PLACES = ("etc/systemd/system", "etc/sysusers.d", "etc/tmpfiles.d")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bundle."""

    name: str
    """Its path in the bundle."""
    why: str
    collect: Callable[[Scene], Any]
    """Gives text, or what JSON can say; raises NotLooked where there is nothing."""

    @property
    def key(self) -> str:
        """How `--without` names it."""
        return self.name.partition(".")[0]


def versions(_: Scene) -> Any:
    """Versions of the program, of what it runs on, and of what is installed with it."""
    installed = {each.metadata["Name"]: each.version for each in metadata.distributions()}
    return {
        "conductor-sidecar": __version__, "python": sys.version, "platform": platform.platform(),
        "sqlite": sqlite3.sqlite_version, "distributions": dict(sorted(installed.items())),
    }  # fmt: skip


def checks(scene: Scene) -> Any:
    """What `conductor doctor` finds."""
    return {"checks": msgspec.to_builtins(Doctor(scene).examine())}


def asked(path: str) -> Callable[[Scene], Any]:
    """Return what asks the running sidecar a question."""
    return lambda scene: scene.asked(path)


def metrics(scene: Scene) -> Any:
    """What Prometheus would read."""
    scene.status()
    return ask(scene.workspace, "GET", "/metrics", timeout_s=ASK_S).decode("utf-8", "replace")


def configuration(scene: Scene) -> Any:
    """Every effective setting with its source."""
    listing = scene.configuration().listing()
    return [{"name": each.name, "value": each.value, "source": each.source} for each in listing]


def environment(scene: Scene) -> Any:
    """Names of variables, of this command and of the running sidecar; no value."""
    found: dict[str, list[str]] = {"command": sorted(scene.environ)}
    try:
        found["sidecar"] = sorted(environment_names(scene.root, scene.status()["pid"]))
    except NotLooked as reason:
        found["sidecar"] = [str(reason)]
    return found


def process(scene: Scene) -> Any:
    """Memory and open files of the running sidecar."""
    pid = scene.status()["pid"]
    return {
        "pid": pid, "resident_bytes": resident_bytes(scene.root, pid),
        "open_files": files_of(scene.root, pid),
    }  # fmt: skip


def files(scene: Scene) -> Any:
    """Names, sizes, modes and times of the state; versions of the databases."""
    found: list[dict[str, Any]] = []
    for path in [*scene.private_files(), *sorted(scene.workspace.state_dir.parent.glob("*"))]:
        facts = path.lstat()
        plain = stat.S_ISREG(facts.st_mode)
        found.append({
            "path": str(path.relative_to(scene.workspace.root)), "bytes": facts.st_size,
            "mode": stat.filemode(facts.st_mode), "uid": facts.st_uid,
            "modified": facts.st_mtime,
            "schema": stored_version(path) if plain and path.suffix == ".db" else None,
        })  # fmt: skip
    return found


def journal(scene: Scene) -> Any:
    """The head of the journal, and types, actors and times of its newest entries."""
    if not scene.workspace.journal_db.exists():
        raise NotLooked("there is none yet")

    async def read() -> Any:
        opened = open_journal(scene.workspace)
        try:
            size, head = await opened.head()
            entries = await opened.latest(ENTRIES) if size else []
        finally:
            await opened.close()
        newest = [
            {"sequence": each.sequence, "at": each.time, "type": each.event_type,
             "actor": each.actor}
            for each in entries
        ]  # fmt: skip
        return {"entries": size, "head": head, "newest": newest}

    return asyncio.run(read())


def packs(scene: Scene) -> Any:
    """Packs that are loaded or refused, with the reasons."""
    return msgspec.to_builtins(pack_reports(selected_packs(scene.settings())))


def units(scene: Scene) -> Any:
    """The unit files of this host, drop-ins included."""
    places = [scene.below(place) for place in UNIT_PLACES]
    places.append(scene.below(str(Path(scene.environ.get("HOME") or "/") / ".config/systemd/user")))
    found = [
        path for place in places for path in sorted(place.rglob("*"))
        if path.is_file() and any(part.startswith(NAME) for part in path.parts)
    ]  # fmt: skip
    if not found:
        raise NotLooked("no unit is installed")
    return "\n".join(f"# {path}\n{path.read_text('utf-8', 'replace')}" for path in found)


def logs(scene: Scene) -> Any:
    """The newest lines that systemd has kept of the sidecar."""
    del scene
    program = shutil.which("journalctl")
    if program is None:
        raise NotLooked("there is no journalctl here")
    command = [program, "--unit", f"{NAME}*", "--lines", str(LOG_LINES), "--no-pager",
               "--output", "short-iso", "--quiet"]  # fmt: skip
    try:
        answer = subprocess.run(  # noqa: S603  a fixed command
            command, capture_output=True, timeout=TOOL_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        raise NotLooked("journalctl does not answer") from None
    if not answer.stdout.strip():
        raise NotLooked("systemd has kept nothing of the sidecar")
    return answer.stdout.decode("utf-8", "replace")


def log_part(file: Path) -> Part:
    """Return the part for a log file: its newest megabyte."""

    def read(_: Scene) -> Any:
        try:
            with file.open("rb") as opened:
                opened.seek(max(0, file.stat().st_size - LOG_BYTES))
                return opened.read(LOG_BYTES).decode("utf-8", "replace")
        except OSError as error:
            raise NotLooked(f"{file}: {error.strerror}") from None

    return Part("log-file.txt", f"the end of {file.name}", read)


PARTS = (
    Part("versions.json", "what is installed", versions),
    Part("doctor.json", "what conductor doctor finds", checks),
    Part("status.json", "counters, link, last errors", asked("/v1/status")),
    Part("health.json", "live, ready, hearing", asked("/v1/health")),
    Part("integrity.json", "whether the open database is whole", asked("/v1/integrity")),
    Part("tasks.json", "what tasks and threads are doing: names and lines",
         asked("/v1/debug/tasks")),
    Part("metrics.txt", "what Prometheus would read", metrics),
    Part("settings.json", "effective settings and their sources, secrets left out", configuration),
    Part("environment.json", "names of variables, no values", environment),
    Part("process.json", "memory and open files of the sidecar", process),
    Part("files.json", "names, sizes and modes of the state", files),
    Part("journal.json", "head of the journal, types and times of new entries", journal),
    Part("packs.json", "packs, and why others are not loaded", packs),
    Part("units.txt", "unit files of this host", units),
    Part("logs.txt", "what systemd has kept of the sidecar's log", logs),
)  # fmt: skip
"""In the order of the bundle."""
