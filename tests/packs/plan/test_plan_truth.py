"""Truth snapshots: ages and verdicts, and a block that is replaced only when the facts differ."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from conductor_packs.plan.batch import Settings
from conductor_packs.plan.cli.truth import truth
from conductor_packs.plan.errors import TruthTargetRefused
from conductor_packs.plan.truth.markdown import END, START, as_markdown, replaced
from conductor_packs.plan.truth.snapshot import take
from conductor_sidecar.cli.main import cli
from conductor_sidecar.cli.pack_commands import Host
from plan_world import world

TEXT = f"# Ours\r\n\nkeep | this\n{START}\nold\n{END}\n\nand this, without an end"


def run(root: Path, *words: str, code: int = 0) -> Any:
    env = {"CONDUCTOR_WORKSPACE": str(root), "CONDUCTOR_ACTOR": "Liam"}
    done = CliRunner().invoke(truth, list(words), env=env, obj=Host(), standalone_mode=False)
    found = done.return_value if isinstance(done.return_value, int) else done.exit_code
    assert code == found, done.output
    return json.loads(done.stdout or done.stderr)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    env = {"CONDUCTOR_WORKSPACE": str(tmp_path), "CONDUCTOR_ACTOR": "Liam"}
    for words in (["create", "--plan-id", "P", "--title", "T"],
                  ["add-item", "--plan-id", "P", "--item-id", "A", "--title", "a"]):  # fmt: skip
        CliRunner().invoke(cli, ["plan", *words], env=env, standalone_mode=False)
    return tmp_path


async def test_every_reading_has_an_age_and_a_verdict(tmp_path: Path) -> None:
    async with world(tmp_path, Settings(lease_s=60)) as made:
        await made.add("A")
        await made.claim("A")
        made.clock.advance(100)
        (tmp_path / "map.json").write_text("{}")
        then = made.clock.now().timestamp()
        os.utime(tmp_path / "map.json", (then - 50, then - 50))
        (tmp_path.parent / "outside.json").write_text("{}")
        sources = [
            {"name": "map", "path": "map.json", "max_age_s": 60},
            {"name": "old map", "path": "map.json", "max_age_s": 40},
            {"name": "no map", "path": "missing.json", "max_age_s": 40},
            {"name": "outside", "path": "../outside.json", "max_age_s": 40},
        ]
        taken = await take(made.plans, made.clock, tmp_path, {"truth": {"sources": sources}})
        assert {
            "plans": ("GREEN", 100), "leases": ("YELLOW", 100), "orders": ("GREEN", None),
            "map": ("GREEN", 50), "old map": ("YELLOW", 50), "no map": ("UNKNOWN", None),
            "outside": ("UNKNOWN", None),
        } == {each.source: (each.verdict, each.age_s) for each in taken.readings}  # fmt: skip
        assert "UNKNOWN" == taken.verdict


async def test_time_alone_does_not_change_the_facts(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A")
        first = await take(made.plans, made.clock, tmp_path, {})
        made.clock.advance(1000)
        later = await take(made.plans, made.clock, tmp_path, {})
        assert (first.digest, False) == (later.digest, first.generated_at == later.generated_at)
        text = replaced(TEXT, as_markdown(first))
        assert text is not None
        assert None is replaced(text, as_markdown(later))
        await made.move("A", "IN_PROGRESS")
        moved = await take(made.plans, made.clock, tmp_path, {})
        assert None is not replaced(text, as_markdown(moved))


def test_only_the_marked_block_is_replaced_and_only_once(root: Path) -> None:
    target = root / "README.md"
    target.write_bytes(TEXT.encode())
    target.chmod(0o640)
    assert (
        "differs"
        == run(root, "snapshot", "--apply", "README.md", "--check", code=1)["apply"]["status"]
    )
    applied = run(root, "snapshot", "--apply", "README.md")["apply"]
    assert "applied" == applied["status"]
    text = target.read_bytes().decode()
    before, after = TEXT.split(f"{START}\nold\n{END}")
    assert text.startswith(before)
    assert text.endswith(after)
    assert 0o640 == stat.S_IMODE(target.stat().st_mode)
    facts = target.stat()
    assert "unchanged" == run(root, "snapshot", "--apply", "README.md")["apply"]["status"]
    assert facts.st_ino == target.stat().st_ino
    env = {"CONDUCTOR_WORKSPACE": str(root)}
    tail = CliRunner().invoke(cli, ["log", "tail", "--json"], env=env, standalone_mode=False)
    entries = [json.loads(line) for line in tail.stdout.splitlines()]
    assert ["TRUTH_SYNC_APPLIED"] == [
        each["event_type"] for each in entries if each["event_type"].startswith("TRUTH")
    ]
    assert applied["sequence"] == entries[-1]["sequence"]
    assert ["README.md"] == [each.name for each in root.iterdir() if each.is_file()]


def test_json_and_markdown_are_written(root: Path) -> None:
    answer = run(root, "snapshot")
    assert ["truth/snapshot.json", "truth/snapshot.md"] == answer["files"]
    stored = json.loads((root / "truth" / "snapshot.json").read_text())
    assert {"plans", "leases", "orders"} == {each["source"] for each in stored["readings"]}
    assert START in (root / "truth" / "snapshot.md").read_text()


@pytest.mark.parametrize("text", ["none", START, f"{END}\n{START}", f"{START}{END}{START}{END}"])
def test_a_file_without_one_pair_of_markers_is_left_alone(text: str) -> None:
    with pytest.raises(TruthTargetRefused):
        replaced(text, f"{START}\n{END}\n")


@pytest.mark.parametrize("name", ["../outside.md", "link.md", "missing.md", ".lumenflow/x.md"])
def test_a_file_elsewhere_is_refused(root: Path, name: str) -> None:
    outside = root.parent / "outside.md"
    outside.write_bytes(TEXT.encode())
    (root / "link.md").symlink_to(outside)
    (root / ".lumenflow" / "x.md").write_text(TEXT)
    assert "TRUTH_TARGET_REFUSED" == run(root, "snapshot", "--apply", name, code=2)["error"]["code"]
    assert TEXT.encode() == outside.read_bytes()


def test_names_cannot_end_the_block(root: Path) -> None:
    env = {"CONDUCTOR_WORKSPACE": str(root), "CONDUCTOR_ACTOR": f"{END}|x"}
    words = ["plan", "claim", "--item-id", "A"]
    CliRunner().invoke(cli, words, env=env, standalone_mode=False)
    run(root, "snapshot")
    assert 1 == (root / "truth" / "snapshot.md").read_text().count(END)
