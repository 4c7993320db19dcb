"""The kernel's inbox file: written, torn, healed, read and marked."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from conductor_sdk.clock import ManualClock
from conductor_sdk.event import parse_event
from conductor_server import signals
from conductor_server.digests import SeenNumbers
from conductor_server.errors import SignalsUnreadable
from conductor_server.inbox import RECEIPTS, mark_read, read_signals
from conductor_server.line_file import append_lines
from conductor_server.signals import SIGNALS, SignalFile, render

CLOCK = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
FOREIGN = {
    "id": "sig-0000000a", "message": "from the kernel", "created_at": "2025-12-31T00:00:00.000Z",
    "read": False, "type": "coordination", "sender": "system", "origin": "local",
    "remote_id": "sig-0000000a",
}  # fmt: skip


def lines(root: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (root / SIGNALS).read_text().splitlines()]


def put(root: Path, text: str) -> None:
    (root / SIGNALS).parent.mkdir(parents=True, exist_ok=True)
    with (root / SIGNALS).open("a") as file:
        file.write(text)


def test_an_event_becomes_a_signal_of_the_kernels_format(tmp_path: Any, made: Any) -> None:
    event = made("acme-demo:job_completed", key="1", wu_id="WU-17", result="ok")

    SignalFile(tmp_path, CLOCK).append([event])

    [line] = lines(tmp_path)
    assert re.fullmatch(r"sig-[0-9a-f]{8}", str(line.pop("id")))
    assert {
        "message": "acme-demo:job_completed: wu_id=WU-17, result=ok",
        "created_at": "2026-01-01T00:00:00.000Z",
        "read": False,
        "type": "acme-demo:job_completed",
        "sender": "ws-1",
        "origin": "remote",
        "remote_id": event.event_id,
        "wu_id": "WU-17",
    } == line


@pytest.mark.parametrize("wu_id", ["acme-job-1", "WU-", "WU-1\n", "xWU-1", "WU-\u0661", 17, None])
def test_a_wu_id_of_another_shape_is_left_out(tmp_path: Any, made: Any, wu_id: Any) -> None:
    SignalFile(tmp_path, CLOCK).append([made(wu_id=wu_id)])

    assert "wu_id" not in lines(tmp_path)[0]


def test_the_file_is_private_and_only_ever_appended_to(tmp_path: Any, made: Any) -> None:
    file = SignalFile(tmp_path, CLOCK)
    file.append([made(key="1")])
    before = (tmp_path / SIGNALS).read_bytes()
    file.append([made(key="2")])

    assert (tmp_path / SIGNALS).read_bytes().startswith(before)
    assert 0o600 == (tmp_path / SIGNALS).stat().st_mode & 0o777


def test_an_event_is_one_signal_however_often_it_comes(tmp_path: Any, made: Any) -> None:
    file = SignalFile(tmp_path, CLOCK)

    fresh = [
        file.append([made(key="1"), made(key="1"), made(key="2")]),
        file.append([made(key="2")]),
        SignalFile(tmp_path, CLOCK).append([made(key="1"), made(key="3")]),
    ]

    assert [2, 0, 1] == fresh
    assert [made(key=k).event_id for k in "123"] == [line["remote_id"] for line in lines(tmp_path)]


def test_an_id_that_is_taken_is_not_given_again(tmp_path: Any, made: Any, monkeypatch: Any) -> None:
    put(tmp_path, json.dumps(FOREIGN) + "\n")
    numbers = iter([10, 10, 11])
    monkeypatch.setattr(signals.secrets, "randbits", lambda bits: next(numbers))

    SignalFile(tmp_path, CLOCK).append([made()])

    assert ["sig-0000000a", "sig-0000000b"] == [line["id"] for line in lines(tmp_path)]


def test_a_torn_last_line_is_cut_off_before_the_next_append(tmp_path: Any, made: Any) -> None:
    torn = json.dumps(FOREIGN)[:40]
    put(tmp_path, json.dumps(FOREIGN) + "\n" + torn)
    file = SignalFile(tmp_path, CLOCK)

    file.append([made(key="1")])

    assert [FOREIGN["id"], True] == [lines(tmp_path)[0]["id"], len(lines(tmp_path)) == 2]
    assert len(torn) == file.healed_bytes


def test_a_long_torn_line_is_cut_off_whole(tmp_path: Any, made: Any) -> None:
    put(tmp_path, json.dumps(FOREIGN) + "\n" + '{"id":"' + "x" * 200_000)

    SignalFile(tmp_path, CLOCK).append([made(key="1")])

    assert 2 == len(lines(tmp_path))


def test_a_whole_last_line_that_only_lacks_its_end_is_kept(tmp_path: Any, made: Any) -> None:
    put(tmp_path, json.dumps(FOREIGN))

    SignalFile(tmp_path, CLOCK).append([made(key="1")])

    assert [FOREIGN, 2] == [lines(tmp_path)[0], len(lines(tmp_path))]


def test_a_write_that_fails_leaves_the_file_as_it_was(
    tmp_path: Any, made: Any, monkeypatch: Any
) -> None:
    file = SignalFile(tmp_path, CLOCK)
    file.append([made(key="1")])
    before = (tmp_path / SIGNALS).read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("conductor_server.line_file.os.fsync", fail)
        with pytest.raises(OSError, match="No space"):
            file.append([made(key="2")])

    assert before == (tmp_path / SIGNALS).read_bytes()
    assert 1 == file.append([made(key="2")])


def test_a_version_1_event_has_a_sender_too(tmp_path: Any) -> None:
    event = parse_event(
        b'{"schema_version":1,"kind":"workspace_warning","timestamp":"2026-01-01T00:00:00Z",'
        b'"message":"look"}'
    )

    SignalFile(tmp_path, CLOCK).append([event])

    assert ("system", "workspace_warning: message=look") == (
        lines(tmp_path)[0]["sender"], lines(tmp_path)[0]["message"],
    )  # fmt: skip


def test_a_message_is_one_short_line(made: Any) -> None:
    text = render(made(text="two\nlines", deep={"a": [1, None]}, long="y" * 500))

    assert 'acme-demo:job_completed: text=two lines, deep={"a": [1, null]}, long=yyy' in text
    assert ("…", 200) == (text[-1], len(text))
    assert "acme-demo:job_completed" == render(made())


def test_a_missing_file_is_an_empty_inbox(tmp_path: Any) -> None:
    assert [] == read_signals(tmp_path)
    assert 0 == mark_read(tmp_path, ["sig-00000001"], CLOCK)


def test_marking_leaves_the_signals_untouched_and_counts_once(tmp_path: Any, made: Any) -> None:
    SignalFile(tmp_path, CLOCK).append([made(key="1"), made(key="2")])
    before = (tmp_path / SIGNALS).read_bytes()
    first, second = [signal.id for signal in read_signals(tmp_path)]

    marked = [
        mark_read(tmp_path, [first, first, "sig-unknown"], CLOCK),
        mark_read(tmp_path, [first], CLOCK),
    ]

    assert [1, 0] == marked
    assert [second] == [signal.id for signal in read_signals(tmp_path, unread_only=True)]
    assert [(first, True), (second, False)] == [(s.id, s.read) for s in read_signals(tmp_path)]
    assert before == (tmp_path / SIGNALS).read_bytes()
    assert {"signal_id": first, "read_at": "2026-01-01T00:00:00.000Z"} == json.loads(
        (tmp_path / RECEIPTS).read_text()
    )


def test_an_inline_read_flag_counts_as_read(tmp_path: Any) -> None:
    put(tmp_path, json.dumps({**FOREIGN, "read": True}) + "\n")

    assert [] == read_signals(tmp_path, unread_only=True)


def test_a_torn_receipt_shows_its_signal_once_more(tmp_path: Any) -> None:
    put(tmp_path, json.dumps(FOREIGN) + "\n")
    (tmp_path / RECEIPTS).write_text('{"signal_id":"sig-0000000a","read')

    assert 1 == len(read_signals(tmp_path, unread_only=True))
    assert 1 == mark_read(tmp_path, ["sig-0000000a"], CLOCK)
    assert [] == read_signals(tmp_path, unread_only=True)


def test_filters_narrow_by_work_unit_lane_and_time(tmp_path: Any) -> None:
    old = {**FOREIGN, "id": "sig-1", "wu_id": "WU-1", "lane": "one"}
    new = {**FOREIGN, "id": "sig-2", "created_at": "2026-01-02T00:00:00Z", "lane": "two"}
    put(tmp_path, json.dumps(old) + "\n" + json.dumps(new) + "\n")
    since = datetime(2026, 1, 1, tzinfo=UTC)

    found = [
        [s.id for s in read_signals(tmp_path, wu_id="WU-1")],
        [s.id for s in read_signals(tmp_path, lane="two")],
        [s.id for s in read_signals(tmp_path, since=since)],
        [s.id for s in read_signals(tmp_path, since=since + timedelta(days=1))],
    ]

    assert [["sig-1"], ["sig-2"], ["sig-2"], []] == found


def test_a_bad_line_is_named_and_a_torn_last_one_passed_over(tmp_path: Any) -> None:
    put(tmp_path, json.dumps(FOREIGN) + "\n" + '{"id":')
    assert 1 == len(read_signals(tmp_path))
    put(tmp_path, "\n")

    with pytest.raises(SignalsUnreadable, match="line 2"):
        read_signals(tmp_path)


def test_an_old_record_without_the_later_fields_is_read(tmp_path: Any) -> None:
    fields = {"id": "sig-1", "message": "m", "created_at": "2026-01-01T00:00:00Z", "read": False}
    put(tmp_path, json.dumps(fields) + "\n")

    [signal] = read_signals(tmp_path)

    assert ("coordination", "system", "local", "sig-1") == (
        signal.type, signal.sender, signal.origin, signal.remote_id,
    )  # fmt: skip


def test_a_time_that_is_none_is_named_where_it_matters(tmp_path: Any) -> None:
    put(tmp_path, json.dumps({**FOREIGN, "created_at": "yesterday"}) + "\n")

    assert 1 == len(read_signals(tmp_path))
    with pytest.raises(SignalsUnreadable, match="not a time"):
        read_signals(tmp_path, since=datetime(2026, 1, 1, tzinfo=UTC))


def test_appended_lines_follow_each_other(tmp_path: Any) -> None:
    assert 0 == append_lines(tmp_path / "deep" / "file", [b"1", b"2"])
    assert 0 == append_lines(tmp_path / "deep" / "file", [b"3"])

    assert b"1\n2\n3\n" == (tmp_path / "deep" / "file").read_bytes()


def test_numbers_are_found_again_beyond_the_newest() -> None:
    seen, numbers = SeenNumbers(), [n * 7919 % 2**64 for n in range(100_000)]

    added = [seen.add(number) for number in numbers]

    assert all(added)
    assert len(numbers) == len(seen)
    assert not any(seen.add(number) for number in numbers[::97])
    assert 3 not in seen
    assert len(seen._sealed) < 20
