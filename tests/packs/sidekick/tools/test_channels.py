"""C1 to C14 and C19 to C22: channels inside of the workspace, on every adapter."""

from __future__ import annotations

import re
from typing import Any

from conductor_packs.sidekick.records import CHANNELS, MESSAGES


async def send(sidekick: Any, content: str = "hello", **fields: Any) -> dict[str, Any]:
    return (await sidekick.ok("channel:send", {"content": content, **fields}))["message"]


async def test_c1_configure_makes_a_channel(sidekick: Any) -> None:
    channel = (await sidekick.ok("channel:configure", name="team"))["channel"]
    assert re.fullmatch(r"chan-[0-9a-f]{8}", channel["id"])
    assert ("team", "terminal") == (channel["name"], channel["type"])


async def test_c2_a_channel_is_stored(sidekick: Any) -> None:
    await sidekick.ok("channel:configure", name="team", type="terminal")
    assert [("team", "terminal")] == [(c.name, c.type) for c in await sidekick.stored(CHANNELS)]


async def test_c3_the_same_name_twice_is_one_channel_and_one_event(sidekick: Any) -> None:
    first = await sidekick.ok("channel:configure", name="team")
    sidekick.later()
    assert first == await sidekick.ok("channel:configure", name=" team ")
    assert len(await sidekick.stored(CHANNELS)) == 1
    assert [("channel:configure", "create")] == await sidekick.trail()


async def test_c4_configure_is_audited(sidekick: Any) -> None:
    channel = (await sidekick.ok("channel:configure", name="team"))["channel"]
    [event] = await sidekick.port.audit_events()
    assert ("channel:configure", "create", (channel["id"],)) == (event.tool, event.op, event.ids)


async def test_c5_a_dry_configuration_makes_nothing(sidekick: Any) -> None:
    data = await sidekick.ok("channel:configure", name="team", dry_run=True)
    assert (True, "team") == (data["dry_run"], data["channel"]["name"])
    assert [] == await sidekick.stored(CHANNELS)


async def test_c6_configure_without_a_name(sidekick: Any) -> None:
    assert await sidekick.code("channel:configure") == "INVALID_INPUT"


async def test_c7_send_returns_the_message(sidekick: Any) -> None:
    message = await send(sidekick)
    assert re.fullmatch(r"msg-[0-9a-f]{8}", message["id"])
    assert ("hello", "assistant") == (message["content"], message["sender"])


async def test_c8_a_message_is_stored_with_sender_and_metadata(sidekick: Any) -> None:
    await send(sidekick, sender="bob", metadata={"thread": 7})
    [message] = await sidekick.stored(MESSAGES)
    assert ("hello", "bob", {"thread": 7}) == (message.content, message.sender, message.metadata)


async def test_c9_without_a_channel_it_goes_to_default(sidekick: Any) -> None:
    message = await send(sidekick)
    [channel] = await sidekick.stored(CHANNELS)
    assert ("default", message["channel_id"]) == (channel.name, channel.id)


async def test_c10_a_named_channel_is_made(sidekick: Any) -> None:
    await send(sidekick, channel="alerts")
    assert ["alerts"] == [channel.name for channel in await sidekick.stored(CHANNELS)]


async def test_c11_the_last_hundred_messages_are_kept(sidekick: Any) -> None:
    for number in range(101):
        await send(sidekick, f"message {number}")
        sidekick.later()
    items = (await sidekick.ok("channel:receive"))["items"]
    assert [f"message {number}" for number in range(1, 101)] == [i["content"] for i in items]


async def test_c12_send_is_audited_with_channel_and_message(sidekick: Any) -> None:
    message = await send(sidekick)
    [event] = await sidekick.port.audit_events()
    assert ("channel:send", "create") == (event.tool, event.op)
    assert (message["channel_id"], message["id"]) == event.ids
    assert event.details is None


async def test_c13_a_dry_send_keeps_nothing(sidekick: Any) -> None:
    data = await sidekick.ok("channel:send", content="x", dry_run=True)
    assert data["dry_run"] is True
    assert [] == await sidekick.stored(MESSAGES)
    assert [] == await sidekick.stored(CHANNELS)


async def test_c14_send_without_content(sidekick: Any) -> None:
    assert await sidekick.code("channel:send") == "INVALID_INPUT"


async def test_c19_receive_of_nothing(sidekick: Any) -> None:
    assert {"items": [], "count": 0} == await sidekick.ok("channel:receive")
    assert {"items": [], "count": 0} == await sidekick.ok("channel:receive", channel="nobody")


async def test_c20_receive_of_all_channels_oldest_first(sidekick: Any) -> None:
    await send(sidekick, "one", channel="a")
    sidekick.later()
    await send(sidekick, "two", channel="b")
    items = (await sidekick.ok("channel:receive"))["items"]
    assert ["one", "two"] == [item["content"] for item in items]


async def test_c21_receive_of_one_channel(sidekick: Any) -> None:
    await send(sidekick, "one", channel="a")
    await send(sidekick, "two", channel="b")
    items = (await sidekick.ok("channel:receive", channel="b"))["items"]
    assert ["two"] == [item["content"] for item in items]


async def test_c22_a_limit_keeps_the_newest(sidekick: Any) -> None:
    for content in ("one", "two", "three"):
        await send(sidekick, content)
        sidekick.later()
    items = (await sidekick.ok("channel:receive", limit=2))["items"]
    assert ["two", "three"] == [item["content"] for item in items]


async def test_what_only_a_provider_understands_is_refused(sidekick: Any) -> None:
    given = {"cursor": "x", "metadata": {"a": 1}}
    output = await sidekick.call("channel:receive", given)
    assert ["/cursor", "/metadata"] == [
        problem["pointer"] for problem in output.error.details["problems"]
    ]


async def test_a_message_of_the_workspace_may_be_large_but_its_metadata_may_not(
    sidekick: Any,
) -> None:
    await send(sidekick, "x" * 100_000)
    output = await sidekick.call("channel:send", content="x", metadata={"a": "x" * 65_536})
    assert ["/metadata"] == [one["pointer"] for one in output.error.details["problems"]]
