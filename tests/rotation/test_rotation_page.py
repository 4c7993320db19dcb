"""The page on rotating a credential, executed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doc_runner import Reader
from house import ROOT


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Someone in an empty directory."""
    with Reader(tmp_path) as someone:
        yield someone


def test_a_credential_is_rotated_as_the_page_says(reader: Reader) -> None:
    def port() -> str:
        return reader.running[0].wait_for(r"listening on http://127\.0\.0\.1:(\d+)")[1]

    reader.bindings = {"PORT": port}
    reader.read(ROOT / "docs/how-to/rotate-credentials.md")

    conductor, sidecar = reader.running
    assert [0, 0] == [sidecar.end(), conductor.end()]
    assert "Traceback" not in sidecar.printed + conductor.printed
