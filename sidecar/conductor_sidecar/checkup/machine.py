"""The machine: Python, SQLite, limits, memory, the clock.

Promise: each answer comes from the running interpreter or the kernel. Refusal: the network is not
asked; what the conductor's clock says is in `link`.
"""

from __future__ import annotations

import platform
import resource
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime

from conductor_sidecar.checkup.finding import Check, Finding, fail, ok, skip, warn
from conductor_sidecar.checkup.not_looked import NotLooked
from conductor_sidecar.checkup.process import age_s, memory_available
from conductor_sidecar.checkup.scene import Scene

MIN_PYTHON = (3, 11)
WAL_RESET_BUG = ((3, 7, 0), (3, 51, 2))
"""First and last version with the bug: two connections can corrupt a WAL database."""
SERIALIZED = 3
OPEN_FILES_LOW = 1024
OPEN_FILES_MIN = 128
LOW_MEMORY = 128 * 2**20
YEARS = (2025, 2100)
JUMP_S = 60.0
TOOL_S = 5.0


def python(_: Scene) -> Finding:
    """Look at the interpreter's version."""
    version = platform.python_version()
    if sys.version_info[:2] < MIN_PYTHON:
        return fail(version, "install Python 3.11 or newer")
    return ok(f"{version} at {sys.executable}")


def system(_: Scene) -> Finding:
    """Look at the operating system."""
    text = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if sys.platform not in {"linux", "darwin"}:
        return warn(f"{text}: not tested there", "run it on Linux")
    return ok(text)


def sqlite(_: Scene) -> Finding:
    """Look for the versions that can corrupt a WAL database with two connections."""
    first, last = WAL_RESET_BUG
    if first <= sqlite3.sqlite_version_info <= last:
        return warn(f"{sqlite3.sqlite_version}: keep other programs off sidecar.db",
                    "use sqlite 3.51.3 or newer where you can")  # fmt: skip
    return ok(sqlite3.sqlite_version)


def sqlite_build(_: Scene) -> Finding:
    """Look at how SQLite was compiled."""
    with closing(sqlite3.connect(":memory:")) as connection:
        rows = connection.execute("PRAGMA compile_options").fetchall()
    options = {str(row[0]) for row in rows}
    missing = sorted(options & {"OMIT_WAL", "OMIT_AUTOINIT"})
    if missing:
        return fail(f"built with {', '.join(missing)}", "use the sqlite of your distribution")
    if sqlite3.threadsafety != SERIALIZED:
        return fail("not built for several threads", "use the sqlite of your distribution")
    return ok(f"serialized, {len(options)} options, none that is in the way")


def open_files(_: Scene) -> Finding:
    """Look at the limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{soft} at once, could be raised to {hard}"
    if soft < OPEN_FILES_MIN:
        return fail(text, f"run: ulimit -n {OPEN_FILES_LOW}")
    if soft < OPEN_FILES_LOW:
        return warn(text, f"run: ulimit -n {OPEN_FILES_LOW}")
    return ok(text)


def memory(scene: Scene) -> Finding:
    """Look at the memory that is available."""
    available = memory_available(scene.root)
    text = f"{available // 2**20} MiB available"
    return ok(text) if available >= LOW_MEMORY else warn(text, "make room: free -m")


def clock(scene: Scene) -> Finding:
    """Look whether the year can be right."""
    now = scene.clock.now()
    if not YEARS[0] <= now.year < YEARS[1]:
        return fail(f"{now:%Y-%m-%d %H:%M:%S} UTC cannot be", "set the clock: timedatectl")
    return ok(f"{now:%Y-%m-%d %H:%M:%S} UTC")


def clock_sync(_: Scene) -> Finding:
    """Look whether the clock is kept by a time service."""
    program = shutil.which("timedatectl")
    if program is None:
        return skip("there is no timedatectl here")
    try:
        answer = subprocess.run(  # noqa: S603  a fixed command
            [program, "show", "--property=NTPSynchronized", "--value"],
            capture_output=True, text=True, timeout=TOOL_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return skip("timedatectl does not answer")
    match answer.stdout.strip():
        case "yes":
            return ok("kept by a time service")
        case "no":
            return warn("no time service keeps it", "run: timedatectl set-ntp true")
        case _:
            return skip("timedatectl does not know")


def clock_jump(scene: Scene) -> Finding:
    """Compare the age of the running sidecar by the wall clock and by the kernel."""
    report = scene.status()
    started = datetime.fromisoformat(report["started"])
    by_kernel = age_s(scene.root, report["pid"])
    if by_kernel is None:
        raise NotLooked("the kernel does not tell the age of the sidecar")
    by_wall = (scene.clock.now() - started).total_seconds()
    moved = by_wall - by_kernel
    if abs(moved) > JUMP_S:
        return warn(f"moved by {moved:+.0f} s since the sidecar started",
                    "look at the time service: timedatectl timesync-status")  # fmt: skip
    return ok("has not jumped since the sidecar started")


CHECKS = (
    Check("machine.python", "python", "fail", "The interpreter is 3.11 or newer.", python),
    Check("machine.platform", "platform", "warn", "Linux or macOS.", system),
    Check("machine.sqlite", "sqlite", "warn",
          "SQLite is not one of 3.7.0 to 3.51.2, in which two connections can corrupt a WAL "
          "database. We use one; other programs may not.", sqlite),
    Check("machine.sqlite_build", "sqlite build", "fail",
          "SQLite is built for threads and with write-ahead logs.", sqlite_build),
    Check("machine.open_files", "open files", "fail", "The limit of open files.", open_files),
    Check("machine.memory", "memory", "warn", "128 MiB are available.", memory),
    Check("machine.clock", "clock", "fail", "The year is plausible.", clock),
    Check("machine.clock_sync", "time service", "warn", "A time service keeps the clock.",
          clock_sync),
    Check("machine.clock_jump", "clock jumps", "warn",
          "The wall clock has not jumped since the sidecar started.", clock_jump),
)  # fmt: skip
