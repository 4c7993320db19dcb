"""The memory tools.

Promise: a recall is ranked where it has a query, and the audit never holds what was remembered.
Refusal: what is forgotten cannot be brought back.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from conductor_packs.sidekick.descriptors import (
    MEMORY_FORGET,
    MEMORY_RECALL,
    MEMORY_STORE,
    MEMORY_UPDATE,
)
from conductor_packs.sidekick.inputs.memory import (
    MemoryForget,
    MemoryRecall,
    MemoryStore,
    MemoryUpdate,
)
from conductor_packs.sidekick.records import MEMORIES, Memory, as_json
from conductor_packs.sidekick.semantic import fused
from conductor_packs.sidekick.storage.port import MemoryHit, MemoryQuery
from conductor_packs.sidekick.tools.desk import Answer, Desk, found, invalid, runs
from conductor_packs.sidekick.tools.ledger import Ledger
from conductor_packs.sidekick.tools.task_views import moment_of


@runs(MEMORY_STORE)
async def memory_store(given: MemoryStore, desk: Desk) -> Answer:
    """Keep a memory."""

    def store(ledger: Ledger) -> Memory:
        memory = Memory(
            id=ledger.new_id(MEMORIES), type=given.type, content=given.content,
            tags=tuple(given.tags), created_at=desk.stamp, updated_at=desk.stamp,
        )  # fmt: skip
        ledger.put(MEMORIES, memory)
        ledger.audit("create", ids=(memory.id,))
        return memory

    return desk.answer(memory=as_json(await desk.change(store)))


@runs(MEMORY_RECALL)
async def memory_recall(given: MemoryRecall, desk: Desk) -> Answer:
    """Return the memories that match, the best first."""
    query = MemoryQuery(
        text=given.query or None, type=given.type, tags=tuple(given.tags),
        since=moment_of(given.since), until=moment_of(given.until), limit=given.limit,
    )  # fmt: skip
    if given.semantic:
        hits = await _by_meaning(query, desk)
    else:
        hits = await desk.read(lambda view: view.search(query))
    items = [_shown(hit, ranked=query.text is not None) for hit in hits]
    return {"items": items, "count": len(items)}


@runs(MEMORY_UPDATE)
async def memory_update(given: MemoryUpdate, desk: Desk) -> Answer:
    """Change the named fields of a memory."""
    named: dict[str, Any] = {
        name: tuple(value) if name == "tags" else value
        for name in ("type", "content", "tags")
        if (value := getattr(given, name)) is not None
    }
    if not named:
        raise invalid(("", "name at least one field to change"))

    def change(ledger: Ledger) -> Memory:
        memory = found(ledger, MEMORIES, given.id)
        return ledger.revise(MEMORIES, memory, named, desk.stamp)

    return desk.answer(memory=as_json(await desk.change(change)))


@runs(MEMORY_FORGET)
async def memory_forget(given: MemoryForget, desk: Desk) -> Answer:
    """Remove a memory."""

    def forget(ledger: Ledger) -> str:
        memory = found(ledger, MEMORIES, given.id)
        ledger.remove(MEMORIES, memory.id)
        ledger.audit("delete", ids=(memory.id,))
        return memory.id

    return desk.answer(deleted_id=await desk.change(forget))


async def _by_meaning(query: MemoryQuery, desk: Desk) -> list[MemoryHit]:
    """Return what the words find and what means the same, fused by rank."""
    meanings, text = desk.pack.meanings(), query.text
    if meanings is None:
        raise invalid(("/semantic", "there is no embedder: set sidekick.semantic"))
    if text is None:
        raise invalid(("/semantic", "needs a query"))
    words, anything = replace(query, limit=None), replace(query, limit=None, text=None)
    by_words, known = await desk.read(lambda view: (view.search(words), view.search(anything)))
    memories = [hit.record for hit in known]
    nearest = await asyncio.to_thread(meanings.nearest, text, memories)
    return fused(by_words, nearest, {hit.record.id: hit for hit in known})[: query.limit]


def _shown(hit: MemoryHit, *, ranked: bool) -> dict[str, Any]:
    shown = as_json(hit.record)
    return {**shown, "snippet": hit.snippet, "score": hit.score} if ranked else shown
