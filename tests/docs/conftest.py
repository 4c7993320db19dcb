"""A conductor beside the page: what its reader is assumed to have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doc_runner import Reader
from practice import Practice

WORKSPACE = "ws1"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Someone in an empty directory."""
    place = tmp_path / "place"
    place.mkdir()
    with Reader(place) as someone:
        yield someone


@pytest.fixture
def practice(tmp_path: Path) -> Iterator[Practice]:
    """A real `conductor dev` with a token for one workspace."""
    place = tmp_path / "conductor"
    place.mkdir()
    with Reader(place) as operator:
        yield Practice(operator, WORKSPACE)
