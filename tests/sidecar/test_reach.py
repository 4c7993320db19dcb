"""How long a command waits for the stores: for as long as it is somebody else's turn each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor_sdk.errors import SidecarUnreachable
from conductor_sidecar.cli import reach
from conductor_state.lock import WorkspaceBusy


def nobody() -> int:
    raise SidecarUnreachable("none runs")


class Held:
    """A lock that is held by these processes, one after the other."""

    def __init__(self, *holders: int) -> None:
        self.holders = list(holders)

    def __call__(self, lock_wait_s: float) -> int:
        if not self.holders:
            return 1
        raise WorkspaceBusy("held", data={"pid": self.holders.pop(0)})


def test_it_waits_on_while_the_lock_changes_hands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "LOCK_WAIT_S", 0.0)

    assert 1 == reach.Reach(tmp_path).one_of(nobody, Held(1, 2, 3, 4))


def test_it_gives_up_on_one_that_holds_it_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "LOCK_WAIT_S", 0.0)
    held = Held(1, 2, 2, 2)
    with pytest.raises(WorkspaceBusy):
        reach.Reach(tmp_path).one_of(nobody, held)

    assert [2] == held.holders
