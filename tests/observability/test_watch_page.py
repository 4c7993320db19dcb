"""docs/how-to/watch.md, executed; and the tables in it, compared with the code."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from conductor_sidecar.health.answers import Code
from conductor_sidecar.log_limits import BURST, PER_S
from conductor_sidecar.logs import TEXT_MAX
from doc_runner import Reader
from expressions import RULES
from house import ROOT
from own_port import own_port

PAGE = ROOT / "docs/how-to/watch.md"


def test_a_sidecar_is_watched_as_the_page_says(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path)
    with Reader(tmp_path) as reader:
        reader.bindings = {"7433": str(own_port())}
        reader.read(PAGE)
        assert 0 == reader.running[0].end()


def test_every_reason_of_health_is_on_the_page() -> None:
    rows = "\n".join(re.findall(r"^\| `.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))

    assert set() == {str(code) for code in Code} - set(re.findall(r"`(\w+)`", rows))


def test_the_limits_of_logs_are_those_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert f"cut at {TEXT_MAX:,} characters" in text
    assert f"at most {BURST:g} times at once and {PER_S:g} times a second" in " ".join(text.split())
