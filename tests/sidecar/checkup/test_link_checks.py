"""The way to the conductor, tried against real listeners of this machine."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme

from checkup_scene import NOW, Enroll, look
from conductor_sdk.clock import ManualClock
from conductor_sdk.workspace import Workspace
from conductor_sidecar.checkup.probe import Probe, Target, start_probe, target_of
from conductor_sidecar.checkup.scene import Scene
from conductor_sidecar.doctor import Doctor
from own_port import own_port

LINK = ("link.dns", "link.connection", "link.tls", "link.clock")


class Host:
    """A host that takes connections and tells its time."""

    def __init__(self, tls: ssl.SSLContext | None, date: datetime | None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._tls = tls
        self._date = date
        self.asked = b""
        self._lines: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, name="host")
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for line in self._lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                self._lines.append(line)
                with line, contextlib.suppress(OSError):
                    line.settimeout(10)
                    self._answer(line)

    def _answer(self, line: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            if self._tls is not None:
                line = stack.enter_context(self._tls.wrap_socket(line, server_side=True))
            if self._date is None:
                while line.recv(4096):  # says nothing until the other end goes
                    pass
                return
            self.asked = line.recv(4096)
            head = f"HTTP/1.1 404 Not Found\r\nDate: {format_datetime(self._date, usegmt=True)}"
            line.sendall(f"{head}\r\nContent-Length: 0\r\n\r\n".encode())


Opened = Callable[..., Host]


@pytest.fixture
def host() -> Iterator[Opened]:
    opened: list[Host] = []

    def serve(tls: ssl.SSLContext | None = None, date: datetime | None = NOW) -> Host:
        opened.append(Host(tls, date))
        return opened[-1]

    yield serve
    for each in opened:
        each.close()


def server_tls(authority: trustme.CA, name: str, days: int = 90) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ends = datetime.now(UTC) + timedelta(days=days)
    authority.issue_cert(name, not_after=ends).configure_cert(context)
    return context


def trusting(workspace: Workspace, authority: trustme.CA, more: str = "") -> None:
    anchors = workspace.root / "ca.pem"
    authority.cert_pem.write_to_path(str(anchors))
    (workspace.root / "conductor.toml").write_text(f'[link]\nca_file = "{anchors}"\n{more}')


def examined(scene: Scene, **options: float) -> dict[str, tuple[str, str]]:
    found = Doctor(scene).examine(["link"], **options)
    return {each.id: (each.state, each.detail) for each in found}


def test_a_host_that_is_as_it_should_be_is_told_in_numbers(
    scene: Scene, workspace: Workspace, enroll: Enroll, host: Opened
) -> None:
    authority = trustme.CA(organization_name="Some Authority")
    server = host(server_tls(authority, "localhost"))
    trusting(workspace, authority)
    enroll(f"wss://localhost:{server.port}/link")
    found = examined(scene)

    assert ["ok"] * 7 == [state for state, _ in found.values()]
    assert "Some Authority, for 90 more days" in found["link.tls"][1]
    assert server.asked.startswith(b"HEAD / HTTP/1.1\r\n")
    assert b"t0ken" not in server.asked
    assert ("", "") == (scene.probe().failed, scene.probe().error)


@pytest.mark.parametrize(
    ("name", "days", "state", "words"),
    [
        ("localhost", 5, "warn", "for 5 more days"),
        ("elsewhere.example", 90, "fail", "localhost"),
        ("localhost", -1, "fail", "expired"),
    ],
)
def test_a_certificate_that_ends_or_is_for_another_is_found(
    scene: Scene, workspace: Workspace, enroll: Enroll, host: Opened,
    name: str, days: int, state: str, words: str,
) -> None:  # fmt: skip
    authority = trustme.CA()
    server = host(server_tls(authority, name, days))
    trusting(workspace, authority)
    enroll(f"wss://localhost:{server.port}/link")
    found = examined(scene)

    assert (state, True) == (found["link.tls"][0], words in found["link.tls"][1])
    assert ("ok" if state == "warn" else "skip") == found["link.clock"][0]


def test_an_authority_that_is_not_trusted_is_found(
    scene: Scene, enroll: Enroll, host: Opened
) -> None:
    server = host(server_tls(trustme.CA(), "localhost"))
    enroll(f"wss://localhost:{server.port}/link")
    found = examined(scene)

    assert ["ok", "ok", "fail", "skip"] == [found[each][0] for each in LINK]


@pytest.mark.parametrize(
    ("seconds", "state"), [(0, "ok"), (-60, "warn"), (60, "warn"), (4000, "fail")]
)
def test_a_clock_that_differs_is_found(
    scene: Scene, enroll: Enroll, host: Opened, seconds: int, state: str
) -> None:
    server = host(date=NOW + timedelta(seconds=seconds))
    enroll(f"ws://127.0.0.1:{server.port}/link")
    found = examined(scene)

    assert (state, "skip") == (found["link.clock"][0], found["link.tls"][0])
    assert ("behind" if seconds > 0 else "ahead") in found["link.clock"][1] or not seconds


def test_a_port_that_nobody_listens_on_is_found(scene: Scene, enroll: Enroll) -> None:
    enroll(f"wss://127.0.0.1:{own_port()}/link")
    found = examined(scene)

    assert ["ok", "fail", "skip", "skip"] == [found[each][0] for each in LINK]


def test_a_host_that_says_nothing_is_given_up_in_time(
    scene: Scene, enroll: Enroll, host: Opened
) -> None:
    server = host(date=None)
    enroll(f"wss://127.0.0.1:{server.port}/link")
    found = examined(scene, network_s=0.3)

    assert ["ok", "ok", "fail", "skip"] == [found[each][0] for each in LINK]
    assert "no answer within 0.3 s" in found["link.tls"][1]


def test_a_name_that_does_not_exist_is_found(scene: Scene, enroll: Enroll) -> None:
    enroll("wss://no-such-host.invalid/link")
    found = examined(scene)

    assert ["fail", "skip", "skip", "skip"] == [found[each][0] for each in LINK]


def test_offline_asks_nothing_of_the_network(scene: Scene, enroll: Enroll, host: Opened) -> None:
    server = host()
    enroll(f"ws://127.0.0.1:{server.port}/link")
    scene.offline = True
    found = examined(scene)

    assert {("skip", "--offline")} == {found[each] for each in LINK}
    assert (b"", "ok") == (server.asked, found["link.address"][0])


@pytest.mark.parametrize(
    ("url", "more", "state"),
    [
        ("wss://conductor.example/link", "", "ok"),
        ("ws://localhost:9/link", "", "ok"),
        ("ws://conductor.example/link", "", "fail"),
        ("ws://conductor.example/link", "allow_plaintext = true", "warn"),
        ("mqtts://broker.example/conductor/ws1/one", "", "fail"),
        ("mqtts://broker.example/conductor/ws1/one", 'adapter = "mqtt"', "ok"),
    ],
)
def test_an_address_must_fit_the_adapter_and_protect_the_credential(
    scene: Scene, workspace: Workspace, enroll: Enroll, url: str, more: str, state: str
) -> None:
    (workspace.root / "conductor.toml").write_text(f"[link]\n{more}\n")
    enroll(url)

    assert state == look(scene, "link.address").state


def test_a_topic_that_no_broker_takes_is_found(
    scene: Scene, workspace: Workspace, enroll: Enroll
) -> None:
    (workspace.root / "conductor.toml").write_text('[link]\nadapter = "mqtt"\n')
    enroll("mqtts://broker.example/+/ws1/one")
    [found] = Doctor(scene).examine(["link.address"])

    assert ("fail", True) == (found.state, bool(found.hint))


@pytest.mark.parametrize(
    ("text", "state"),
    [("", "ok"), ('ca_file = "/nonexistent"', "fail"), ('ca_file = "conductor.toml"', "fail")],
)
def test_anchors_that_cannot_be_used_are_found(
    scene: Scene, workspace: Workspace, text: str, state: str
) -> None:
    file = workspace.root / "conductor.toml"
    file.write_text("[link]\n" + text.replace("conductor.toml", str(file)))

    assert state == look(scene, "link.trust").state


def test_a_proxy_is_told_because_the_link_does_not_use_it(scene: Scene, enroll: Enroll) -> None:
    enroll("wss://conductor.example/link")
    assert "ok" == look(scene, "link.proxy").state
    scene.environ = {"HTTPS_PROXY": "http://user:pw@proxy:3128", "NO_PROXY": "localhost"}
    found = look(scene, "link.proxy")

    assert ("warn", False) == (found.state, "pw@" in found.detail)
    assert "HTTPS_PROXY, NO_PROXY" in found.detail


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("wss://a.example/x", Target("wss", "a.example", 443)),
        ("mqtts://[::1]:99/x", Target("mqtts", "::1", 99)),
        ("memory://x", None), ("wss://", None), ("wss://a:99999/", None), ("nonsense", None),
    ],
)  # fmt: skip
def test_host_and_port_are_read_from_an_address(address: str, target: Target | None) -> None:
    assert target == target_of(address)


def test_a_resolver_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, gone = threading.Event(), threading.Event()

    def resolve(*_: object, **__: object) -> list[object]:
        asked.set()
        gone.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    wait = start_probe(Target("wss", "a.example", 443), None, ManualClock(NOW).now, 0.05)
    found: Probe = wait()
    hung = asked.wait(5)
    gone.set()

    assert (True, "dns", "no answer within 0.05 s") == (hung, found.failed, found.error)


def test_a_memory_link_and_no_enrollment_are_skipped_with_the_reason(
    scene: Scene, workspace: Workspace
) -> None:
    assert ("skip", "not enrolled") == (
        look(scene, "link.dns").state, look(scene, "link.address").detail
    )  # fmt: skip
    (workspace.root / "conductor.toml").write_text('[link]\nadapter = "memory"\n')
    again = Scene(workspace, {}, scene.clock)
    assert "memory" in look(again, "link.address").detail
    assert Path(workspace.root).is_dir()
