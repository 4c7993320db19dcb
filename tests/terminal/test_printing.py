"""Tables for people, JSON for programs, in a pipe and in 80 columns."""

from __future__ import annotations

import io
import json
import sys

import pytest

from conductor_sdk.terminal_text import columns
from conductor_terminal.printing import (
    age,
    json_text,
    print_json,
    print_line,
    print_table,
    printable,
    size,
    wrapped,
)


def test_a_table_is_aligned_whatever_script_its_cells_are_in(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(["name", "n", "what"], [["日本語", 5, "x"], ["é", 12, "y"], ["plain", 700, "z"]])
    lines = capsys.readouterr().out.splitlines()
    assert {13} == {columns(line[:-1]) for line in lines[1:]}
    assert lines[1].endswith("  5  x")


def test_the_last_column_wraps_within_the_width(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["id", "text"], [["a" * 20, "word " * 40]])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(columns, lines)) <= 80
    assert [" " * 22] * (len(lines) - 2) == [line[:22] for line in lines[2:]]


def test_data_does_not_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["id"], [["\x1b[2Jgone\u202e"]])
    print_json({"id": "\x9b\u202e\u200b"})
    out = capsys.readouterr().out
    assert [] == [each for each in out if each in "\x1b\x9b\u202e\u200b"]
    assert {"id": "\x9b\u202e\u200b"} == json.loads(out[out.index("{") :])


def test_a_path_that_is_no_text_has_a_json_form() -> None:
    assert {"path": "\udcff"} == json.loads(json_text({"path": "\udcff"}))


def test_a_line_of_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_line({"text": "a\nb\u2028c"})
    assert 1 == len(capsys.readouterr().out.splitlines())


def test_whoever_stops_reading_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hushed: list[bool] = []

    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr("conductor_terminal.printing.hush", lambda: hushed.append(True))
    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(BrokenPipeError):
        print_line({})
    assert [True] == hushed


def test_long_words_stay_whole_unless_they_are_not_wanted_so() -> None:
    path = "/" + "x" * 100
    assert path in wrapped(path, first="path  ", then="      ")
    cut = wrapped(path, first="path  ", then="      ", whole_words=False)
    assert max(map(len, cut.splitlines())) <= 80


def test_what_an_ascii_terminal_cannot_print_becomes_a_question_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert "caf? ?" == printable("café ▶")


def test_durations_and_sizes_are_said_for_people() -> None:
    assert ["-", "0 s", "500 ms", "3 s", "5 min", "2 h", "4 d"] == [
        age(each) for each in (None, 0, 0.5, 3, 300, 7200, 345600)
    ]
    assert ["0 B", "1023 B", "1.0 KiB", "2.0 MiB", "3.0 GiB"] == [
        size(each) for each in (0, 1023, 1024, 2 << 20, 3 << 30)
    ]


def test_json_is_whole_where_standard_output_has_no_bytes_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    print_line({"text": "é ▶ 日本"})
    assert {"text": "é ▶ 日本"} == json.loads(raw.getvalue().decode("latin-1"))
