"""Checks of one workspace and the machine under it.

Promise: every check runs, whatever the others find, and says what to type when something is
wrong. Refusal: nothing is changed, and nothing needs enrollment or a running daemon.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from conductor_sdk.client import ask
from conductor_sdk.clock import Clock
from conductor_sdk.errors import ConductorError, SidecarUnreachable
from conductor_sdk.workspace import Workspace
from conductor_sidecar import app
from conductor_sidecar.config import Configuration, load_configuration
from conductor_sidecar.pack_selection import selected_packs
from conductor_sidecar.packs import pack_reports
from conductor_sidecar.wiring import find_adapter

State = Literal["ok", "warn", "fail", "skip"]
MIN_PYTHON = (3, 11)
SAFE_SQLITE = (3, 51, 3)
"""Before this, a WAL database with two connections can be corrupted. We use one; others may not."""
LOW_DISK_BYTES = 256 * 1024 * 1024
EXPIRES_SOON_DAYS = 7


@dataclass(frozen=True, slots=True)
class Check:
    """One finding."""

    name: str
    state: State
    detail: str
    hint: str = ""


class Doctor:
    """Runs the checks of one workspace."""

    def __init__(self, workspace: Workspace, environ: Mapping[str, str], clock: Clock) -> None:
        self._workspace = workspace
        self._environ = environ
        self._clock = clock

    async def examine(self) -> list[Check]:
        """Run every check; a check that breaks is itself a failure."""
        checks = [*_machine(self._workspace.root)]
        for name, look in (
            ("state directory", self._state_directory),
            ("private files", self._private_files),
            ("configuration", self._configuration),
            ("adapter", self._adapter),
            ("packs", self._packs),
            ("enrollment", self._enrollment),
            ("sidecar", self._sidecar),
            ("stores", self._stores),
        ):
            checks.append(_guarded(name, look))
        checks.append(await self._journal())
        return checks

    def _state_directory(self) -> Check:
        name, directory = "state directory", self._workspace.state_dir
        if not directory.exists():
            return Check(name, "skip", "there is none yet; the first command makes it")
        self._workspace.check()
        mode = stat.S_IMODE(directory.stat().st_mode)
        if mode & 0o077:
            return Check(name, "fail", f"mode {mode:04o}: others can look in",
                         f"chmod 700 {directory}")  # fmt: skip
        return Check(name, "ok", f"mode {mode:04o}")

    def _private_files(self) -> Check:
        name = "private files"
        files = [path for path in self._workspace.state_dir.glob("*") if path.is_file()]
        open_ones = [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077]
        if open_ones:
            names = ", ".join(path.name for path in open_ones)
            return Check(name, "fail", f"open to others: {names}",
                         f"chmod 600 {self._workspace.state_dir}/*")  # fmt: skip
        return Check(name, "ok" if files else "skip", f"{len(files)} files, none open to others")

    def _configured(self) -> Configuration:
        return load_configuration(self._workspace.root, environ=self._environ)

    def _configuration(self) -> Check:
        sources = set(self._configured().sources.values())
        return Check("configuration", "ok", ", ".join(sorted(sources)) or "defaults")

    def _adapter(self) -> Check:
        name = self._configured().settings.link.adapter
        find_adapter(name)
        return Check("adapter", "ok", name)

    def _packs(self) -> Check:
        reports = pack_reports(selected_packs(self._configured().settings))
        refused = [report.slug for report in reports if report.state == "refused"]
        if refused:
            return Check("packs", "fail", f"refused: {', '.join(refused)}", "run: conductor packs")
        loaded = [report.slug for report in reports if report.state == "loaded"]
        return Check("packs", "ok", ", ".join(loaded) or "none are enabled")

    def _enrollment(self) -> Check:
        name = "enrollment"
        if not self._workspace.enrollment.exists():
            return Check(name, "warn", "not enrolled; the memory adapter needs none",
                         "run: conductor enroll URL --token-file FILE")  # fmt: skip
        enrollment = app.load_enrollment(self._workspace)
        if enrollment.expires_at is None:
            return Check(name, "ok", f"as {enrollment.subject}, without an end")
        days = (enrollment.expires_at - self._clock.now()).days
        text = f"as {enrollment.subject}, for {days} more days"
        if days < EXPIRES_SOON_DAYS:
            return Check(name, "warn", text, "enroll again before it ends")
        return Check(name, "ok", text)

    def _status(self) -> dict[str, Any] | None:
        import msgspec

        try:
            answer = ask(self._workspace, "GET", "/v1/status", timeout_s=5)
        except SidecarUnreachable:
            return None
        return msgspec.json.decode(answer, type=dict[str, Any])

    def _sidecar(self) -> Check:
        report = self._status()
        if report is None:
            return Check("sidecar", "warn", "none runs here", "run: conductor sidecar")
        link = report["link"]
        if link["state"] != "open":
            return Check("sidecar", "warn", f"link {link['state']}: {link['reason']}",
                         "run: conductor status")  # fmt: skip
        if not report["balanced"]:
            return Check("sidecar", "fail", "the conservation law is broken",
                         "keep the state directory, and report it")  # fmt: skip
        return Check("sidecar", "ok", f"pid {report['pid']}, link open")

    def _stores(self) -> Check:
        path = self._workspace.sidecar_db
        if not path.exists():
            return Check("stores", "skip", "none yet")
        if self._status() is not None:
            # A second connection to a WAL database is what we never open.
            return Check("stores", "ok", "open in the running sidecar, which checks them")
        connection = sqlite3.connect(path)
        try:
            result = connection.execute("PRAGMA quick_check").fetchone()[0]
        except sqlite3.DatabaseError as error:
            result = str(error)
        finally:
            connection.close()
        if result != "ok":
            hint = "start the sidecar: it sets the file aside and keeps what it can"
            return Check("stores", "fail", f"{path.name}: {result}", hint)
        return Check("stores", "ok", f"{path.name} is whole")

    async def _journal(self) -> Check:
        journal = app.open_journal(self._workspace)
        try:
            if not self._workspace.journal_db.exists():
                return Check("journal", "skip", "none yet")
            verdict = await journal.verify()
        except ConductorError as error:
            return Check("journal", "fail", error.message, error.hint)
        finally:
            await journal.close()
        if verdict.chain != "OK":
            return Check("journal", "fail", f"chain {verdict.chain}", "run: conductor log verify")
        return Check("journal", "ok", "chain OK")


def _machine(root: Path) -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info[:2] >= MIN_PYTHON
    yield Check("python", "ok" if good else "fail", version)
    safe = sqlite3.sqlite_version_info >= SAFE_SQLITE
    text = sqlite3.sqlite_version + ("" if safe else ": keep other programs off sidecar.db")
    yield Check("sqlite", "ok" if safe else "warn", text,
                "" if safe else "use sqlite 3.51.3 or newer where you can")  # fmt: skip
    free = shutil.disk_usage(root).free
    enough = free >= LOW_DISK_BYTES
    yield Check("disk space", "ok" if enough else "fail", f"{free // 2**20} MiB free",
                "" if enough else f"make room: df -h {root}")  # fmt: skip
    writable = os.access(root, os.W_OK)
    yield Check("workspace", "ok" if writable else "fail", str(root),
                "" if writable else f"ls -ld {root}")  # fmt: skip


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except ConductorError as error:
        return Check(name, "fail", error.message, error.hint)
    except OSError as error:
        return Check(name, "fail", str(error))
