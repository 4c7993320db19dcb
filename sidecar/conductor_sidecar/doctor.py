"""Runs the checks of one workspace and the machine under it.

Promise: every check runs, whatever the others find, and one that hangs or breaks is a finding
itself; everything that is not ok says what to type. Refusal: nothing is changed but by `mend`,
which touches no data; nothing needs enrollment or a running daemon.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from queue import SimpleQueue

from conductor_sdk.errors import ConductorError
from conductor_sidecar.checkup.finding import Check, Finding, Result, fail, skip
from conductor_sidecar.checkup.not_looked import NotLooked
from conductor_sidecar.checkup.probe import TOTAL_S, start_probe
from conductor_sidecar.checkup.registry import CHECKS
from conductor_sidecar.checkup.scene import Scene

CHECK_S = 60.0
"""Seconds that one check may take; a disk that hangs holds nothing else up."""


class Doctor:
    """Runs the checks of one workspace."""

    def __init__(self, scene: Scene, checks: Sequence[Check] = CHECKS) -> None:
        self._scene = scene
        self._checks = checks

    def examine(self, only: Collection[str] = (), *, network_s: float = TOTAL_S) -> list[Result]:
        """Run the checks, or those whose id or group is named; in the order of the registry.

        Args:
            only: Ids and groups; empty: all.
            network_s: How long the network may take, beside everything else.
        """
        chosen = [check for check in self._checks if _wanted(check, only)]
        if any(check.network for check in chosen) and not self._scene.offline:
            self._begin_probe(network_s)
        # What asks the network comes last: until then it has been answered.
        ordered = sorted(chosen, key=lambda check: check.network)
        found = {check.id: self._look(check) for check in ordered}
        return [found[check.id] for check in chosen]

    def mend(
        self, results: Sequence[Result], agree: Callable[[Check], bool]
    ) -> list[Result]:  # fmt: skip
        """Mend what can be mended, and look again.

        Args:
            results: What `examine` has found.
            agree: Asked before something is removed.
        """
        by_id = {check.id: check for check in self._checks}
        done: dict[str, tuple[str, ...]] = {}
        for result in results:
            mend = by_id[result.id].mend
            if mend is None or not result.fixable:
                continue
            if mend.asks and not agree(by_id[result.id]):
                continue
            try:
                done[result.id] = tuple(mend.run(self._scene))
            except (ConductorError, OSError) as error:
                done[result.id] = (f"could not: {_words(error)}",)
        self._scene.forget()
        return [
            replace(self._look(by_id[each.id]), fixed=done[each.id]) if each.id in done else each
            for each in results
        ]

    def _begin_probe(self, network_s: float) -> None:
        scene = self._scene
        try:
            target, ca_file = scene.target(), scene.settings().link.ca_file
        except (NotLooked, ConductorError):
            return
        scene.probing = start_probe(target, ca_file, scene.clock.now, network_s)

    def _look(self, check: Check) -> Result:
        answers: SimpleQueue[Finding] = SimpleQueue()
        thread = threading.Thread(
            target=lambda: answers.put(_guarded(check, self._scene)),
            name=f"check {check.id}", daemon=True,
        )  # fmt: skip
        thread.start()
        thread.join(CHECK_S)
        finding = (
            fail(f"did not end within {CHECK_S:.0f} s", "look at the disk and the machine's load")
            if answers.empty()
            else answers.get()
        )
        fixable = check.mend is not None and finding.state in {"warn", "fail"}
        return Result(
            check.id, check.group, check.name, finding.state, finding.detail,
            finding.hint, check.severity, fixable,
        )  # fmt: skip


def _wanted(check: Check, only: Collection[str]) -> bool:
    return not only or check.id in only or check.group in only


def _guarded(check: Check, scene: Scene) -> Finding:
    if check.network and scene.offline:
        return skip("--offline")
    try:
        return check.look(scene)
    except NotLooked as reason:
        return skip(str(reason))
    except ConductorError as error:
        return fail(error.message, error.hint)
    except OSError as error:
        return fail(_words(error), "look at the path and its permissions")
    except Exception as error:  # noqa: BLE001  one broken check must not hide the others
        return fail(f"the check itself broke: {type(error).__name__}", "report it")


def _words(error: ConductorError | OSError) -> str:
    if isinstance(error, ConductorError):
        return error.message
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or type(error).__name__}"
