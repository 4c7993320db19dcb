"""A long log, changed anywhere: the quick walk and the slow one find the same."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_sdk.chain.batch import Checker, as_entry, is_canonical
from conductor_sdk.chain.canonical import PayloadRefused, canonical_json, parse_payload
from conductor_sdk.chain.entry import Draft, Entry, Head, extend, genesis, link_hash, prepare
from conductor_sdk.chain.verdict import Verdict
from conductor_sdk.chain.verify import Walk, verify
from conductor_state.journal import SqliteJournal

COLUMNS = ("sequence", "chain_version", "time", "event_type", "actor", "session_id", "task_id",
           "payload", "previous", "hash")  # fmt: skip
LONG = 2100
"""More than a page of the walk."""


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Head]:
    path = tmp_path_factory.mktemp("long") / "journal.db"

    async def write() -> Head:
        journal = SqliteJournal(path)
        await journal.append_many(
            [
                Draft("NOTED", "tester", {"at": at, "é": ["x", {"deep": None}]}, f"s-{at}")
                for at in range(LONG)
            ]
        )
        head = Head(*await journal.head())
        await journal.close()
        return head

    return path, asyncio.run(write())


def changed(path: Path, target: Path, *statements: str) -> Path:
    target.write_bytes(path.read_bytes())
    connection = sqlite3.connect(target, isolation_level=None)
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type='trigger'"
    ).fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for statement in statements:
        connection.execute(statement)
    connection.close()
    return target


async def verified(path: Path, *anchors: Head) -> Verdict:
    journal = SqliteJournal(path)
    try:
        return await journal.verify(anchors)
    finally:
        await journal.close()


@pytest.mark.parametrize("at", [1, 2, 1999, 2000, 2001, LONG])
@pytest.mark.parametrize("column", COLUMNS)
async def test_any_column_is_guarded_at_the_borders_of_the_pages_too(
    long_log: tuple[Path, Head], tmp_path: Path, column: str, at: int
) -> None:
    path, anchor = long_log
    value = "9999" if column in {"sequence", "chain_version"} else f"{column} || 'x'"
    copy = changed(
        path, tmp_path / "copy.db", f"UPDATE journal SET {column} = {value} WHERE sequence = {at}"
    )

    verdict = await verified(copy, anchor)

    assert (verdict.chain, verdict.first_bad, verdict.size) == ("CORRUPTED", at, LONG)


async def test_the_type_of_a_value_is_guarded_even_where_its_bytes_are_the_same(
    long_log: tuple[Path, Head], tmp_path: Path
) -> None:
    path, anchor = long_log
    for column in COLUMNS[2:]:
        loose = ", ".join(["sequence INTEGER PRIMARY KEY", *COLUMNS[1:]])
        copy = changed(
            path, tmp_path / "copy.db", f"CREATE TABLE loose ({loose})",
            f"INSERT INTO loose SELECT {', '.join(COLUMNS)} FROM journal", "DROP TABLE journal",
            "ALTER TABLE loose RENAME TO journal",
            f"UPDATE journal SET {column} = CAST({column} AS BLOB) WHERE sequence = 7",
        )  # fmt: skip
        assert (await verified(copy, anchor)).first_bad == 7


@pytest.mark.parametrize("at", [1, 2000, 2001, LONG])
async def test_a_row_or_a_tail_taken_out_is_found(
    long_log: tuple[Path, Head], tmp_path: Path, at: int
) -> None:
    path, anchor = long_log
    for compare in ("=", ">="):
        statement = f"DELETE FROM journal WHERE sequence {compare} {at}"
        verdict = await verified(changed(path, tmp_path / "copy.db", statement), anchor)
        assert (verdict.intact, verdict.first_bad) == (False, at)


async def test_an_entry_is_located_by_its_hash_so_that_a_walk_need_not_remember(
    long_log: tuple[Path, Head],
) -> None:
    journal = SqliteJournal(long_log[0])
    entries = await journal.tail(0, 9)

    assert journal._file.located(entries[4].hash, 8) == 5
    assert journal._file.located(entries[4].hash, 5) is None
    assert journal._file.located("\udcff", 5) is None
    await journal.close()


async def test_memory_stays_flat_whatever_the_length(long_log: tuple[Path, Head]) -> None:
    rows = [tuple(getattr(entry, name) for name in ("chain_version", "sequence", *COLUMNS[2:]))
            for entry in await _entries(long_log[0])]  # fmt: skip
    log_id = (await _entries(long_log[0]))[0].log_id
    walk = Walk(log_id, locate=lambda digest, below: None)
    tracemalloc.start()
    walk.add_rows(rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert walk.verdict().chain == "OK"
    assert peak < 1_500_000  # names are remembered up to a bound; nothing else is


async def _entries(path: Path) -> list[Entry]:
    journal = SqliteJournal(path)
    found = await journal.tail(0, LONG)
    await journal.close()
    return found


async def test_quick_and_slow_walk_agree_on_random_damage(long_log: tuple[Path, Head]) -> None:
    journal = SqliteJournal(long_log[0])
    entries = await journal.tail(0, 60)
    await journal.close()
    log_id = entries[0].log_id
    rng = random.Random(5)
    clean = [tuple(getattr(e, n) for n in ("chain_version", "sequence", *COLUMNS[2:]))
             for e in entries]  # fmt: skip
    for _ in range(400):
        rows = [list(row) for row in clean]
        for _ in range(rng.randrange(3)):
            match rng.randrange(3):
                case 0:
                    row, column = rng.randrange(len(rows)), rng.randrange(10)
                    rows[row][column] = rng.choice(["x", 7, None, b"x", "\udcff", 1.0, 2**70, -1])
                case 1:
                    del rows[rng.randrange(len(rows))]
                case _:
                    rows.insert(rng.randrange(len(rows)), list(rng.choice(clean)))
        quick = Walk(log_id)
        at = 0
        while at < len(rows):
            step = rng.randrange(1, 30)
            quick.add_rows([tuple(row) for row in rows[at : at + step]])
            at += step
        slow = verify([as_entry(tuple(row), log_id) for row in rows], log_id)
        assert quick.verdict() == slow


def test_the_quick_walk_names_a_payload_that_is_hashed_but_not_canonical() -> None:
    bare = extend("log", Head(0, genesis("log")), [prepare(Draft("NOTED", "a", {}))] * 3, "T")[0]
    entry = msgspec.structs.replace(bare, payload='{"at": 1}', hash="")
    entry = msgspec.structs.replace(entry, hash=link_hash(entry))
    walk = Walk("log")

    walk.add_rows([tuple(getattr(entry, n) for n in ("chain_version", "sequence", *COLUMNS[2:]))])

    assert (walk.verdict().reason, walk.verdict().first_bad) == ("PAYLOAD_NOT_CANONICAL", 1)


# --- the quick check of payloads ----------------------------------------------------------------


@given(st.text() | st.from_regex(r'\{"[a-c]":[-0-9.eE"\\u/x\[\]{},:ntf]{0,12}\}', fullmatch=True))
def test_what_the_quick_check_passes_the_slow_one_passes(text: str) -> None:
    if is_canonical(text):
        parse_payload(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_the_quick_check_never_contradicts_the_writer(payload: dict[str, object]) -> None:
    text = canonical_json(payload)
    if is_canonical(text):
        assert parse_payload(text) == payload
    if '"' in text[1:-1]:
        worse = text.replace(":", ": ", 1)
        if is_canonical(worse):
            parse_payload(worse)


@pytest.mark.parametrize(
    "text",
    ['{"a":1.0}', '{"a":1e3}', '{"a":9007199254740993}', '{"a":1,"a":1}', '{"b":1,"a":1}',
     '{"a":-0}', '{"a":"\\/"}', '{"a":"\\u0041"}', "[]", "", '{"\U0001f600":1,"\ufb33":2}'],
)  # fmt: skip
def test_the_quick_check_leaves_the_unusual_to_the_slow_one(text: str) -> None:
    assert not is_canonical(text)


def test_a_usual_payload_takes_the_quick_way() -> None:
    assert is_canonical('{"a":[1,{"b":null,"c":true}],"é":"x\\n"}')
    with pytest.raises(PayloadRefused):
        parse_payload('{"a":1.0}')
    assert Checker("log").sound([], 1, genesis("log")) == 0


# --- SIGKILL ------------------------------------------------------------------------------------

WRITER = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from conductor_sdk.chain.entry import Draft
    from conductor_state.journal import SqliteJournal

    async def main():
        journal = SqliteJournal(Path(sys.argv[1]))
        def work(transaction):
            connection = transaction.connection
            connection.execute("CREATE TABLE IF NOT EXISTS beside (at INTEGER)")
            for at in range(3):
                transaction.append(Draft("NOTED", "writer", {"at": at}))
                connection.execute("INSERT INTO beside VALUES (?)", (transaction.head.size,))
            return transaction.head.size
        while True:
            print(await journal.transaction(work), flush=True)

    asyncio.run(main())
""")


def killed_after(count: int, path: Path) -> list[int]:
    """Kill a writer after so many confirmed commits; return the sizes that it confirmed."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        confirmed = [int(process.stdout.readline()) for _ in range(count)]
        os.kill(process.pid, signal.SIGKILL)
        process.wait(20)
        return confirmed + [int(line) for line in process.stdout if line.endswith("\n")]


async def test_sigkill_during_transactions_leaves_a_sound_chain_and_equal_tables(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    rng = random.Random(6)
    for _ in range(4):
        confirmed = killed_after(rng.randrange(1, 12), path)

        verdict = await verified(path)
        journal = SqliteJournal(path)
        beside = await journal.view(
            lambda view: view.connection.execute("SELECT at FROM beside ORDER BY at").fetchall()
        )
        await journal.close()

        assert (verdict.chain, verdict.intact) == ("OK", True)
        assert verdict.size >= confirmed[-1]
        assert [row[0] for row in beside] == list(range(1, verdict.size + 1))
