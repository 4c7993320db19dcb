"""`conductor sidekick …`, without a daemon: the same host decides as with one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from typed import Ran, shown


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "ws"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.delenv("CONDUCTOR_WORKSPACE", raising=False)
    return place


@pytest.fixture
def sidekick(place: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def run(*words: str) -> Ran:
        return shown(capsys, "sidekick", *words, raw=words[0] == "export")

    return run


@pytest.fixture
def full(place: Path) -> None:
    (place / "conductor.toml").write_text('[pack.sidekick]\ntoolset = "full"\n')


def made(ran: Ran, kind: str) -> str:
    assert ran.code == 0, ran.err
    return str(ran.data[kind]["id"])


def test_a_task_is_created_listed_and_completed(sidekick: Callable[..., Ran]) -> None:
    created = sidekick("task", "create", "write the report", "--priority", "P1", "--tag", "work")
    assert (created.code, "title       write the report" in created.out) == (0, True)
    listed = sidekick("task", "list", "--tag", "WORK", "--json")
    [item] = listed.data["items"]
    assert (item["priority"], item["tags"]) == ("P1", ["work"])
    done = sidekick("task", "complete", item["id"], "--note", "sent")
    assert (done.code, "done" in done.out, "sent" in done.out) == (0, True, True)
    assert sidekick("task", "list", "--status", "pending").out == "no tasks\n"


def test_a_table_fits_80_columns_and_wraps_its_last(sidekick: Callable[..., Ran]) -> None:
    sidekick("task", "create", "long words " * 30, "--due", "2026-03-01T09:00:00Z")
    shown = sidekick("task", "list").out.splitlines()
    assert (len(shown) > 4, shown[0].split()) == (True, ["id", "pri", "status", "due", "title"])


def test_what_was_stored_cannot_drive_the_terminal(sidekick: Callable[..., Ran]) -> None:
    sidekick("task", "create", "red \x1b[31m \u202e alert\u0007")
    shown = sidekick("task", "list").out + sidekick("task", "list", "--json").out
    assert ("\x1b" in shown, "\u202e" in shown, "\u0007" in shown) == (False, False, False)


def test_a_preview_stores_nothing(sidekick: Callable[..., Ran]) -> None:
    previewed = sidekick("task", "create", "maybe", "--dry-run")
    assert "nothing was done; it would be:" in previewed.out
    assert sidekick("task", "list").out == "no tasks\n"


def test_a_key_makes_a_repeated_command_have_one_effect(sidekick: Callable[..., Ran]) -> None:
    ids = {made(sidekick("task", "create", "once", "--key", "k", "--json"), "task") for _ in "ab"}
    assert (len(ids), sidekick("task", "list", "--json").data["count"]) == (1, 1)


def test_memory_is_stored_recalled_and_forgotten(sidekick: Callable[..., Ran]) -> None:
    memory = made(sidekick("memory", "store", "likes dark roast", "--type", "preference", "--json"),
                  "memory")  # fmt: skip
    found = sidekick("memory", "recall", "roast")
    assert (found.code, memory in found.out, "[roast]" in found.out) == (0, True, True)
    assert sidekick("memory", "forget", memory).out == f"forgotten: {memory}\n"
    assert sidekick("memory", "recall", "roast").out == "nothing is remembered that fits\n"


def test_a_message_is_sent_and_received(sidekick: Callable[..., Ran]) -> None:
    assert sidekick("channel", "configure", "ops").code == 0
    assert sidekick("channel", "send", "deployed", "--channel", "ops", "--sender", "ada").code == 0
    shown = sidekick("channel", "receive", "--channel", "ops", "--limit", "1").out
    assert ("ada" in shown, "deployed" in shown) == (True, True)
    assert sidekick("channel", "receive", "--channel", "other").out == "no messages\n"


def test_a_routine_is_kept_and_planned_and_nothing_is_called(sidekick: Callable[..., Ran]) -> None:
    steps = ("--step", "task:list", "--step", 'task:create={"title": "tea"}')
    kept = sidekick("routine", "create", "morning", *steps, "--cron", "0 7 * * *", "--json")
    routine = made(kept, "routine")
    planned = sidekick("routine", "run", routine).out.splitlines()
    assert planned == [
        f"{routine}  morning: planned, nothing was called",
        "  0  task:list  {}",
        '  1  task:create  {"title": "tea"}',
    ]
    assert sidekick("task", "list").out == "no tasks\n"
    assert "0 7 * * *" in sidekick("routine", "list").out


@pytest.mark.parametrize("step", ["task:create={", "task:create=[1]"])
def test_a_step_whose_input_is_no_object_is_a_usage_error(
    sidekick: Callable[..., Ran], step: str
) -> None:
    refused = sidekick("routine", "create", "r", "--step", step)
    assert (refused.code, "--step" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("task", "complete", "task-00000000"), 3, "next: conductor sidekick task list"),
        (("task", "schedule", "x", "--cron", "banana"), 2, "/cron"),
        (("task", "create", " "), 2, "next: conductor sidekick task create --help"),
        (("task", "update", "x", "--title", "y"), 3, 'toolset = "full"'),
        (("task", "ready"), 2, "full tool set"),
        (("channel", "send", "x", "--provider", "slack"), 1, "webhooks_out"),
        (("task", "create"), 2, "Missing argument"),
        (("memory", "store", "x", "--type", "rumour"), 2, "rumour"),
    ],
)
def test_a_refusal_has_its_exit_code_and_names_the_next_command(
    sidekick: Callable[..., Ran], words: tuple[str, ...], code: int, said: str
) -> None:
    refused = sidekick(*words)
    assert (refused.code, said in refused.err) == (code, True), refused.err


def test_a_refusal_as_json_is_the_whole_answer(sidekick: Callable[..., Ran]) -> None:
    refused = sidekick("task", "complete", "task-00000000", "--json")
    assert (refused.code, refused.json["success"], refused.json["error"]["code"]) == (
        3, False, "NOT_FOUND",
    )  # fmt: skip


def test_the_full_tool_set_has_the_other_commands(sidekick: Callable[..., Ran], full: None) -> None:
    first = made(sidekick("task", "create", "first", "--json"), "task")
    second = made(sidekick("task", "create", "second", "--after", first, "--json"), "task")
    ready = sidekick("task", "ready", "--json").data["items"]
    assert [item["id"] for item in ready] == [first]
    assert sidekick("task", "update", second, "--title", "2nd").code == 0
    assert sidekick("task", "complete", first).out.splitlines()[-1] == f"unblocked: {second}"
    sidekick("channel", "send", "x")
    assert "default" in sidekick("channel", "list").out


def test_what_needs_an_approval_names_the_command_that_grants_it(
    sidekick: Callable[..., Ran], full: None
) -> None:
    task = made(sidekick("task", "create", "x", "--json"), "task")
    asked = sidekick("task", "cancel", task, "--reason", "no longer")
    assert (asked.code, "next: conductor approvals grant" in asked.err) == (1, True)


def test_status_counts_and_init_makes_the_directory(
    sidekick: Callable[..., Ran], place: Path
) -> None:
    assert "initialized" in sidekick("init").out
    assert (place / ".sidekick").is_dir()
    sidekick("task", "create", "x")
    status = sidekick("status", "--json").data
    assert (status["task_count"], status["initialized"]) == (1, True)


def test_the_workspace_may_be_named(
    sidekick: Callable[..., Ran], tmp_path: Path, place: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    sidekick("task", "create", "there", "-w", str(other))
    assert sidekick("task", "list").out == "no tasks\n"
    assert sidekick("task", "list", "-w", str(other), "--json").data["count"] == 1
    assert sidekick("task", "list", "-w", str(tmp_path / "gone")).code != 0


@pytest.fixture
def filled(sidekick: Callable[..., Ran], tmp_path: Path) -> Path:
    sidekick("task", "create", "kept", "--tag", "a")
    sidekick("memory", "store", "kept too")
    sidekick("channel", "send", "and this")
    file = tmp_path / "export.json"
    written = sidekick("export", "--out", str(file))
    assert (written.code, written.out) == (0, f"wrote {file}\n")
    return file


def test_an_export_is_a_file_for_its_owner_and_never_overwrites(
    sidekick: Callable[..., Ran], filled: Path
) -> None:
    assert filled.stat().st_mode & 0o777 == 0o600
    again = sidekick("export", "--out", str(filled))
    assert (again.code, "SIDEKICK_FILE_REFUSED" in again.err) == (1, True)


def test_an_export_is_restored_whole_elsewhere_with_its_ids(
    sidekick: Callable[..., Ran], filled: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    counted = sidekick("import", str(filled), "--dry-run", "-w", str(other), "--json").json
    assert (counted["tasks"], counted["memories"], counted["messages"]) == (1, 1, 1)
    assert sidekick("task", "list", "-w", str(other)).out == "no tasks\n"
    assert sidekick("import", str(filled), "-w", str(other)).code == 0
    before, after = (
        sidekick("export", "-w", where, "--no-audit", "--json").data["data"]
        for where in (".", str(other))
    )
    assert before == after


def test_a_restore_refuses_a_workspace_that_holds_something_unless_told_to_replace(
    sidekick: Callable[..., Ran], filled: Path
) -> None:
    sidekick("task", "create", "newer")
    refused = sidekick("import", str(filled))
    assert (refused.code, "SIDEKICK_STORE_NOT_EMPTY" in refused.err) == (1, True)
    assert sidekick("import", str(filled), "--replace").code == 0
    assert [item["title"] for item in sidekick("task", "list", "--json").data["items"]] == ["kept"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("kept", "Kept"),
        lambda text: text[: len(text) // 2],
        lambda _: "[]",
        lambda _: "{}",
        lambda _: '{"data": {"tasks": 3}, "checksum": "x"}',
    ],
)
def test_a_changed_or_torn_export_is_refused_and_nothing_is_touched(
    sidekick: Callable[..., Ran], filled: Path, spoil: Callable[[str], str]
) -> None:
    filled.write_text(spoil(filled.read_text()))
    refused = sidekick("import", str(filled), "--replace")
    assert (refused.code, "SIDEKICK_EXPORT_INVALID" in refused.err) == (4, True)
    assert sidekick("task", "list", "--json").data["count"] == 1


def test_what_export_prints_as_json_can_be_restored_too(
    sidekick: Callable[..., Ran], filled: Path, tmp_path: Path
) -> None:
    for number, words in enumerate([("export",), ("export", "--json")]):
        file = tmp_path / f"{number}.json"
        file.write_text(sidekick(*words).out)
        assert sidekick("import", str(file), "--replace").code == 0
    assert sidekick("import", str(tmp_path / "gone.json")).code == 1


def test_the_storage_is_copied_into_the_other_kind(
    sidekick: Callable[..., Ran], filled: Path, place: Path
) -> None:
    copied = sidekick("storage", "migrate", "--to", "sqlite")
    assert (copied.code, 'set storage = "sqlite"' in copied.out) == (0, True)
    (place / "conductor.toml").write_text('[pack.sidekick]\nstorage = "sqlite"\n')
    assert [item["title"] for item in sidekick("task", "list", "--json").data["items"]] == ["kept"]
    again = sidekick("storage", "migrate", "--to", "sqlite")
    assert (again.code, "SIDEKICK_STORE_NOT_EMPTY" in again.err) == (1, True)
