"""The running sidecar: what it says of itself, and what the kernel says of it.

Promise: its own numbers, from one snapshot. Refusal: without a daemon all of this is skipped; that
none runs is one finding, not ten.
"""

from __future__ import annotations

from datetime import datetime

from conductor_sidecar import __version__
from conductor_sidecar.checkup.finding import Check, Finding, fail, ok, skip, warn
from conductor_sidecar.checkup.not_looked import NotLooked
from conductor_sidecar.checkup.process import files_of, resident_bytes
from conductor_sidecar.checkup.scene import DEAD, Scene

NEAR = 0.8
OLD_S = 3600.0
MEMORY_MAX = 768 * 2**20
"""MemoryHigh= of the shipped units."""


def running(scene: Scene) -> Finding:
    """Look whether a sidecar runs."""
    if not scene.running():
        return warn("none runs here", "run: conductor sidecar")
    report = scene.status()
    return ok(f"pid {report['pid']}, since {report['started']}")


def version(scene: Scene) -> Finding:
    """Compare its version with this program's."""
    found = scene.status()["version"]
    if found != __version__:
        return warn(f"{found} runs, {__version__} is installed", "restart it: conductor sidecar")
    return ok(found)


def link(scene: Scene) -> Finding:
    """Look at the link."""
    found = scene.status()["link"]
    if found["state"] != "open":
        return warn(f"{found['state']}: {found['reason'] or 'for no reason told'}",
                    "run: conductor status")  # fmt: skip
    return ok(f"open over {found['adapter']}")


def health(scene: Scene) -> Finding:
    """Ask for live, ready and hearing."""
    report = scene.asked("/v1/health")
    for name in ("live", "hearing", "ready"):
        answer = report[name]
        if not answer["ok"]:
            why = "; ".join(f"{each['code']}: {each['detail']}" for each in answer["reasons"][:2])
            text = f"{answer['state'].replace('_', ' ')}: {why}"
            hint = "run: conductor status"
            return fail(text, hint) if name == "live" else warn(text, hint)
    return ok("live, ready, hearing")


def balance(scene: Scene) -> Finding:
    """Look at the conservation law."""
    if not scene.status()["balanced"]:
        return fail("accepted is not delivered + buffered + dropped + dead",
                    "keep the state directory, and report it")  # fmt: skip
    return ok("accepted = delivered + buffered + dropped + dead")


def backlog(scene: Scene) -> Finding:
    """Look at what waits for handlers."""
    waiting, window = scene.status()["backlog"], scene.settings().dispatch.window
    text = f"{waiting} events, the conductor is held back at {window}"
    return warn(text, "run: conductor status") if waiting >= NEAR * window else ok(text)


def dead_letters(scene: Scene) -> Finding:
    """Count dead letters."""
    count = scene.status()["dead_letters"]
    return warn(f"{count} were given up", "run: conductor dead-letters list") if count else ok("0")


def outbox(scene: Scene) -> Finding:
    """Look at what waits for the conductor."""
    found, caps = scene.status()["outbox"], scene.settings().outbox
    text = f"{found['events']} events, {found['bytes'] / 2**20:.1f} MiB"
    if found["events"] >= NEAR * caps.max_events or found["bytes"] >= NEAR * caps.max_bytes:
        return warn(f"{text}: near its cap, then {caps.overflow}", "run: conductor status")
    age_s = found["oldest_age_s"] or 0.0
    if age_s > OLD_S:
        return warn(f"{text}, the oldest {age_s / 3600:.1f} h old", "run: conductor status")
    return ok(text)


def approvals(scene: Scene) -> Finding:
    """Look for requests that wait for somebody."""
    count = scene.status()["approvals_pending"]
    if not count:
        return ok("none waits")
    asked = scene.asked("/v1/approvals?state=pending&limit=10000")["approvals"]
    now = scene.clock.now()
    oldest_s = max(
        ((now - datetime.fromisoformat(each["requested_at"])).total_seconds() for each in asked),
        default=0.0,
    )
    text = f"{count} wait, the oldest for {oldest_s / 3600:.1f} h"
    return warn(text, "run: conductor approvals list") if oldest_s > OLD_S else ok(text)


def errors(scene: Scene) -> Finding:
    """Look at its last errors."""
    found = scene.status()["errors"]
    now = scene.clock.now()
    recent = [
        each for each in found
        if (now - datetime.fromisoformat(each["at"])).total_seconds() < OLD_S
    ]  # fmt: skip
    if recent:
        last = recent[-1]
        return warn(f"{len(recent)} in the last hour: {last['code']}: {last['message']}",
                    "run: conductor status")  # fmt: skip
    return ok("none in the last hour")


def memory(scene: Scene) -> Finding:
    """Look at its memory."""
    found = resident_bytes(scene.root, scene.status()["pid"])
    if found is None:
        raise NotLooked("the kernel does not tell")
    text = f"{found / 2**20:.0f} MiB"
    return warn(text, "restart it, and report it") if found > MEMORY_MAX else ok(text)


def open_files(scene: Scene) -> Finding:
    """Look at the files that it has open."""
    found = files_of(scene.root, scene.status()["pid"])
    if found is None:
        raise NotLooked("the kernel does not tell")
    text = f"{found[0]} of {found[1]}"
    return (
        warn(text, "raise LimitNOFILE=, or report it") if found[0] > NEAR * found[1] else ok(text)
    )


def alone(scene: Scene) -> Finding:
    """Look for stores that a daemon would have, without one."""
    if scene.running():
        return ok("the sidecar owns the stores")
    if scene.lock_is_free():
        return skip(DEAD)
    holder = scene.holder()
    who = f"{holder.command}, process {holder.pid}," if holder else "somebody"
    return warn(f"{who} owns the stores", "wait for it: conductor status")


CHECKS = (
    Check("daemon.running", "sidecar", "warn", "A sidecar runs.", running),
    Check("daemon.owner", "owner", "warn", "Nobody else owns the stores.", alone),
    Check("daemon.version", "version", "warn", "It is of this program's version.", version),
    Check("daemon.link", "link", "warn", "Its link is open.", link),
    Check("daemon.health", "health", "fail", "It is live, ready and not deaf.", health),
    Check("daemon.balance", "balance", "fail", "No event is unaccounted for.", balance),
    Check("daemon.backlog", "backlog", "warn",
          "Fewer events wait for handlers than 80 % of `dispatch.window`.", backlog),
    Check("daemon.dead_letters", "dead letters", "warn", "There are none.", dead_letters),
    Check("daemon.outbox", "outbox", "warn",
          "It is below 80 % of its caps, and nothing has waited for an hour.", outbox),
    Check("daemon.approvals", "approvals", "warn",
          "No request has waited for an hour.", approvals),
    Check("daemon.errors", "errors", "warn", "It met no error in the last hour.", errors),
    Check("daemon.memory", "its memory", "warn", "It uses at most 768 MiB.", memory),
    Check("daemon.open_files", "its open files", "warn",
          "It has at most 80 % of the files open that it may.", open_files),
)  # fmt: skip
