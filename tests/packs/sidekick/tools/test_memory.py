"""E1 to E17: the memory tools of the core tool set, on every adapter."""

from __future__ import annotations

import re
from typing import Any

from conductor_packs.sidekick.records import MEMORIES


async def memory(sidekick: Any, content: str = "Ada likes tea", **fields: Any) -> dict[str, Any]:
    given = {"type": "fact", "content": content, **fields}
    return (await sidekick.ok("memory:store", given))["memory"]


async def test_e1_store_returns_the_memory(sidekick: Any) -> None:
    kept = await memory(sidekick)
    assert re.fullmatch(r"mem-[0-9a-f]{8}", kept["id"])
    assert ("fact", "Ada likes tea") == (kept["type"], kept["content"])


async def test_e2_a_memory_is_stored(sidekick: Any) -> None:
    await memory(sidekick)
    assert ["Ada likes tea"] == [one.content for one in await sidekick.stored(MEMORIES)]


async def test_e3_store_is_audited_without_its_content(sidekick: Any) -> None:
    kept = await memory(sidekick)
    [event] = await sidekick.port.audit_events()
    assert ("memory:store", "create", (kept["id"],)) == (event.tool, event.op, event.ids)
    assert event.details is None


async def test_e4_a_dry_store_keeps_nothing(sidekick: Any) -> None:
    data = await sidekick.ok("memory:store", type="note", content="x", dry_run=True)
    assert data["dry_run"] is True
    assert [] == await sidekick.stored(MEMORIES)
    assert [] == await sidekick.trail()


async def test_e5_store_without_a_type(sidekick: Any) -> None:
    assert await sidekick.code("memory:store", content="x") == "INVALID_INPUT"


async def test_e6_store_without_content(sidekick: Any) -> None:
    assert await sidekick.code("memory:store", type="fact") == "INVALID_INPUT"
    assert await sidekick.code("memory:store", type="fact", content="  ") == "INVALID_INPUT"


async def test_e7_store_keeps_tags(sidekick: Any) -> None:
    assert ["a", "b"] == (await memory(sidekick, tags=["a", "b"]))["tags"]


async def test_e8_recall_of_nothing(sidekick: Any) -> None:
    assert {"items": [], "count": 0} == await sidekick.ok("memory:recall")


async def test_e9_recall_of_all_has_the_last_changed_first(sidekick: Any) -> None:
    await memory(sidekick, "older")
    sidekick.later()
    await memory(sidekick, "newer")
    data = await sidekick.ok("memory:recall")
    assert ["newer", "older"] == [item["content"] for item in data["items"]]
    assert all("score" not in item for item in data["items"])


async def test_e10_recall_by_query_in_any_case(sidekick: Any) -> None:
    await memory(sidekick, "The Deployment runs on FRIDAY")
    await memory(sidekick, "something else")
    [item] = (await sidekick.ok("memory:recall", query="friday"))["items"]
    assert item["snippet"] == "The Deployment runs on [FRIDAY]"


async def test_e11_recall_by_tag(sidekick: Any) -> None:
    await memory(sidekick, tags=["Team"])
    await memory(sidekick)
    assert (await sidekick.ok("memory:recall", tags=["team"]))["count"] == 1


async def test_e12_recall_by_type(sidekick: Any) -> None:
    await memory(sidekick)
    await memory(sidekick, type="preference")
    assert (await sidekick.ok("memory:recall", type="preference"))["count"] == 1


async def test_e13_recall_up_to_a_limit(sidekick: Any) -> None:
    await memory(sidekick)
    await memory(sidekick)
    assert (await sidekick.ok("memory:recall", limit=1))["count"] == 1


async def test_e14_forget_removes_and_audits_once(sidekick: Any) -> None:
    kept = await memory(sidekick)
    assert {"deleted_id": kept["id"]} == await sidekick.ok("memory:forget", id=kept["id"])
    assert [] == await sidekick.stored(MEMORIES)
    assert [("memory:store", "create"), ("memory:forget", "delete")] == await sidekick.trail()


async def test_e15_a_dry_forget_keeps_it(sidekick: Any) -> None:
    kept = await memory(sidekick)
    data = await sidekick.ok("memory:forget", id=kept["id"], dry_run=True)
    assert {"deleted_id": kept["id"], "dry_run": True} == data
    assert len(await sidekick.stored(MEMORIES)) == 1


async def test_e16_forgetting_what_is_unknown(sidekick: Any) -> None:
    assert await sidekick.code("memory:forget", id="mem-00000000") == "NOT_FOUND"


async def test_e17_forgetting_without_an_id(sidekick: Any) -> None:
    assert await sidekick.code("memory:forget") == "INVALID_INPUT"


async def test_a_recall_puts_the_best_match_first(sidekick: Any) -> None:
    await memory(sidekick, "The build server restarts at night")
    sidekick.later()
    await memory(sidekick, "A server, and many other things that are said about the weather")
    sidekick.later()
    await memory(sidekick, "Nothing of that kind")
    items = (await sidekick.ok("memory:recall", query="build server"))["items"]
    assert [
        "The build server restarts at night",
        "A server, and many other things that are said about the weather",
    ] == [item["content"] for item in items]
    assert items[0]["score"] > items[1]["score"]


async def test_a_recall_within_a_time(sidekick: Any) -> None:
    await memory(sidekick, "first")
    sidekick.later(60)
    await memory(sidekick, "second")
    since = await sidekick.ok("memory:recall", since="2026-01-01T00:01:00Z")
    until = await sidekick.ok("memory:recall", until="2026-01-01T00:01:00Z")
    assert ["second"] == [item["content"] for item in since["items"]]
    assert ["first"] == [item["content"] for item in until["items"]]
