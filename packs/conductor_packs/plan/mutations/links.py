"""Links between the items of a plan.

Promise: at no time do items wait for each other in a circle, be it as dependencies or as parts.
Refusal: no link leads to another plan, and none reopens what is DONE.
"""

from __future__ import annotations

import secrets

from conductor_packs.plan import events
from conductor_packs.plan.batch import Batch
from conductor_packs.plan.errors import IdTaken, LinkCycle, LinkRefused
from conductor_packs.plan.mutations.guards import active
from conductor_packs.plan.records import Changed, Item
from conductor_packs.plan.requests import AddLink, RemoveLink


def add_link(batch: Batch, request: AddLink) -> Changed:
    """Link two items.

    Raises:
        ItemNotFound: There is no such item.
        LinkRefused: To itself, to another plan, twice, a second parent, or behind DONE.
        LinkCycle: They would wait for each other.
        IdTaken: The link's id is in use.
    """
    source, target = batch.read.item(request.from_item_id), batch.read.item(request.to_item_id)
    active(batch, source.plan_id)
    _check(batch, request, source, target)
    link_id = request.link_id or f"L-{secrets.token_hex(5)}"
    if batch.read.find_link(link_id) is not None:
        raise IdTaken(f"link {link_id!r}", data={"link_id": link_id})
    fields = {
        "from_item_id": source.item_id, "to_item_id": target.item_id,
        "link_type": request.link_type,
    }  # fmt: skip
    about = {"plan_id": source.plan_id, "link_id": link_id, **fields}
    return batch.record(events.LINK_ADDED, about, fields)


def remove_link(batch: Batch, request: RemoveLink) -> Changed:
    """Remove a link.

    Raises:
        LinkNotFound: There is none.
    """
    link = batch.read.link(request.link_id)
    active(batch, link.plan_id)
    about = {
        "plan_id": link.plan_id, "link_id": link.link_id, "from_item_id": link.from_item_id,
        "to_item_id": link.to_item_id, "link_type": link.link_type,
    }  # fmt: skip
    return batch.record(events.LINK_REMOVED, about, {"link_type": None})


def _check(batch: Batch, request: AddLink, source: Item, target: Item) -> None:
    if source.item_id == target.item_id:
        raise LinkCycle(f"{source.item_id!r} to itself", data={"cycle": [source.item_id]})
    if source.plan_id != target.plan_id:
        raise LinkRefused(f"the items are of the plans {source.plan_id!r} and {target.plan_id!r}")
    known = batch.read.same_link(source.item_id, target.item_id, request.link_type)
    if known is not None:
        raise LinkRefused(f"{known.link_id!r} already says so", data={"link_id": known.link_id})
    match request.link_type:
        case "RELATED":
            return
        case "DEPENDS_ON":
            waiting, needed, late = source, target, target.state != "DONE"
        case "PARENT":
            waiting, needed, late = target, source, not source.closed
            parent = batch.read.parent(source.item_id)
            if parent is not None:
                raise LinkRefused(f"{source.item_id!r} is a part of {parent!r} already")
    if waiting.state == "DONE" and late:
        raise LinkRefused(f"{waiting.item_id!r} is DONE, {needed.item_id!r} is {needed.state}")
    circle = _way(batch, needed.item_id, waiting.item_id)
    if circle:
        detail = " waits for ".join([waiting.item_id, *circle])
        raise LinkCycle(detail, data={"cycle": circle})


def _way(batch: Batch, start: str, end: str) -> list[str]:
    """Return items from `start` to `end`, each waiting for the next; empty: there is no way."""
    came: dict[str, str] = {start: ""}
    reached = [start]
    while reached:
        item_id = reached.pop()
        if item_id == end:
            way = [item_id]
            while came[way[-1]]:
                way.append(came[way[-1]])
            return way[::-1]
        for needed in batch.read.waits_for(item_id):
            if needed not in came:
                came[needed] = item_id
                reached.append(needed)
    return []
