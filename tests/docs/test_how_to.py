"""The how-to pages, executed against a real conductor and a real sidecar."""

from __future__ import annotations

import re
from collections.abc import Callable

from doc_runner import Reader
from house import ROOT
from practice import Practice

HOW_TO = ROOT / "docs/how-to"
RECOVERY = "conductor:recovery_requested"
ATTEMPTS = 20


def once(find: Callable[[], str]) -> Callable[[], str]:
    """Ask when a page first names it, then remember."""
    found: list[str] = []

    def value() -> str:
        if not found:
            found.append(find())
        return found[0]

    return value


def test_running_a_sidecar_works_as_the_page_says(reader: Reader, practice: Practice) -> None:
    event_id = practice.send(RECOVERY, "{}")  # the demo pack rejects it: no wu_id

    def pid() -> str:
        sidecar, _, events = reader.running
        for number in range(ATTEMPTS):  # the first ones may come before `events` looks
            practice.send(RECOVERY, f'{{"wu_id": "acme-job-{number}"}}')
            if RECOVERY in events.printed:
                break
        reader.type("conductor dead-letters list", f"...{event_id}...", patient=True)
        return str(sidecar.pid)

    reader.bindings = {
        "https://conductor.example": practice.url,
        "TOKEN": practice.token,
        "PID": once(pid),
        "EVENT_ID": event_id,
    }
    reader.read(HOW_TO / "run-the-sidecar.md")

    sidecar, status, events = reader.running
    assert sidecar.wait() == 0
    assert "draining" in sidecar.printed
    assert "\nlink          open (websocket)\n" in status.printed
    assert RECOVERY in events.printed
    assert [0, 0] == [status.end(), events.end()]


def test_a_bad_day_passes_as_the_page_says(reader: Reader) -> None:
    def port() -> str:
        return reader.running[0].wait_for(r"listening on http://127\.0\.0\.1:(\d+)")[1]

    def credential() -> str:
        listed = reader.type("conductor dev token list")
        found = re.search(r"^(\S+)\s+credential", listed, re.MULTILINE)
        assert found, listed
        return found[1]

    reader.bindings = {"PORT": once(port), "CREDENTIAL_ID": once(credential)}
    reader.read(HOW_TO / "practise-a-bad-day.md")

    conductor, sidecar = reader.running
    assert [0, 0] == [sidecar.end(), conductor.end()]
    assert "Traceback" not in sidecar.printed + conductor.printed
