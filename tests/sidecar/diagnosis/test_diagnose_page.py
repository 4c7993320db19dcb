"""docs/how-to/diagnose.md, executed beside a running sidecar."""

from __future__ import annotations

from pathlib import Path

from doc_runner import Reader
from house import ROOT

PAGE = ROOT / "docs/how-to/diagnose.md"


def test_the_doctor_and_the_bundle_work_as_the_page_says(tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        reader.start("conductor sidecar --adapter memory")
        reader.type("conductor inbox --send conductor:recovery_requested --payload '{}'")
        reader.read(PAGE)

    assert 0o600 == (tmp_path / "bundle.tar.gz").stat().st_mode & 0o777
