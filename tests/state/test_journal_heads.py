"""Kept checkpoints: compared and replaced in one step, and never forgotten."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from conductor_sdk.chain.checkpoint import Checkpoint
from conductor_sdk.chain.merkle import consistency_proof, leaf_hash, root_of
from conductor_sdk.chain.witness import accept
from conductor_state.journal_heads import HeadsUnreadable, holding_heads, read_heads

LEAVES = [leaf_hash(bytes([number])) for number in range(40)]


def head(size: int, origin: str = "log/a") -> Checkpoint:
    return Checkpoint(origin, size, root_of(LEAVES[:size]))


def test_what_was_kept_is_read_again_by_origin(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    with holding_heads(path) as kept:
        assert kept.get("log/a") is None
        kept.put(head(3))
        kept.put(head(5, "log/b"))
        kept.put(head(4))

    with holding_heads(path) as kept:
        assert kept.all() == [head(4), head(5, "log/b")]
    assert read_heads(path) == [head(4), head(5, "log/b")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_reading_makes_no_file(tmp_path: Path) -> None:
    assert read_heads(tmp_path / "kept.json") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"format": 9, "heads": {}}', '{"format": 1}',
     '{"format": 1, "heads": {"a": 3}}', '{"format": 1, "heads": {"a": {"size": 1, "root": "x"}}}',
     '{"format": 1, "heads": []}', "\x00"],
)  # fmt: skip
def test_damaged_content_is_never_taken_for_no_content(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kept.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(HeadsUnreadable), holding_heads(path):
        pass
    with pytest.raises(HeadsUnreadable):
        read_heads(path)
    assert path.read_text(encoding="utf-8") == text


def test_a_place_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HeadsUnreadable), holding_heads(tmp_path / "no" / "kept.json"):
        pass


def test_of_many_that_bring_checkpoints_at_once_none_goes_back(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    sizes: list[int] = []

    def bring(size: int) -> None:
        with holding_heads(path) as kept:
            seen = kept.get("log/a")
            old = 0 if seen is None else seen.size
            if size >= old:
                proof = consistency_proof(old, LEAVES[:size])
                kept.put(accept(seen, head(size), old, proof))
                sizes.append(size)

    threads = [threading.Thread(target=bring, args=(size,)) for size in (9, 3, 27, 14, 38, 1, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sizes == sorted(sizes)
    assert read_heads(path) == [head(38)]
