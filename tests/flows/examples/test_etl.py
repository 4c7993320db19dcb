"""The ETL against a plain oracle: out of order, late, twice, and again."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from conductor_flows.capabilities.bindings.spec import parse_all
from conductor_flows.execute.errors import NodeFailed
from conductor_flows.execute.outcomes import Value
from conductor_flows.execute.runner import Invocation
from conductor_flows.host.hosting import Host
from conductor_flows.host.services import serving
from flow_examples import folder, payload, program

SIZE_MS, LATENESS_MS = 300_000, 120_000
LOG = folder("etl") / "log"
Rows = dict[tuple[str, int], tuple[int, int]]


def log_lines() -> list[str]:
    names = [each["key"] for each in payload("etl")["objects"]]
    return [line for name in names for line in (LOG / name).read_text("utf-8").splitlines()]


def oracle(lines: Sequence[str]) -> tuple[Rows, set[str]]:
    """What has to come out: (bytes, requests) by customer and window, and the ids of late lines."""
    newest, counted, late = -1, dict[str, tuple[str, int, int]](), set[str]()
    for line in lines:
        moment, request_id, customer, _, size, _ = line.split()
        at = round(datetime.fromisoformat(moment).timestamp() * 1000)
        start = at - at % SIZE_MS
        watermark = newest - LATENESS_MS
        if newest >= 0 and start + SIZE_MS <= watermark:
            late.add(request_id)
            continue
        newest = max(newest, at)
        counted[request_id] = (customer, start, int(size))
    rows: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    for customer, start, used in counted.values():
        rows[customer, start][0] += used
        rows[customer, start][1] += 1
    return {key: (used, requests) for key, (used, requests) in rows.items()}, late


async def run(files: dict[str, Sequence[str]], database: Path, *, times: int = 1) -> list[Any]:
    """Put files into a store and run the flow over them; returns the answers."""
    listing, answers = list[dict[str, str]](), list[Any]()
    async with serving(
        bindings=parse_all(["blob=memory", "dedupe=memory", f"db=sqlite:{database}"])
    ) as services:
        for name, lines in files.items():
            data = "".join(f"{line}\n" for line in lines).encode()
            await services.capabilities["resource::blob::write"].put(name, data)
            listing.append({"key": name, "sha256": hashlib.sha256(data).hexdigest()})
        host = Host(program("etl"), services)
        for _ in range(times):
            outcome = await host.invoke(Invocation({"objects": listing}))
            assert isinstance(outcome, Value)
            answers.append(outcome.value)
    return answers


def written(database: Path) -> tuple[Rows, set[str], int]:
    """What is in the tables: rows, ids of late lines, and the most writes of a row."""
    connection = sqlite3.connect(database)
    try:
        usage = connection.execute("SELECT * FROM usage").fetchall()
        try:
            late = connection.execute("SELECT request_id FROM late_events").fetchall()
        except sqlite3.OperationalError:
            late = []  # no line was late, so nobody made the table
    finally:
        connection.close()
    rows = {(row[0], row[1]): (row[3], row[4]) for row in usage}
    return rows, {each[0] for each in late}, max(row[5] for row in usage)


def test_the_log_has_what_the_flow_is_about() -> None:
    lines = log_lines()
    times = [line.split()[0] for line in lines]
    _, late = oracle(lines)

    assert 3000 < len(lines)
    assert 300_000 > sum(path.stat().st_size for path in LOG.iterdir())
    assert 400 < sum(a > b for a, b in pairwise(times)), "out of order"
    assert 50 < len(lines) - len(set(lines)), "twice"
    assert 20 < len(late)


def test_the_log_is_what_its_script_writes(tmp_path: Path) -> None:
    script = (folder("etl") / "make_log.py").read_text(encoding="utf-8")
    (tmp_path / "make_log.py").write_text(script, encoding="utf-8")
    scope: dict[str, Any] = {"__name__": "made", "__file__": str(tmp_path / "make_log.py")}
    exec(compile(script, "make_log.py", "exec"), scope)  # our own file
    scope["main"]()

    assert payload("etl") == json.loads((tmp_path / "payload.json").read_text("utf-8"))
    for each in payload("etl")["objects"]:
        assert each["sha256"] == hashlib.sha256((LOG / each["key"]).read_bytes()).hexdigest()


async def test_windows_and_late_lines_are_those_of_the_oracle(tmp_path: Path) -> None:
    lines = log_lines()
    [answer] = await run({"all.log": lines}, tmp_path / "wh.db")
    rows, late, writes = written(tmp_path / "wh.db")

    assert oracle(lines) == (rows, late)
    assert 1 == writes
    assert sum(used for used, _ in rows.values()) == sum(each["bytes"] for each in answer)
    assert len(rows) == sum(each["written"] for each in answer)


async def test_objects_are_read_in_the_order_in_which_they_are_listed(tmp_path: Path) -> None:
    files = {
        each["key"]: (LOG / each["key"]).read_text("utf-8").splitlines()
        for each in payload("etl")["objects"][1:4]
    }
    await run(files, tmp_path / "wh.db")

    expected = oracle([line for lines in files.values() for line in lines])
    assert expected == written(tmp_path / "wh.db")[:2]


async def test_running_twice_writes_each_row_once(tmp_path: Path) -> None:
    lines = log_lines()[-1200:]
    first, second = await run({"a.log": lines}, tmp_path / "wh.db", times=2)
    rows, late, writes = written(tmp_path / "wh.db")

    assert oracle(lines) == (rows, late)
    assert 1 == writes
    assert len(rows) == sum(each["written"] for each in first)
    assert 0 == sum(each["written"] for each in second)


async def test_a_dedupe_store_that_forgot_everything_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):  # another memory each time, the same database
        await run({"a.log": log_lines()[:600]}, tmp_path / "wh.db")

    assert 1 == written(tmp_path / "wh.db")[2]


@pytest.mark.parametrize("seed", range(3))
async def test_repetitions_and_another_order_give_the_same_rows(seed: int, tmp_path: Path) -> None:
    chance, lines = random.Random(seed), log_lines()[:900]
    expected, late = oracle(lines)
    # Lines of one minute change places and come twice: nothing of that is beyond the lateness.
    in_time = [line for line in lines if line.split()[1] not in late]
    mixed = [*in_time, *chance.sample(in_time, 100)]
    mixed.sort(key=lambda line: (line.split()[0][:16], chance.random()))
    await run({"a.log": in_time, "b.log": []}, tmp_path / "wh.db")
    await run({"a.log": mixed}, tmp_path / "wh.db")
    rows, _, writes = written(tmp_path / "wh.db")

    assert expected == rows
    assert 1 == writes


async def test_a_correction_replaces_a_row_instead_of_adding_one(tmp_path: Path) -> None:
    lines = log_lines()[:300]
    await run({"a.log": lines[:-40]}, tmp_path / "wh.db")
    await run({"a.log": lines}, tmp_path / "wh.db")
    rows, late, writes = written(tmp_path / "wh.db")

    assert oracle(lines) == (rows, late)
    assert 2 == writes


async def test_an_object_that_was_changed_is_refused(tmp_path: Path) -> None:
    async with serving(
        bindings=parse_all(["blob=memory", "dedupe=memory", f"db=sqlite:{tmp_path / 'wh.db'}"])
    ) as services:
        await services.capabilities["resource::blob::write"].put("a.log", b"other")
        host = Host(program("etl"), services)
        with pytest.raises(NodeFailed, match="not what was listed"):
            await host.invoke(Invocation({"objects": [{"key": "a.log", "sha256": "0"}]}))
        with pytest.raises(NodeFailed, match="no object"):
            await host.invoke(Invocation({"objects": [{"key": "b.log", "sha256": "0"}]}))


@pytest.mark.parametrize("line", ["", "too short", "no-time r1 acme 200 12 /", "2026 r a b c d"])
async def test_a_line_that_is_none_fails_the_run(line: str, tmp_path: Path) -> None:
    with pytest.raises(NodeFailed) as failed:
        await run({"a.log": [line]}, tmp_path / "wh.db")

    assert "parse" == failed.value.alias
    assert not (tmp_path / "wh.db").exists()
