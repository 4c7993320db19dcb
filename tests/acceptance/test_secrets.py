"""Issue 2 throughout: no credential and no token anywhere but in the files made for them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from real_world import QUEUED, QUICK, RECOVERY, Conductor, Sidecar, World, until

ENROLLMENT = Path(".lumenflow/state/conductor/enrollment.json")
EVERY = [
    ("status",), ("status", "--json"), ("doctor",), ("doctor", "--json"), ("packs", "--json"),
    ("config", "show", "--json"), ("log", "tail", "--json"), ("log", "verify", "--json"),
    ("dead-letters", "list", "--json"), ("explain", "nope", "--json"),
]  # fmt: skip


def shown(world: World, sidecar: Sidecar) -> Iterator[str]:
    """Everything that commands print."""
    for words in EVERY:
        done = world.command(*words, "-w", str(sidecar.workspace))
        yield done.out + done.err


def processes(*pids: int) -> Iterator[str]:
    """What others can see of the processes."""
    if sys.platform == "linux":
        for pid in pids:
            for name in ("cmdline", "environ"):
                yield Path(f"/proc/{pid}/{name}").read_bytes().decode("utf-8", "replace")


def files(*roots: Path) -> Iterator[str]:
    """Every file below, but for those that hold a secret on purpose."""
    for root in roots:
        for path in root.rglob("*"):
            if path.is_file() and path.name != ENROLLMENT.name and path.suffix != ".token":
                yield path.read_bytes().decode("utf-8", "replace")


def bad_days(world: World, conductor: Conductor, sidecar: Sidecar) -> None:
    """Let everything fail once, so that errors are printed, kept and logged."""
    conductor.dev("fault", "set", "refuse=503@1")
    conductor.dev("restart")
    until(lambda: "503" in sidecar.status()["link"]["reason"], "the link is refused")
    conductor.dev("fault", "clear")
    sidecar.wait_for_link()
    for credential in conductor.credentials("ws1"):
        conductor.dev("token", "revoke", credential)
    until(lambda: "REVOKED" in sidecar.status()["link"]["reason"], "the credential is refused")


def test_no_secret_is_printed_logged_stored_or_seen_in_the_process_list(world: World) -> None:
    conductor = world.conductor("--workspace", "ws1")
    workspace = world.directory / "ws1"
    workspace.mkdir()
    token = conductor.home / "ws1.token"
    words = ("enroll", conductor.url, "--token-file", str(token), "-w", str(workspace))
    enrolled = world.command(*words)
    again = world.command(*words)  # refused: used
    credential = json.loads((workspace / ENROLLMENT).read_text())["token"]
    operator = (conductor.home / "operator.token").read_text().strip()
    sidecar = world.sidecar(workspace, *QUICK, "--log-level", "debug")
    sidecar.wait_for_link()
    conductor.send("ws1", RECOVERY, {"wu_id": "acme-job-1"})
    sidecar.push({"kind": QUEUED, "payload": {}})
    sidecar.until(RECOVERY, delivered=1)
    seen = [enrolled.out, enrolled.err, again.out, again.err]
    seen += shown(world, sidecar)
    bad_days(world, conductor, sidecar)
    seen += shown(world, sidecar)
    seen += processes(sidecar.running.pid, conductor.running.pid)
    sidecar.stop()
    seen += shown(world, sidecar)
    seen += files(workspace, conductor.home)
    seen += [sidecar.running.printed, conductor.running.printed]
    secrets = [credential, credential.rpartition(".")[2], token.read_text().strip(), operator,
               token.read_text().strip().rpartition(".")[2]]  # fmt: skip

    assert all(len(secret) > 20 for secret in secrets)
    assert [] == [text for secret in secrets for text in seen if secret in text]


def test_an_enrollment_that_is_damaged_does_not_give_its_credential_away(world: World) -> None:
    conductor = world.conductor()
    workspace = world.directory / "ws1"
    conductor.enroll(workspace)
    file = workspace / ENROLLMENT
    whole = json.loads(file.read_text())
    for damage in (
        {**whole, "expires_at": "soon"}, {**whole, whole["token"]: 1}, {**whole, "url": 5},
        {**whole, "token": whole["token"] + "\n"}, {**whole, "version": 99},
        {**whole, "expires_at": "2020-01-01T00:00:00Z"},
    ):  # fmt: skip
        file.write_text(json.dumps(damage))
        for words in (("sidecar",), ("doctor",), ("doctor", "--json")):
            done = world.command(*words, "-w", str(workspace), env={"CONDUCTOR_TRACEBACK": "1"})

            assert done.code != 0
            assert whole["token"] not in done.out + done.err
