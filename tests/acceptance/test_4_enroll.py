"""Issue 2, "What a user gets", 4: enrolling, and what becomes of a refused credential."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from conductor_sdk.clock import ManualClock
from conductor_sdk.token import format_enrollment_token
from real_world import QUICK, Conductor, Done, World, until

ENROLLMENT = Path(".lumenflow/state/conductor/enrollment.json")


@pytest.fixture(scope="module")
def conductor(shared: World) -> Conductor:
    return shared.conductor()


def enroll(world: World, url: str, token: Path, *words: str) -> Done:
    return world.command("enroll", url, "--token-file", str(token), *words)


def test_enrolling_writes_a_private_complete_file_and_journals_it(
    world: World, conductor: Conductor
) -> None:
    done = enroll(world, conductor.url, conductor.token("ws1"), "--json")
    file = world.directory / ENROLLMENT
    written = json.loads(file.read_text())

    assert done.code == 0, done.err
    assert (done.json["subject"], done.json["workspace"]) == ("ws1", str(world.directory))
    needed = {"version", "url", "token", "subject", "expires_at"}
    assert needed | {"conductor", "generation", "issued_at"} == written.keys()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "ENROLLED" in world.command("log", "tail").out
    assert written["token"] not in done.out + world.command("log", "tail", "--json").out


def world_readable(token: Path) -> Path:
    token.chmod(0o644)
    return token


def symlinked(token: Path) -> Path:
    link = token.with_suffix(".link")
    link.symlink_to(token)
    return link


def malformed(token: Path) -> Path:
    token.write_text(token.read_text()[:40])
    return token


def missing(token: Path) -> Path:
    token.unlink()
    return token


def empty(token: Path) -> Path:
    token.write_text("")
    return token


def binary(token: Path) -> Path:
    token.write_bytes(b"\xff\xfe\x00" * 50)
    return token


def huge(token: Path) -> Path:
    token.write_bytes(b"x" * 10_000_000)
    return token


def directory(token: Path) -> Path:
    token.unlink()
    token.mkdir(mode=0o700)
    return token


def expired(token: Path) -> Path:
    token.write_text(format_enrollment_token("ws1", ManualClock().now(), bytes(32)).text.reveal())
    return token


@pytest.mark.parametrize(
    ("spoil", "code", "mend"),
    [
        (missing, "TOKEN_FILE_MISSING", "umask 077"),
        (expired, "TOKEN_EXPIRED", "conductor dev token issue ws1"),
        (malformed, "TOKEN_MALFORMED", "issue"),
        (empty, "TOKEN_MALFORMED", "issue"),
        (binary, "TOKEN_MALFORMED", "issue"),
        (huge, "PRIVATE_FILE_REFUSED", "next: "),
        (directory, "PRIVATE_FILE_REFUSED", "next: "),
        (world_readable, "PRIVATE_FILE_REFUSED", "chmod 600"),
        (symlinked, "PRIVATE_FILE_REFUSED", "readlink -f"),
    ],
)
def test_an_unusable_token_file_is_refused_with_the_command_that_mends_it(
    world: World, conductor: Conductor, spoil: object, code: str, mend: str
) -> None:
    token = conductor.token("ws1")
    secret = token.read_text().strip()
    done = enroll(world, conductor.url, spoil(token))  # type: ignore[operator]

    assert done.code == 77
    assert code in done.err
    assert mend in done.err
    assert secret[:40] not in done.err
    assert not (world.directory / ENROLLMENT).exists()


def test_a_used_token_and_a_revoked_one_are_refused(world: World, conductor: Conductor) -> None:
    used = conductor.token("ws1")
    assert enroll(world, conductor.url, used).code == 0
    before = (world.directory / ENROLLMENT).read_bytes()
    revoked = conductor.token("ws1")
    listed = conductor.dev("token", "list", "--json").json["tokens"]
    conductor.dev("token", "revoke", listed[-1]["token_id"])
    for token in (used, revoked):
        done = enroll(world, conductor.url, token)

        assert done.code == 77
        assert "ENROLLMENT_REFUSED" in done.err
        assert "next: " in done.err
    assert (world.directory / ENROLLMENT).read_bytes() == before


def test_a_token_of_another_conductor_is_refused(world: World, conductor: Conductor) -> None:
    token = conductor.token("ws1")
    token.write_text(
        format_enrollment_token("ws1", ManualClock().now().replace(year=2090), bytes(32))
        .text.reveal()
    )  # fmt: skip
    done = enroll(world, conductor.url, token)

    assert done.code == 77
    assert "ENROLLMENT_REFUSED" in done.err


def test_an_unreachable_conductor_costs_no_token(world: World, conductor: Conductor) -> None:
    token = conductor.token("ws1")
    done = enroll(world, "http://127.0.0.1:9", token)

    assert done.code == 69
    assert enroll(world, conductor.url, token).code == 0


def test_a_workspace_that_cannot_be_written_costs_no_token(
    world: World, conductor: Conductor
) -> None:
    token = conductor.token("ws1")
    done = world.without_room("enroll", conductor.url, "--token-file", str(token))

    assert done.code == 1
    assert "SYSTEM_REFUSED" in done.err
    assert enroll(world, conductor.url, token).code == 0


def test_a_credential_that_was_revoked_before_the_start_exits_77(
    world: World, conductor: Conductor
) -> None:
    workspace = world.directory / "early"
    conductor.enroll(workspace)
    [credential] = conductor.credentials("early")
    conductor.dev("token", "revoke", credential)
    done = world.command("sidecar", "-w", str(workspace))

    assert done.code == 77
    assert "CREDENTIAL_REFUSED" in done.err
    assert "conductor enroll" in done.err.rpartition("next: ")[2]
    assert "Traceback" not in done.err
    assert (workspace / ENROLLMENT).exists()


def test_a_credential_that_is_revoked_later_keeps_the_daemon_up_until_it_is_enrolled_again(
    world: World, conductor: Conductor
) -> None:
    workspace = world.directory / "late"
    conductor.enroll(workspace)
    sidecar = world.sidecar(workspace, "--set", "reconnect.first_spread_s=0")
    sidecar.wait_for_link()
    before = (workspace / ENROLLMENT).read_bytes()
    for credential in conductor.credentials("late"):
        conductor.dev("token", "revoke", credential)
    link = until(
        lambda: next(
            (of for of in [sidecar.status()["link"]] if "CREDENTIAL_REFUSED" in of["reason"]), None
        ),
        "status says that the credential was refused",
    )

    assert link["state"] == "waiting"
    # Slowly: nothing but enrolling again helps, but a conductor that errs is found well in time.
    assert 30 < link["retry_in_s"] <= 60
    assert (workspace / ENROLLMENT).read_bytes() == before
    assert "CREDENTIAL_REFUSED" in world.command("status", "-w", str(workspace)).out
    conductor.enroll(workspace)
    assert sidecar.wait_for_link()["connections"] >= 2
    assert sidecar.stop() == 0


def test_a_running_sidecar_never_becomes_somebody_else(world: World, conductor: Conductor) -> None:
    workspace = world.directory / "me"
    conductor.enroll(workspace)
    sidecar = world.sidecar(workspace, *QUICK)
    sidecar.wait_for_link()
    for credential in conductor.credentials("me"):
        conductor.dev("token", "revoke", credential)
    enroll(world, conductor.url, conductor.token("you"), "-w", str(workspace))
    until(lambda: "you" in sidecar.status()["link"]["reason"], "status names the other subject")

    assert sidecar.status()["subject"] == "me"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 7\r\n\r\n\x1b[31mRed",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
        b"\x00\x01garbage",
        b"",
    ],
    ids=["empty", "no JSON", "control characters", "redirect", "garbage", "hang-up"],
)
def test_a_conductor_that_answers_nonsense_is_a_coded_failure(
    world: World, conductor: Conductor, answer: bytes
) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                link.recv(65536)
                link.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        done = enroll(world, url, conductor.token("ws1"))
        serving.join(10)

    assert done.code == 69
    assert "ENROLLMENT_FAILED" in done.err
    assert "\x1b" not in done.err
    assert "Traceback" not in done.err
