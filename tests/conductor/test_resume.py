"""Where a session begins."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from conductor_server.resume import Resume, resume

sequences = st.integers(0, 20)


@given(forgotten=sequences, kept=sequences, cursor=sequences, epoch=st.sampled_from(["", "e", "x"]))
def test_everything_kept_and_unknown_is_sent_and_the_rest_is_a_gap(
    forgotten: Any, kept: Any, cursor: Any, epoch: Any
) -> None:
    first, last = forgotten + 1, forgotten + kept

    found = resume(epoch="e", first=first, last=last, known_epoch=epoch, known_cursor=cursor)

    known = set(range(1, cursor + 1)) if epoch == "e" and cursor <= last else set()
    sent = set(range(found.start + 1, last + 1))
    gap = set() if found.gap_from is None else set(range(found.gap_from, found.gap_to + 1))
    assert set(range(first, last + 1)) - known <= sent
    if epoch != "x" and cursor <= last:
        assert set(range(1, last + 1)) == known | gap | sent
        assert found.resumed == (not gap)


def test_another_history_is_sent_from_its_beginning() -> None:
    assert Resume(resumed=False, start=4) == resume(
        epoch="e", first=5, last=9, known_epoch="x", known_cursor=7
    )


def test_a_cursor_beyond_the_history_is_not_believed() -> None:
    assert Resume(resumed=False, start=0) == resume(
        epoch="e", first=1, last=9, known_epoch="e", known_cursor=10
    )
