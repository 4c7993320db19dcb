"""Trace ids of stored events: old files, damaged files, files of the version before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from conductor_sdk.clock import ManualClock
from conductor_sdk.trace_context import trace_id_of
from conductor_state.database import Database
from conductor_state.quarantine import open_or_quarantine
from conductor_state.replay_log import SqliteReplayLog
from conductor_state.salvage_inbound import is_sound
from conductor_state.schema import load_schema
from conductor_state.testing.inbound import arrivals
from conductor_state.testing.traces import TRACES, context, traced
from conductor_state.trace_ids import find_trace, pack_traces


def test_a_batch_without_contexts_takes_no_byte() -> None:
    assert b"" == pack_traces([None] * 4096)
    assert find_trace(None, 0) is None


def test_what_was_packed_is_found_by_index() -> None:
    given = [None, context(TRACES[0]), None, context(TRACES[1]), "no context"]
    blob = pack_traces(given)
    assert 40 == len(blob)
    assert [None, TRACES[0], None, TRACES[1], None, None] == [
        find_trace(blob, index) for index in range(6)
    ]


@pytest.mark.parametrize(("blob", "sound"), [(None, True), (b"x" * 40, True), (b"x" * 39, False)])
def test_a_receipt_whose_traces_are_cut_is_not_sound(blob: bytes | None, sound: bool) -> None:
    row = {"kinds": b"\x92\x91\xa1a\xc4\x00", "keys": b"k" * 16, "events": 1, "traces": blob}
    assert sound == is_sound("receipts", row)


async def test_a_receipt_that_is_lost_gets_its_traces_back_from_the_events(tmp_path: Path) -> None:
    path, schema = tmp_path / "sidecar.db", load_schema("sidecar")
    database = await Database.open(path, schema=schema, clock=ManualClock())
    log = await SqliteReplayLog.open(database)
    await log.receive("e", 2, [*arrivals("a"), traced("b", context())])
    await database.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM receipts")
    database, report = await open_or_quarantine(
        path, schema=schema, clock=ManualClock(), suspect="for the test"
    )
    assert report is not None
    try:
        log = await SqliteReplayLog.open(database)
        stories = [await log.story(event_id) for event_id in "ab"]
    finally:
        await database.close()
    assert [trace_id_of("a", None), TRACES[0]] == [story and story.trace_id for story in stories]
