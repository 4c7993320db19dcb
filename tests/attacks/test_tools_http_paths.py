"""Attacks through a tool's input over TCP: no path leads out of its scopes, whatever is swapped.

Everything is real but the stores: server, tool host, and a pack that only uses `ctx.files`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from files_pack import files_host
from tool_evidence import MemoryEvidence
from tool_server import Answer, ToolServer

CANARY = "canary-of-the-outside"


class Workspace:
    """A workspace with secrets around and inside of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.outside = root.parent / "outside"
        self.shared = root / "shared"
        for directory in (self.outside, self.shared, root / "private", root / ".lumenflow/x"):
            directory.mkdir(parents=True)
        for secret in self.secrets:
            secret.write_text(CANARY)
        (self.shared / "fair.txt").write_text("fair")
        self._links()

    @property
    def secrets(self) -> list[Path]:
        return [self.outside / "secret", self.root / "private/secret", self.root / "secret",
                self.root / ".lumenflow/x/secret"]  # fmt: skip

    def _links(self) -> None:
        for name, target in {
            "out": self.outside, "out-file": self.outside / "secret", "up": self.root,
            "near": self.root / "private", "state": self.root / ".lumenflow", "etc": Path("/etc"),
            "proc": Path("/proc/self/cwd"), "relative": Path("../private"), "loop": Path("loop"),
            "chain": Path("out"), "new": self.outside / "new", "slash": Path("/"),
        }.items():  # fmt: skip
            (self.shared / name).symlink_to(target)

    def untouched(self) -> bool:
        """Whether every secret is as it was, and nothing new is beside them."""
        kept = all(CANARY == secret.read_text() for secret in self.secrets)
        return kept and ["secret"] == [path.name for path in self.outside.iterdir()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("paths") / "workspace"
    root.mkdir()
    return Workspace(root)


@pytest.fixture(scope="module")
def served(place: Workspace) -> Iterator[tuple[ToolServer, MemoryEvidence]]:
    host, evidence = files_host(place.root)
    with ToolServer(place.root, host) as server:
        yield server, evidence


PATHS = [
    "../outside/secret",
    "shared/../../outside/secret",
    "shared/../private/secret",
    "private/secret",
    "secret",
    "./secret",
    "shared/./../secret",
    "shared//..//secret",
    "shared/x/../../secret",
    "shared/fair.txt/../../secret",
    "/etc/passwd",
    "//etc/passwd",
    "{root}/secret",
    "{outside}/secret",
    "/proc/self/cwd/secret",
    "/proc/self/environ",
    "/dev/stdin",
    "~/.ssh/id_rsa",
    "~root/x",
    "$HOME/x",
    "file:///etc/passwd",
    "file://{outside}/secret",
    ".lumenflow/x/secret",
    "./.lumenflow/x/secret",
    "shared/../.lumenflow/x/secret",
    ".LUMENFLOW/x/secret",
    ".Lumenflow/x/secret",
    ".lumenflow./x/secret",
    ".lumenflow /x/secret",
    "\uff0elumenflow/x/secret",
    ".lumenfl\u043ew/x/secret",
    "shared/out/secret",
    "shared/out-file",
    "shared/up/secret",
    "shared/up/private/secret",
    "shared/near/secret",
    "shared/state/x/secret",
    "shared/etc/passwd",
    "shared/proc/secret",
    "shared/relative/secret",
    "shared/loop",
    "shared/chain/secret",
    "shared/new",
    "shared/slash/etc/passwd",
    "shared/out/../outside/secret",
    "shared/up/../secret",
    "..\\outside\\secret",
    "shared\\..\\secret",
    "shared/..\\secret",
    "shared/%2e%2e/secret",
    "shared/..%2fsecret",
    "%2e%2e/outside/secret",
    "shared/..;/secret",
    "shared/\u2025/secret",
    "shared/\uff0e\uff0e/secret",
    "shared/\u2024\u2024/secret",
    "shared\u2215..\u2215secret",
    "shared\uff0f..\uff0fsecret",
    "shared/fair.txt\x00",
    "shared/\x00../secret",
    "\x00",
    "shared/..\x00/secret",
    "shared/.. /secret",
    "shared/.../secret",
    "..",
    ".",
    "/",
    "shared/..",
    "shared/../",
    "C:\\Windows\\win.ini",
    "\\\\host\\share",
    "shared/" + "a/" * 60 + "x",
    "shared/" + "../" * 30 + "etc/passwd",
    " ../outside/secret",
    "shared/ ../secret",
    "\t/etc/passwd",
    "\n../outside/secret",
    "SHARED/../secret",
    "shared/fair.txt/",
    "shared/fair.txt/x",
]


def call(server: ToolServer, verb: str, path: str) -> Answer:
    given = {"path": path} if verb == "read" else {"path": path, "content": "overwritten"}
    return server.ask("POST", f"/tools/files:{verb}", {"input": given})


def test_what_is_in_scope_is_reached(served: tuple[ToolServer, MemoryEvidence]) -> None:
    server, _ = served

    assert {"content": "fair"} == call(server, "read", "shared/fair.txt").json["data"]
    assert call(server, "write", "shared/written.txt").json["success"]
    assert {"content": "overwritten"} == call(server, "read", "shared/written.txt").json["data"]


@pytest.mark.parametrize("verb", ["read", "write"])
@pytest.mark.parametrize("path", PATHS, ids=ascii)
def test_a_path_that_leads_out_gives_nothing_changes_nothing_and_is_traced(
    served: tuple[ToolServer, MemoryEvidence], place: Workspace, verb: str, path: str
) -> None:
    server, evidence = served
    traces = len(evidence.entries)
    answer = call(server, verb, path.format(root=place.root, outside=place.outside))

    assert CANARY.encode() not in answer.body
    assert b"root:" not in answer.body
    assert place.untouched()
    assert ["TOOL_CALL_STARTED", "TOOL_CALL_FINISHED"] == [
        entry.event_type for entry in evidence.entries[traces:]
    ]
    if answer.json["success"]:
        # A name that merely looks odd may be a file of its own below shared/: that is no way out.
        assert (place.root / path).resolve().is_relative_to(place.shared)
    else:
        codes = {"SCOPE_DENIED", "NOT_FOUND", "INVALID_INPUT", "TOOL_EXECUTION_FAILED"}
        assert answer.code in codes


@pytest.mark.parametrize("verb", ["read", "write"])
def test_a_link_that_is_swapped_in_while_a_tool_runs_leads_nowhere(
    served: tuple[ToolServer, MemoryEvidence], place: Workspace, verb: str
) -> None:
    """A directory becomes a link to the outside and back, again and again, during the calls."""
    server, _ = served
    swapped, real, link = place.shared / "swapped", place.shared / "real", place.shared / "link"
    real.mkdir(exist_ok=True)
    (real / "secret").write_text("fair")
    link.unlink(missing_ok=True)
    link.symlink_to(place.outside)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for source in (real, link):
                source.rename(swapped)
                swapped.rename(source)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        answers = [call(server, verb, "shared/swapped/secret") for _ in range(150)]
    finally:
        stop.set()
        thread.join()

    assert not [answer for answer in answers if CANARY.encode() in answer.body]
    assert place.untouched()


def test_scopes_that_a_body_brings_widen_nothing(
    served: tuple[ToolServer, MemoryEvidence],
) -> None:
    server, _ = served
    wide = [{"type": "path", "pattern": "**", "access": "read"}]
    context = {"allowed_scopes": wide, "metadata": {"workspace_allowed_scopes": wide}}
    body = {"input": {"path": "private/secret"}, "context": context}
    answer = server.ask("POST", "/tools/files:read", body)

    assert (403, "SCOPE_DENIED") == (answer.status, answer.code)
