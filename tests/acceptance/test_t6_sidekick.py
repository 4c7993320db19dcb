"""Issue 4, "The Sidekick pack": what a user of it does, with a daemon and without one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from real_world import Done, Sidecar, World, until
from running import Running
from tool_world import (
    LISTEN,
    QUIET,
    Door,
    calls,
    files_below,
    journal,
    socket_door,
    tool_call,
)

CORE = {
    "task:create", "task:list", "task:complete", "task:schedule", "memory:store", "memory:recall",
    "memory:forget", "channel:configure", "channel:send", "channel:receive", "routine:create",
    "routine:list", "routine:run", "sidekick:init", "sidekick:status", "sidekick:export",
}  # fmt: skip
LATER = {
    "task:update", "task:cancel", "memory:update", "channel:list", "channel:delete",
    "routine:update", "routine:delete",
}  # fmt: skip
SEED = (
    "sidekick:init", "task:create", "task:list", "memory:store", "memory:recall",
    "channel:configure", "channel:send", "routine:create", "routine:run", "sidekick:status",
    "sidekick:export",
)  # fmt: skip
WRITES: dict[str, dict[str, Any]] = {
    "task:create": {"title": "x"}, "memory:store": {"type": "snippet", "content": "x"},
    "channel:configure": {"name": "ops"}, "channel:send": {"content": "x"},
    "routine:create": {"name": "x", "steps": [{"tool": "task:list"}]}, "sidekick:init": {},
}  # fmt: skip


def typed(world: World, workspace: Path, *words: str) -> Done:
    return world.command("sidekick", *words, "-w", str(workspace))


def data(where: Door, tool: str, **given: Any) -> Any:
    answer = where.call(tool, given)
    assert answer.code == "ok", answer.body
    return answer.json["data"]


def kept(world: World, workspace: Path, tool: str, **given: Any) -> Any:
    """Call a tool where no daemon runs."""
    done = tool_call(world, workspace, tool, given)
    assert done.code == 0, done.out + done.err
    return done.json["data"]


def workspace_of(world: World, name: str, **section: object) -> Path:
    """Make a workspace whose pack is configured so."""
    workspace = world.directory / name
    workspace.mkdir()
    lines = [f"{key} = {json.dumps(value)}" for key, value in section.items()]
    (workspace / "conductor.toml").write_text("\n".join(["[pack.sidekick]", *lines, ""]))
    return workspace


@pytest.fixture(scope="module")
def one(shared: World) -> Sidecar:
    return shared.loopback("one", *QUIET)


# Tool sets


def test_core_is_the_default_and_full_is_a_matter_of_configuration(world: World) -> None:
    def offered(workspace: Path) -> set[str]:
        tools = world.command("tools", "list", "--json", "-w", str(workspace)).json["tools"]
        return {of["name"] for of in tools if of["pack"] == "sidekick"}

    assert offered(workspace_of(world, "default")) == CORE
    assert offered(workspace_of(world, "full", toolset="full")) == CORE | LATER
    wrong = workspace_of(world, "wrong", toolset="most")
    listed = world.command("tools", "list", "-w", str(wrong))
    assert "toolset" in listed.err
    called = tool_call(world, wrong, "task:list", {})
    assert called.code != 0
    assert "Traceback" not in called.err


def test_the_full_fields_are_not_there_in_core(world: World, one: Sidecar) -> None:
    refused = tool_call(world, one.workspace, "task:create", {"title": "x", "depends_on": []})

    assert (refused.code, refused.json["error"]["code"]) == (2, "INVALID_INPUT")


# Reading and previews leave nothing


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("storage", ["filesystem", "sqlite"])
def test_reads_and_previews_create_nothing(world: World, storage: str, daemon: bool) -> None:
    workspace = workspace_of(world, "one", toolset="full", storage=storage)
    door = socket_door(world.loopback("one", *QUIET)) if daemon else None

    def call(tool: str, given: object) -> Any:
        if door is not None:
            return door.call(tool, given).json
        return tool_call(world, workspace, tool, given).json

    reads = sorted(CORE | {"channel:list"}) if daemon else ["sidekick:export"]
    for tool in reads:
        if tool.endswith((":list", ":recall", ":receive", ":status", ":export")):
            assert call(tool, {})["success"], tool
    for tool, given in WRITES.items() if daemon else [("task:create", {"title": "x"})]:
        answer = call(tool, {**given, "dry_run": True})
        assert answer["data"]["dry_run"] is True, answer
    if daemon:
        assert call("routine:run", {"id": "routine-0"})["error"]["code"] == "NOT_FOUND"

    assert not (workspace / ".sidekick").exists()


def test_a_read_only_directory_can_be_read(world: World) -> None:
    workspace = workspace_of(world, "one")
    made = kept(world, workspace, "routine:create", name="x", steps=["task:list"])["routine"]
    before = files_below(workspace / ".sidekick")
    command = "mount --bind .sidekick .sidekick && mount -o remount,bind,ro .sidekick && exec "
    command += "conductor sidecar --adapter memory --log-level error"
    with Running(f"exec unshare -rm sh -c '{command}'", workspace, world.env) as running:
        sidecar = Sidecar(workspace, running)
        sidecar.wait_until_ready()
        door = socket_door(sidecar)
        answers = [
            door.call("routine:list"), door.call("sidekick:status"), door.call("sidekick:export"),
            door.call("routine:run", {"id": made["id"]}), door.call("memory:recall"),
        ]  # fmt: skip
        refused = door.call("task:create", {"title": "x"})

    assert [of.code for of in answers] == ["ok"] * 5
    assert refused.code not in {"ok", "TOOL_EXECUTION_FAILED"}, refused.body
    assert files_below(workspace / ".sidekick") == before
    assert len(calls(world, workspace)) == 7  # the journal has what the directory could not take


# Every declared field


def test_every_field_of_the_manifest_is_honoured(one: Sidecar) -> None:
    where = socket_door(one)
    data(where, "memory:store", type="snippet", content="for x in y", tags=["Python"])
    data(where, "memory:store", type="fact", content="the tap is in the yard")
    recall = data(where, "memory:recall", type="snippet", tags=["python"])
    assert [of["content"] for of in recall["items"]] == ["for x in y"]
    data(where, "task:create", title="Fix the tap", description="in the yard",
         priority="P0", tags=["home"], due_at="2026-01-01T00:00:00Z")  # fmt: skip
    data(where, "task:create", title="Read")
    for given in ({"search": "YARD tap"}, {"priority": "P0"}, {"tags": ["HOME"]},
                  {"due_before": "2026-06-01T00:00:00+02:00"}):  # fmt: skip
        assert data(where, "task:list", **given)["count"] == 1, given
    data(where, "channel:send", channel="ops", content="first")
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert data(where, "channel:receive", channel="ops")["count"] == 1
    assert data(where, "channel:receive", channel="ops", since=later)["count"] == 0
    configured = data(where, "channel:configure", name="ops", type="terminal")["channel"]
    assert configured["type"] == "terminal"
    made = data(where, "routine:create", name="off", steps=["task:list"],
                cron="0 7 * * 1-5", enabled=False)["routine"]  # fmt: skip
    assert (made["cron"], made["enabled"]) == ("0 7 * * 1-5", False)
    assert data(where, "routine:list", enabled_only=True)["count"] == 0


@pytest.mark.parametrize(("tool", "given"), [
    ("task:create", {"title": "x", "due_at": "tomorrow"}),
    ("task:create", {"title": "x", "due_at": "2026-02-30T00:00:00Z"}),
    ("task:create", {"title": "x", "due_at": "2026-03-01T09:00:00"}),
    ("task:create", {"title": "   "}),
    ("task:list", {"due_before": "x"}),
    ("task:schedule", {"id": "task-00000000", "cron": "banana"}),
    ("task:schedule", {"id": "task-00000000", "cron": "0 0 31 2 *"}),
    ("task:schedule", {"id": "task-00000000"}),
    ("routine:create", {"name": "x", "steps": ["task:list"], "cron": "61 * * * *"}),
    ("routine:create", {"name": "x", "steps": []}),
    ("channel:configure", {"name": "ops", "type": "pigeon"}),
    ("channel:receive", {"since": "yesterday"}),
    ("memory:store", {"type": "rumour", "content": "x"}),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused(one: Sidecar, tool: str, given: object) -> None:
    answer = socket_door(one).call(tool, given)

    assert (answer.status, answer.code) == (400, "INVALID_INPUT"), answer.body


def test_a_channel_keeps_its_own_hundred_messages(one: Sidecar) -> None:
    door = socket_door(one)
    door.call("channel:send", {"channel": "quiet", "content": "kept"})
    for number in range(103):
        door.call("channel:send", {"channel": "loud", "content": str(number)})
    loud = door.call("channel:receive", {"channel": "loud"}).json["data"]["items"]

    assert [of["content"] for of in loud] == [str(number) for number in range(3, 103)]
    assert door.call("channel:receive", {"channel": "quiet"}).json["data"]["count"] == 1


def test_routine_run_plans_and_does_nothing(one: Sidecar) -> None:
    door = socket_door(one)
    steps = [{"tool": "task:create", "input": {"title": "planned"}}, "memory:recall"]
    made = door.call("routine:create", {"name": "plan", "steps": steps}).json["data"]["routine"]
    plan = door.call("routine:run", {"id": made["id"]}).json["data"]

    assert plan["plan_only"] is True
    assert [of["tool"] for of in plan["plan"]] == ["task:create", "memory:recall"]
    found = door.call("task:list", {"search": "planned"}).json["data"]
    assert found["count"] == 0


# The command line


def test_the_shortcuts_are_tables_for_people_and_json_for_programs(world: World) -> None:
    workspace = workspace_of(world, "one", toolset="full")
    world.loopback("one", *QUIET)  # without one the same, only slower: see the other tests
    long = "A title that is much longer than a line of a terminal, so that it must be cut or folded"
    first = typed(world, workspace, "task", "create", long, "--priority", "P1", "--tag", "a")
    assert first.code == 0, first.err
    made = typed(
        world, workspace, "task", "create", "next", "--due", "2031-01-01T00:00:00Z", "--json"
    )
    task = made.json["data"]["task"]["id"]
    wait = typed(world, workspace, "task", "create", "later", "--after", task, "--json").json
    shown = [
        typed(world, workspace, *words.split())
        for words in ("task list", "task ready", "memory recall x", "channel list", "routine list",
                      "status", "task list --status done")
    ]  # fmt: skip
    for done in (first, *shown):
        assert (done.code, done.err) == (0, "")
        assert "\x1b" not in done.out
        assert max(map(len, done.out.splitlines()), default=0) <= 80
        assert "{" not in done.out
    assert "next" in shown[1].out
    assert "later" not in shown[1].out
    completed = typed(world, workspace, "task", "complete", task, "--json").json["data"]
    assert wait["data"]["task"]["id"] in str(completed["unblocked"])
    assert typed(world, workspace, "task", "complete", "task-00000000").code == 3
    assert typed(world, workspace, "task", "create", "").code == 2
    cancelled = typed(world, workspace, "task", "cancel", task)
    assert cancelled.code == 1
    assert "conductor approvals grant apr-" in cancelled.err
    results = {of[1] for of in calls(world, workspace)}
    assert results == {"success", "failure", "denied"}


def test_text_from_outside_cannot_steer_the_terminal(world: World, one: Sidecar) -> None:
    evil = "\x1b[2J\x1b]0;title\x07hello\r\n\u202eevil"
    tool_call(world, one.workspace, "task:create", {"title": evil, "tags": ["evil"]})
    tool_call(world, one.workspace, "memory:store", {"type": "note", "content": evil})
    for words in (("task", "list"), ("memory", "recall"), ("memory", "recall", "hello")):
        out = typed(world, one.workspace, *words).out
        assert "hello" in out
        assert not {"\x1b", "\x07", "\r", "\u202e"} & set(out)


# Storage


def test_the_older_file_names_are_read_and_kept(world: World) -> None:
    workspace = workspace_of(world, "one")
    stamp = "2026-02-27T17:00:00.000Z"
    old = {
        "memory/memory.json": [{
            "id": "mem-00000001", "type": "fact", "content": "the old fact", "tags": [],
            "created_at": stamp, "updated_at": stamp, "origin": "elsewhere",
        }],
        "channels/channels.json": [{
            "id": "chan-00000001", "name": "ops", "created_at": stamp, "updated_at": stamp,
        }],
        "channels/outbox.json": [{
            "id": "msg-00000001", "channel_id": "chan-00000001", "sender": "ada",
            "content": "the old message", "created_at": stamp,
        }],
    }  # fmt: skip
    for name, records in old.items():
        path = workspace / ".sidekick" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(records))
    door = socket_door(world.loopback("one", *QUIET))
    assert "the [old] fact" in typed(world, workspace, "memory", "recall", "old").out
    assert "the old message" in typed(world, workspace, "channel", "receive").out
    data(door, "memory:store", type="fact", content="the new fact")
    data(door, "channel:send", channel="ops", content="the new message")

    assert data(door, "memory:recall")["count"] == 2
    assert data(door, "channel:receive", channel="ops")["count"] == 2
    stored = json.loads((workspace / ".sidekick/memory/memories.json").read_text())
    assert {of.get("origin") for of in stored} == {"elsewhere", None}
    assert (
        json.loads((workspace / ".sidekick/memory/memory.json").read_text())
        == (old["memory/memory.json"])
    )


def test_a_damaged_store_is_named_and_the_others_work(world: World) -> None:
    workspace = workspace_of(world, "one")
    door = socket_door(world.loopback("one", *QUIET))
    data(door, "task:create", title="x")
    data(door, "memory:store", type="fact", content="x")
    (workspace / ".sidekick/tasks/tasks.json").write_text('[{"id": "task-1", ')
    refused = door.call("task:list")

    assert "tasks.json" in refused.json["error"]["message"]
    assert door.call("task:create", {"title": "y"}).code == refused.code
    assert (workspace / ".sidekick/tasks/tasks.json").read_text() == '[{"id": "task-1", '
    assert data(door, "memory:recall")["count"] == 1


def test_everything_moves_to_the_other_storage_and_back(world: World) -> None:
    workspace = workspace_of(world, "one")
    sidecar = world.loopback("one", *QUIET)
    for number in range(3):
        data(socket_door(sidecar), "task:create", title=f"task {number}")
    data(socket_door(sidecar), "memory:store", type="fact", content="searchable words")
    sidecar.stop()
    before = kept(world, workspace, "sidekick:export", include_audit=False)["data"]
    for storage in ("sqlite", "filesystem"):
        for path in (workspace / ".sidekick").rglob("*.json*" if storage == "filesystem" else "-"):
            path.unlink()
        moved = typed(world, workspace, "storage", "migrate", "--to", storage)
        assert moved.code == 0, moved.err
        (workspace / "conductor.toml").write_text(f'[pack.sidekick]\nstorage = "{storage}"\n')
        after = kept(world, workspace, "sidekick:export", include_audit=False)["data"]
        assert after == before
        if storage == "sqlite":
            found = kept(world, workspace, "memory:recall", query="words")["items"]
            assert "[words]" in found[0]["snippet"]


def test_an_export_is_restored_whole_or_not_at_all(world: World) -> None:
    workspace = workspace_of(world, "one")
    kept(world, workspace, "task:create", title="kept")
    backup = world.directory / "backup.json"
    assert typed(world, workspace, "export", "--out", str(backup)).code == 0
    other = workspace_of(world, "other")
    changed = world.directory / "changed.json"
    changed.write_text(backup.read_text().replace('"kept"', '"kepz"'))

    assert typed(world, other, "import", str(changed)).code not in {0, None}
    assert not (other / ".sidekick").exists()
    assert typed(world, other, "import", str(backup)).code == 0
    assert [of["title"] for of in kept(world, other, "task:list")["items"]] == ["kept"]
    assert typed(world, other, "import", str(backup)).code not in {0, None}


# A full disk


def filled(running: Running, workspace: Path) -> Path:
    """Fill the disk below `.sidekick` as the daemon sees it; returns what to remove."""
    junk = Path(f"/proc/{running.pid}/root") / workspace.relative_to("/") / ".sidekick/junk"
    with junk.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return junk


@pytest.mark.parametrize("storage", ["filesystem", "sqlite"])
def test_a_full_disk_refuses_changes_and_loses_nothing(world: World, storage: str) -> None:
    workspace = workspace_of(world, "full", storage=storage)
    (workspace / ".sidekick").mkdir()
    command = "mount -t tmpfs -o size=512k tmpfs .sidekick && exec conductor sidecar " + " ".join(
        ["--adapter", "memory", *QUIET]
    )
    with Running(f"exec unshare -rm sh -c '{command}'", workspace, world.env) as running:
        sidecar = Sidecar(workspace, running)
        sidecar.wait_until_ready()
        door = socket_door(sidecar)
        for number in range(3):
            data(door, "task:create", title=str(number))
        junk = filled(running, workspace)
        refused = [
            door.call("task:create", {"title": "x" * 400, "description": "y" * 9000})
            for _ in range(8)
        ]
        codes = {of.code for of in refused}
        assert not {"TOOL_EXECUTION_FAILED", "TOOL_TIMEOUT"} & codes, refused[-1].body
        assert codes != {"ok"}
        done = sum(of.code == "ok" for of in refused)
        # What reads is not stopped by a disk that is full, and tells of no change that failed.
        assert door.call("task:list").json["data"]["count"] == 3 + done
        junk.unlink()
        assert door.call("task:create", {"title": "after"}).code == "ok"
        exported = door.call("sidekick:export").json["data"]["data"]
    created = [of for of in exported["audit"] if of["op"] == "create"]
    assert len(exported["tasks"]) == len(created) == 3 + done + 1


# Routines that run


def test_a_due_routine_is_run_by_the_daemon_through_the_tool_host(world: World) -> None:
    workspace = workspace_of(world, "one", run_routines=True)
    steps = [{"tool": "task:create", "input": {"title": "by itself"}}, {"tool": "task:nothing"}]
    kept(world, workspace, "routine:create", name="hourly", steps=steps, cron="0 * * * *")
    path = workspace / ".sidekick/routines/routines.json"
    [routine] = json.loads(path.read_text())
    past = (datetime.now(UTC) - timedelta(hours=5)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    path.write_text(json.dumps([{**routine, "created_at": past, "updated_at": past}]))
    sidecar = world.loopback("one", *QUIET)
    runs = workspace / ".sidekick/routines/runs.json"
    until(lambda: runs.exists() and "TOOL_NOT_FOUND" in runs.read_text(), "the run has ended")
    sidecar.kill()
    sidecar = world.sidecar(workspace, "--adapter", "memory", *QUIET)
    found = socket_door(sidecar).call("task:list").json["data"]

    assert [of["title"] for of in found["items"]] == ["by itself"]  # one for five missed hours
    [run] = json.loads(runs.read_text())
    assert run["state"] == "failed"
    own = [
        of for of in journal(world, workspace, "TOOL_CALL_FINISHED")
        if of["payload"]["surface"] == "pack" and of["payload"]["tool"] == "task:create"
    ]  # fmt: skip
    assert len(own) == 1


# Validate, smoke


def test_the_packs_files_are_compared_with_their_pin(world: World) -> None:
    workspace = workspace_of(world, "one")
    where = ("-w", str(workspace))
    first = world.command("pack", "validate", "sidekick", "--json", *where)
    assert first.code == 0, first.out + first.err
    text = world.command("pack", "validate", "sidekick", *where).out
    assert "not pinned" in text
    digest = next(word for word in text.split() if word.startswith("sha256:"))
    for pin, code in ((digest, 0), ("sha256:" + "0" * 64, 4)):
        (workspace / "conductor.toml").write_text(f'[packs.pins]\nsidekick = "{pin}"\n')
        done = world.command("pack", "validate", "sidekick", *where)
        assert done.code == code, done.out + done.err
    assert "fail" in done.out.lower()


@pytest.mark.parametrize("own", [True, False])
def test_the_walk_writes_a_report_of_versions_hashes_and_results(world: World, own: bool) -> None:
    workspace = workspace_of(world, "one")
    if not own:
        world.loopback("one", *QUIET)
    words = ("smoke", "--report", str(world.directory / "report"), *(["--own"] if own else []))
    done = typed(world, workspace, *words)
    assert done.code == 0, done.out + done.err
    report = json.loads((world.directory / "report/readiness.json").read_text())

    assert report["passed"] is True
    assert tuple(of["tool"] for of in report["steps"])[: len(SEED)] == SEED
    assert {of["result"] for of in report["steps"]} == {"pass"}
    assert report["hashes"]["pack"].startswith("sha256:")
    assert {"conductor", "python", "pack", "contract"} <= set(report["versions"])
    text = (world.directory / "report/readiness.md").read_text()
    assert report["hashes"]["pack"] in text
    assert (workspace / ".sidekick").exists() is not own


def test_a_pack_may_require_the_channel_surface(world: World) -> None:
    world.with_packs({"needy": "channel_pack:needy"})
    listed = world.command("packs", "--json").json
    assert "needy" in {of["slug"] for of in listed["loaded"]}
    (world.directory / "conductor.toml").write_text('[packs]\ndisabled = ["sidekick"]\n')
    listed = world.command("packs", "--json").json
    [refused] = [of for of in listed["refused"] if of["name"] == "needy"]
    assert refused["problems"][0]["code"] == "SURFACE_UNAVAILABLE"


def test_a_client_over_http_is_the_same_as_in_process(world: World) -> None:
    workspace = workspace_of(world, "one")
    sidecar = world.loopback("one", *QUIET, *LISTEN, "--set", 'http.allow_tools=["task:*"]')
    door = Door(sidecar)
    import asyncio

    from conductor_packs.sidekick.client import SidekickFailed, connect_sidekick, sidekick_at
    from conductor_packs.sidekick.contract import requests

    far = sidekick_at(f"http://127.0.0.1:{door.port}", door.token or "")
    near = connect_sidekick(workspace)

    async def work() -> list[str]:
        made = await far.task_create(requests.TaskCreateRequest(title="far"))
        await near.task_create(requests.TaskCreateRequest(title="near"))
        with pytest.raises(SidekickFailed, match="may not"):
            await far.sidekick_status(requests.SidekickStatusRequest())
        with pytest.raises(SidekickFailed):
            await near.task_complete(requests.TaskCompleteRequest(id="task-00000000"))
        assert made.task.priority == "P2"
        listed = await far.task_list(requests.TaskListRequest())
        return [of.title for of in listed.items]

    assert sorted(asyncio.run(work())) == ["far", "near"]
