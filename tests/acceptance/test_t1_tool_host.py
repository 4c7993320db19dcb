"""Issue 4, "The tool host": what a call may touch, who decides, and what is left of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from conductor_sdk import build_kernel_event_v2
from conductor_sdk.errors import UnknownKind
from real_world import Sidecar, World, until
from tool_world import (
    ALLOW,
    Answer,
    Door,
    calls,
    effects,
    gear_world,
    journal,
    socket_door,
    tool_call,
)

CALLED = "agent-runtime:tool_called"
CANARY = "canary"
WIDE = {"type": "path", "pattern": "**", "access": "write"}


@pytest.fixture(scope="module")
def one(shared: World) -> Sidecar:
    """A sidecar with secrets in its workspace."""
    root = shared.directory / "one"
    (root / "shared/deep").mkdir(parents=True)
    (root / "private").mkdir()
    (root / "private/secret").write_text(CANARY)
    (root / "shared/fair").write_text("fair")
    (root / ".shared").mkdir()
    (root / ".shared/dot").write_text("dot")
    (root / "shared/.dot").mkdir()
    (root / "shared/.dot/file").write_text("inner dot")
    return gear_world(shared, "one", *ALLOW)


@pytest.fixture(scope="module")
def inside(one: Sidecar) -> Door:
    return socket_door(one)


@pytest.fixture(scope="module")
def outside(one: Sidecar) -> Door:
    return Door(one)


# What a tool may touch


def test_a_tool_reaches_what_its_scopes_cover_dot_directories_included(inside: Door) -> None:
    for path in ("shared/fair", "./shared//fair", "shared/.dot/file"):
        assert inside.call("gear:read", {"path": path}).code == "ok", path
    assert inside.call("gear:read_all", {"path": ".shared/dot"}).json["data"]["content"] == "dot"


@pytest.mark.parametrize("path", [
    "private/secret", "shared/../private/secret", "../one/private/secret", "/etc/passwd",
    ".shared/dot", "shared/../../x", "Shared/fair", "shared\\..\\private\\secret", "~/x", "", ".",
    "shared/\0", "%2e%2e/private/secret",
])  # fmt: skip
def test_a_tool_does_not_reach_what_they_do_not_cover(inside: Door, path: str) -> None:
    for answer in (
        inside.call("gear:read", {"path": path}),
        inside.call("gear:write", {"path": path, "content": "x"}),
    ):
        assert not answer.json["success"]
        assert answer.code in {"SCOPE_DENIED", "NOT_FOUND"}
        assert CANARY not in answer.body.decode()
    assert (inside.workspace.root / "private/secret").read_text() == CANARY


RESERVED = [
    ".lumenflow/state/conductor/http.token", ".lumenflow", "./.lumenflow/x", ".//.lumenflow/x",
    ".LUMENFLOW/x", ".Lumenflow/state/x", ".lumenflow./x", ".lumenflow /x", ".lumenﬂow/x",
    ".lumen\u200cflow/x", ".lumenflow/../.lumenflow/x", "shared/../.lumenflow/x",
    "state-link/conductor/http.token", "shared/state-link/x", "shared/hard",
    "\uff0elumenflow/x", ".lumenflow/state/packs/sidekick.db",
]  # fmt: skip


@pytest.mark.parametrize("path", RESERVED)
def test_nothing_of_the_daemon_is_reached_however_its_name_is_written(
    inside: Door, path: str
) -> None:
    root = inside.workspace.root
    for link in (root / "state-link", root / "shared/state-link"):
        if not link.is_symlink():
            link.symlink_to(root / ".lumenflow/state")
    if not (root / "shared/hard").exists():
        (root / "shared/hard").hardlink_to(inside.workspace.http_token)
    token = inside.workspace.http_token.read_text()
    for answer in (
        inside.call("gear:read_all", {"path": path}),
        inside.call("gear:write_all", {"path": path, "content": "x"}),
    ):
        replaced = path == "shared/hard" and answer.json["success"]  # the name, not the file
        assert replaced or answer.code == "SCOPE_DENIED", answer.body
        assert token.strip() not in answer.body.decode()
    assert inside.workspace.http_token.read_text() == token
    (root / "shared/hard").unlink(missing_ok=True)


def test_a_tool_that_asks_for_what_nobody_may_have_is_refused_and_not_listed(
    inside: Door,
) -> None:
    before = effects(inside.workspace.root)
    for name in ("gear:reserved", "gear:network"):
        assert inside.call(name).code == "SCOPE_DENIED"
    listed = {tool["name"] for tool in inside.ask("GET", "/tools").json["tools"]}

    assert {"gear:reserved", "gear:network", "gear:inside"} & listed == set()
    assert {"gear:read", "task:create"} <= listed
    assert effects(inside.workspace.root) == before


def test_a_body_never_widens_what_a_call_may_touch(inside: Door, outside: Door) -> None:
    claims = {"allowed_scopes": [WIDE], "actor": "root", "scopes": [WIDE], "run_id": "run-1"}
    for door, surface in ((inside, "socket"), (outside, "http")):
        found = door.call("gear:seen", context=claims).json["data"]
        patterns = {(of["access"], of["pattern"]) for of in found["scopes"]}

        assert patterns == {("read", "shared/**"), ("write", "shared/**")}
        assert (found["surface"], found["run_id"]) == (surface, "run-1")
        assert found["actor"] not in {"root", None}


def test_a_workspace_narrows_what_tools_ask_for_and_never_widens_it(world: World) -> None:
    scopes = [
        {"type": "path", "pattern": "shared/deep/*", "access": "read"},
        {"type": "path", "pattern": "sh*/**/deep/**", "access": "write"},
        {"type": "path", "pattern": ".sidekick/**", "access": "read"},
    ]
    sidecar = gear_world(world, "narrow", "--set", f"tools.scopes={json.dumps(scopes)}")
    door = socket_door(sidecar)
    found = door.call("gear:seen").json["data"]["scopes"]

    assert {(of["access"], of["pattern"]) for of in found} == {
        ("read", "shared/deep/*"), ("write", "shared/**/deep/**"),
    }  # fmt: skip
    assert door.call("gear:read", {"path": "shared/fair"}).code == "SCOPE_DENIED"
    # X21: of a tool that writes, the scope for reading alone is not enough.
    denied = door.call("task:create", {"title": "x"})
    assert (denied.status, denied.code) == (403, "SCOPE_DENIED")
    assert denied.json["error"]["details"]["missing"] == ["write:.sidekick/**"]
    assert door.call("task:list").code == "ok"
    assert not (sidecar.workspace / ".sidekick").exists()


# Who decides


def test_one_packs_policy_never_governs_anothers_tools(inside: Door) -> None:
    denied = inside.call("strict:look")
    asked = inside.call("careful:look")

    assert (denied.status, denied.code) == (403, "POLICY_DENIED")
    assert "nobody may" in denied.json["error"]["message"]
    assert (asked.status, asked.code) == (403, "APPROVAL_REQUIRED")
    assert inside.call("gear:effect").code == "ok"
    assert inside.call("task:list").code == "ok"


def test_no_pack_takes_a_name_that_another_has(shared: World, inside: Door) -> None:
    found = inside.call("task:create", {"title": "mine"}).json["data"]
    listed = shared.command("tools", "list", "-w", str(inside.workspace.root))

    assert found["task"]["title"] == "mine"
    assert "not offered: thief: task:create" in listed.err
    assert inside.call("thief:look").code == "ok"


@pytest.mark.parametrize(
    ("policies", "default", "expected"),
    [
        ('[{tool="gear:*", decision="deny"}, {tool="gear:effect", decision="allow"}]', "allow",
         {"gear:effect": "POLICY_DENIED", "thief:look": "ok"}),
        ('[{tool="thief:look", decision="allow"}]', "deny",
         {"gear:effect": "POLICY_DENIED", "thief:look": "ok", "strict:look": "POLICY_DENIED"}),
        ('[{tool="*", decision="approval_required"}, {tool="thief:*", decision="deny"}]', "allow",
         {"gear:effect": "APPROVAL_REQUIRED", "thief:look": "POLICY_DENIED"}),
    ],
    ids=["deny wins", "default deny", "deny over approval"],
)  # fmt: skip
def test_the_workspace_decides_over_all_tools(
    world: World, policies: str, default: str, expected: dict[str, str]
) -> None:
    (world.directory / "ruled").mkdir()
    (world.directory / "ruled/conductor.toml").write_text(
        f'[tools]\npolicies = {policies}\ndefault_decision = "{default}"\n'
    )
    world.with_packs({"gear": "gear_pack:gear", "thief": "gear_pack:thief",
                      "strict": "gear_pack:strict"})  # fmt: skip
    sidecar = world.loopback("ruled", "--log-level", "error")
    door = socket_door(sidecar)

    assert {name: door.call(name).code for name in expected} == expected


# What becomes of a call


@pytest.mark.parametrize(("tool", "status", "code"), [
    ("gear:lies", 200, "INVALID_OUTPUT"), ("gear:breaks", 200, "TOOL_EXECUTION_FAILED"),
    ("gear:ghost", 200, "TOOL_UNAVAILABLE"), ("gear:variable", 200, "TOOL_UNAVAILABLE"),
    ("gear:inside", 404, "TOOL_NOT_FOUND"), ("gear:nothing", 404, "TOOL_NOT_FOUND"),
])  # fmt: skip
def test_a_tool_that_fails_is_an_answer(
    inside: Door, tool: str, status: int, code: str
) -> None:  # fmt: skip
    answer = inside.call(tool)

    assert (answer.status, answer.code) == (status, code)
    assert "Traceback" not in answer.body.decode()


def test_a_call_ends_at_its_deadline_and_is_cancelled(inside: Door) -> None:
    answer = inside.call("gear:slow")

    assert (answer.status, answer.code) == (200, "TOOL_TIMEOUT")


def test_a_tool_calls_others_through_the_host_with_no_more_than_it_has(
    shared: World, inside: Door, outside: Door
) -> None:
    found = inside.call("gear:outer", {"tool": "gear:inside"})
    denied = inside.call("gear:outer", {"tool": "strict:look"})
    beyond = inside.call("gear:outer", {"tool": "gear:outer"})

    assert found.json["data"]["surface"] == "pack"
    assert found.json["data"]["actor"]
    assert denied.code == "POLICY_DENIED"
    assert beyond.code == "INVALID_INPUT"
    nested = [
        one["payload"]
        for one in journal(shared, inside.workspace.root, "TOOL_CALL_STARTED")
        if one["payload"]["tool"] == "gear:inside" and one["payload"]["surface"] == "pack"
    ]
    assert nested[-1]["parent_call_id"] == found.json["metadata"]["call_id"]


def test_an_input_that_does_not_fit_is_refused_before_the_tool_runs(inside: Door) -> None:
    for given, pointer in [
        ({"title": ""}, "/title"), ({"title": "x", "nope": 1}, ""),
        ({"title": "x" * 501}, "/title"), ({"title": "x", "due_at": "soon"}, "/due_at"),
        ({}, ""), ([], ""), ("text", ""), (None, ""),
    ]:  # fmt: skip
        body: object = {"input": given}
        answer = inside.ask("POST", "/tools/task:create", body)
        assert (answer.status, answer.code) == (400, "INVALID_INPUT"), given
        problems = answer.json["error"]["details"]["problems"]
        assert pointer in {problem["pointer"] for problem in problems}, problems


# What is left of it

OUTCOMES = {
    "gear:effect": ("success", None),
    "gear:breaks": ("failure", "TOOL_EXECUTION_FAILED"),
    "gear:slow": ("failure", "TOOL_TIMEOUT"),
    "gear:lies": ("failure", "INVALID_OUTPUT"),
    "gear:ghost": ("failure", "TOOL_UNAVAILABLE"),
    "gear:write": ("failure", "INVALID_INPUT"),
    "gear:reserved": ("denied", "SCOPE_DENIED"),
    "strict:look": ("denied", "POLICY_DENIED"),
    "gear:leave": ("denied", "APPROVAL_REQUIRED"),
}


@pytest.fixture
def enrolled(world: World) -> tuple[Any, Sidecar]:
    """A conductor, and an enrolled sidecar with the packs that try everything."""
    conductor = world.conductor()
    workspace = world.directory / "ws-1"
    conductor.enroll(workspace)
    world.with_packs({"gear": "gear_pack:gear", "strict": "gear_pack:strict"})
    sidecar = world.sidecar(
        workspace, "--log-level", "error", "--set", "reconnect.first_spread_s=0"
    )
    sidecar.wait_for_link()
    return conductor, sidecar


def test_every_outcome_is_in_the_journal_and_at_the_conductor(
    world: World, enrolled: tuple[Any, Sidecar]
) -> None:
    conductor, sidecar = enrolled
    door = socket_door(sidecar)
    answers: dict[str, Answer] = {name: door.call(name, {}) for name in OUTCOMES}
    assert door.call("gear:unknown").code == "TOOL_NOT_FOUND"
    ids = {name: str(of.json["metadata"]["call_id"]) for name, of in answers.items()}

    started = journal(world, sidecar.workspace, "TOOL_CALL_STARTED")
    finished = journal(world, sidecar.workspace, "TOOL_CALL_FINISHED")
    assert [of["payload"]["tool"] for of in started] == list(OUTCOMES)
    found = {of["payload"]["tool"]: of for of in finished}
    empty = hashlib.sha256(b"{}").hexdigest()
    for name, (result, code) in OUTCOMES.items():
        payload = found[name]["payload"]
        assert (payload["result"], payload.get("code")) == (result, code), name
        assert (payload["call_id"], payload["input_hash"]) == (ids[name], empty)
        assert found[name]["actor"].startswith("local:")
        assert payload["duration_ms"] >= 0
        if result == "denied":
            assert "deny" in {of["decision"] for of in payload["decisions"]} or code == (
                "APPROVAL_REQUIRED"
            )
    assert found["gear:slow"]["payload"]["duration_ms"] >= 190
    assert "hunter2" not in str(finished)  # what a tool raises is for its caller alone

    sidecar.until(CALLED, "outbound", accepted=len(OUTCOMES), buffered=0)
    arrived = until(
        lambda: [of for of in conductor.events("ws-1") if of["kind"] == CALLED], "the events"
    )
    told = {of["payload"]["tool"]: of for of in arrived}
    assert set(told) == set(OUTCOMES)
    for name, (result, code) in OUTCOMES.items():
        payload = told[name]["payload"]
        assert (payload["outcome"], payload.get("code")) == (result, code)
        assert {"call_id", "pack", "actor", "surface", "input_hash", "duration_ms"} <= set(payload)
        assert payload["call_id"] == ids[name]
        expected = build_kernel_event_v2(
            {"kind": CALLED, "from": "ws-1"}, idempotency_key=ids[name]
        )
        assert told[name]["event_id"] == expected.event_id
    assert world.command("log", "verify", "-w", str(sidecar.workspace)).code == 0


def test_no_pack_may_speak_of_calls_in_the_daemons_name(one: Sidecar) -> None:
    with pytest.raises(UnknownKind):
        one.push({"kind": CALLED, "payload": {"tool": "x"}})


def test_evidence_of_calls_without_a_daemon_waits_for_the_conductor(
    world: World, enrolled: tuple[Any, Sidecar]
) -> None:
    conductor, sidecar = enrolled
    assert sidecar.stop() == 0
    done = tool_call(world, sidecar.workspace, "task:create", {"title": "alone"})
    assert done.code == 0, done.err
    assert tool_call(world, sidecar.workspace, "strict:look", {}).code == 1
    assert calls(world, sidecar.workspace)[-2:] == [
        ("task:create", "success", None), ("strict:look", "denied", "POLICY_DENIED"),
    ]  # fmt: skip
    again = world.sidecar(sidecar.workspace, "--log-level", "error")
    again.wait_for_link()
    call_id = done.json["metadata"]["call_id"]
    until(
        lambda: [of for of in conductor.events("ws-1") if call_id in str(of["payload"])],
        "the event of the call",
    )


def test_no_call_runs_that_the_journal_cannot_take(world: World) -> None:
    world.with_packs({"gear": "gear_pack:gear"})
    workspace: Path = world.directory / "full"
    workspace.mkdir()
    (workspace / "shared").mkdir()
    assert tool_call(world, workspace, "gear:effect", {}).code == 0
    done = world.without_room("tools", "call", "gear:effect", "-w", str(workspace))

    assert done.code not in {0, None}
    assert "Traceback" not in done.err
    assert effects(workspace) == 1
    assert tool_call(world, workspace, "gear:effect", {}).code == 0


def test_nothing_listens_on_tcp_unless_told(world: World) -> None:
    sidecar = world.loopback("quiet", "--log-level", "error")

    assert sidecar.status()["http"] is None
