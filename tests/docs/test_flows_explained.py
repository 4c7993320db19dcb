"""What explanations and decisions say of flows, held against the code that makes it so."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

import pytest

from conductor_flows.capabilities.sqlite_rows import SqliteRows
from conductor_flows.dsl.flow import Flow
from conductor_flows.execute.keys import KEYS_KEPT
from conductor_flows.execute.working import TURN
from conductor_flows.host.web.live import AHEAD, KEPT_BYTES
from conductor_flows.ir.identity import NAMESPACE
from conductor_flows.ir.terms import DurabilityMode
from conductor_flows.measures.names import PREFIX
from conductor_flows.validate.registry import CODES
from conductor_flows.validate.rules.reliability import LEAST_TTL_MS
from house import ROOT

EXPLAINED = ROOT / "docs/explanation/flows.md"
DECIDED = sorted((ROOT / "docs/adr").glob("001[4-7]-*.md"))
CODE = re.compile(r"\b(?:DAG-CKPT-|[A-Z]{3,}(?=\d))\d{3}\b")


def plain(page: Path) -> str:
    """A page's words, without the ends of its lines."""
    return " ".join(page.read_text("utf-8").split())


@pytest.mark.parametrize("page", [EXPLAINED, *DECIDED], ids=lambda page: page.stem)
def test_every_code_on_the_page_is_registered(page: Path) -> None:
    assert set() == set(CODE.findall(page.read_text("utf-8"))) - set(CODES)


def test_the_numbers_of_the_explanation_are_those_of_the_code() -> None:
    text = plain(EXPLAINED)

    assert f"among the newest {KEYS_KEPT:,} of a run" in text
    assert (300_000, True) == (LEAST_TTL_MS, "remembered for five minutes at least" in text)
    assert ["`off`", "`partial`, the default", "`strong`"] == [
        f"`{mode}`" + (", the default" if mode == default_mode() else "") for mode in DurabilityMode
    ]
    assert "| | `off` | `partial`, the default | `strong` |" in text


def default_mode() -> DurabilityMode:
    return Flow("any", "1.0.0").ir().policies.durability.mode


def test_the_decisions_say_what_was_built() -> None:
    dialects, journal, streams, worker = map(plain, DECIDED)

    assert ("latticeflow.", True) == (PREFIX, "the prefix `latticeflow.`" in dialects)
    [seed] = re.findall(r"The namespace is `([\w.]+)`", dialects)
    assert NAMESPACE == uuid5(NAMESPACE_DNS, seed)
    assert f"up to {KEPT_BYTES // 1024 // 1024} MiB" in streams
    assert f"may be {AHEAD} events ahead" in streams
    assert f"After {TURN} calls" in worker
    assert "`journal_mode = TRUNCATE`" in journal


def test_files_of_flows_have_no_wal(tmp_path: Path) -> None:
    async def write() -> None:
        rows = SqliteRows(tmp_path / "rows.db")
        await rows.run(lambda view: view.put("shelf", "key", b"1"))
        await rows.close()

    asyncio.run(write())

    # Two bytes of the header: 1 is a rollback journal, 2 a WAL.
    assert b"\x01\x01" == (tmp_path / "rows.db").read_bytes()[18:20]
