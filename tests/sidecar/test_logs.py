from __future__ import annotations

import io
import json

import pytest

from conductor_sdk.secret import Secret
from conductor_sidecar.logs import configure, get_logger
from conductor_sidecar.settings import LogSettings


class Gone(io.StringIO):
    """A terminal that has gone away."""

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


def test_a_log_is_one_line_of_json_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json"))
    get_logger(part="test").warning("something", count=3)
    record = json.loads(capsys.readouterr().err)

    expected = {"part": "test", "event": "something", "level": "warning", "count": 3}
    assert expected.items() <= record.items()


def test_control_characters_and_secrets_never_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(LogSettings(format="console"))
    get_logger().error("bad\x1b[31m", token=Secret("canary-7b1f"), text="a\u2028b\x07")
    written = capsys.readouterr().err

    assert "canary" not in written
    assert not {"\x1b[31m", "\u2028", "\x07"} & set(written)


@pytest.mark.parametrize("stream", [Gone(), io.StringIO()], ids=["gone", "closed"])
def test_a_log_that_cannot_be_written_is_lost_not_fatal(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO
) -> None:
    configure(LogSettings(format="json"))
    if not isinstance(stream, Gone):
        stream.close()
    monkeypatch.setattr("sys.stderr", stream)

    get_logger().error("nobody reads this")


def test_records_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(level="error", format="json"))
    get_logger().info("quiet")

    assert capsys.readouterr().err == ""
