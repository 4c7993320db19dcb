"""What must be true of a world at rest: the delivery contract, breach by breach.

Each check returns what is wrong. What a history that was lost took with it may be missing, but only
where a gap was told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass

from conductor_sdk.chain.entry import Head
from conductor_sdk.chain.verify import Verdict as Walk
from conductor_sdk.event import keyed_event_id, parse_event
from conductor_sdk.records import KindCounts
from conductor_sidecar.app import open_stores
from conductor_sidecar.desk import StoreFacts
from conductor_state.journal import SqliteJournal
from simworld import pack
from simworld.conductor import SUBJECT, Sent, SimConductor
from simworld.life import LIFE, Life
from simworld.pack import Desk
from simworld.sidecar import SETTINGS, SimSidecar

EVERYTHING = 1_000_000


@dataclass(frozen=True)
class Evidence:
    """Everything that a verdict stands on."""

    conductor: SimConductor
    desk: Desk
    facts: StoreFacts
    letters: set[str]
    buried: Counter[str]
    """Ids of dead letters in the journal."""
    gap_entries: int
    walk: Walk
    rows: list[tuple[str, str, int, str]]
    """Committed effects: id, lane, number, life."""
    clean: set[str]
    """Names of lives that ended as asked."""
    pushed: list[list[tuple[str, str, int]]]
    """By history: id, kind and number of what arrived, in order."""
    gaps: list[tuple[int, int, int, int]]
    """Old history, old cursor, new history, start."""


async def judge(
    sidecar: SimSidecar, conductor: SimConductor, desk: Desk, tally: Counter[str]
) -> list[str]:
    """Look at the files of a sidecar that has ended, and at what the conductor has."""
    evidence = await _collect(sidecar, conductor, desk)
    tally["sent"] += len(conductor.sent)
    tally["effects"] += len(evidence.rows) + len(desk.plain)
    tally["pushed"] += sum(map(len, evidence.pushed))
    tally["gaps"] += len(evidence.gaps)
    tally["letters"] += len(evidence.letters)
    return [
        *_nothing_lost(evidence), *_effects_once(evidence), *_attempts(evidence), *_order(evidence),
        *_pushes(evidence), *unbalanced(evidence.facts), *_accounts(evidence), *_journal(evidence),
    ]  # fmt: skip


def unbalanced(facts: StoreFacts) -> list[str]:
    """Conservation, for every kind, both ways."""
    return [
        f"{way} {kind!r} does not balance: {counts}"
        for way, kinds in (("inbound", facts.inbound), ("outbound", facts.outbound))
        for kind, counts in kinds.items() if not counts.balanced
    ]  # fmt: skip


async def _collect(sidecar: SimSidecar, conductor: SimConductor, desk: Desk) -> Evidence:
    token = LIFE.set(Life("judge", sidecar._trace))
    try:
        workspace = sidecar.workspace
        async with open_stores(
            workspace, SETTINGS, clock=sidecar.clock, storage=sidecar.storage
        ) as stores:
            facts = await stores.desk.facts()
            letters = await stores.dead_letters.list(limit=EVERYTHING)
        journal = SqliteJournal(workspace.journal_db, clock=sidecar.clock, storage=sidecar.storage)
        anchors = [
            Head(anchor.size, anchor.hash)
            for history in conductor.histories for anchor in await history.anchors(SUBJECT)
        ]  # fmt: skip
        walk = await journal.verify(anchors)
        entries = [entry async for entry in journal.entries()]
        await journal.close()
    finally:
        LIFE.reset(token)
    epochs = {history.epoch: number for number, history in enumerate(conductor.histories)}
    return Evidence(
        conductor, desk, facts, {letter.event_id for letter in letters},
        Counter(str(_payload(e).get("event_id")) for e in entries
                if e.event_type == "DEAD_LETTERED"),
        sum(entry.event_type == "GAP_DETECTED" for entry in entries), walk,
        _rows(sidecar), {life.name for life in sidecar.clean},
        [[_up(event.body) for event in await history.pushed(SUBJECT, 0, EVERYTHING)]
         for history in conductor.histories],
        [(epochs.get(gap["old_epoch"], -1), gap["old_cursor"], epochs[gap["epoch"]], gap["start"])
         for gap in desk.gaps],
    )  # fmt: skip


def _payload(entry: object) -> dict[str, object]:
    import msgspec

    found: dict[str, object] = msgspec.json.decode(entry.payload)  # type: ignore[attr-defined]
    return found


def _up(body: bytes) -> tuple[str, str, int]:
    event = parse_event(body)
    return event.event_id, event.kind, event.payload["n"]


def _rows(sidecar: SimSidecar) -> list[tuple[str, str, int, str]]:
    path = sidecar.workspace.pack_db(pack.SLUG)
    if sidecar.storage.size(path) is None:
        return []
    with closing(sidecar.storage.connect_read_only(path)) as connection:
        tables = "SELECT name FROM sqlite_master WHERE name = 'effects'"
        if not connection.execute(tables).fetchone():
            return []
        query = "SELECT event_id, lane, n, life FROM effects ORDER BY place"
        return connection.execute(query).fetchall()


def _excused(found: Evidence, sent: Sent) -> bool:
    """Tell whether a gap that was told covers what did not come."""
    if sent.event_id in found.conductor.acked:
        return False  # acknowledged: nothing excuses its loss
    if sent.epoch < _first_joined(found):
        return True  # that history was lost before the sidecar had ever heard of it
    for old, cursor, new, start in found.gaps:
        after = sent.epoch > old or (sent.epoch == old and sent.sequence > cursor)
        before = sent.epoch < new or (sent.epoch == new and sent.sequence <= start)
        if after and before:
            return True
    return False


def _first_joined(found: Evidence) -> int:
    joined = [old for old, *_ in found.gaps if old >= 0]
    return min(joined, default=len(found.pushed) - 1)


def _ends(found: Evidence) -> set[str]:
    return {row[0] for row in found.rows} | {effect[0] for effect in found.desk.plain}


def _nothing_lost(found: Evidence) -> list[str]:
    done, problems = _ends(found), []
    for sent in found.conductor.sent.values():
        came = sent.event_id in (found.letters if sent.kind in pack.BURIED else done)
        if sent.kind != pack.NOBODY and not came and not _excused(found, sent):
            problems.append(f"lost: {sent}")
    wanted = {s.event_id for s in found.conductor.sent.values() if s.kind in pack.HANDLED}
    return problems + [f"effect of nothing: {event_id}" for event_id in sorted(done - wanted)]


def _effects_once(found: Evidence) -> list[str]:
    kinds = {sent.event_id: sent.kind for sent in found.conductor.sent.values()}
    lives: defaultdict[str, list[str]] = defaultdict(list)
    for event_id, _, _, life in found.rows:
        lives[event_id].append(life)
    for event_id, _, _, of in found.desk.plain:
        lives[event_id].append(of.name)
    problems = []
    for event_id, of in lives.items():
        if kinds.get(event_id) in {pack.ONCE, pack.FLAKY} and len(of) > 1:
            problems.append(f"{kinds[event_id]} {event_id} has effects in {of}")
        if len(set(of)) < len(of):
            problems.append(f"{event_id} twice in one life: {of}")
        problems += [f"{event_id} repeated after the clean {life}: {of}"
                     for life in of[:-1] if life in found.clean]  # fmt: skip
    return problems


def _attempts(found: Evidence) -> list[str]:
    """Whatever kills its handler, or the process, is given up after its attempts."""
    kinds = {sent.event_id: sent.kind for sent in found.conductor.sent.values()}
    return [
        f"{kinds[event_id]} {event_id} was tried {calls} times"
        for event_id, calls in found.desk.calls.items()
        if kinds.get(event_id) in pack.BURIED and calls > pack.ATTEMPTS
    ]


def _order(found: Evidence) -> list[str]:
    """First effects of a lane come in the order in which its events were first sent."""
    # What was sent again after a loss may have come from either place.
    unsure = found.conductor.again if found.conductor.forgotten else set()
    place = {
        sent.event_id: (sent.epoch, sent.sequence)
        for sent in found.conductor.sent.values() if sent.event_id not in unsure
    }  # fmt: skip
    problems = []
    for name, effects in (
        ("row", [(event_id, lane) for event_id, lane, _, _ in found.rows]),
        ("plain", [(event_id, lane) for event_id, lane, _, _ in found.desk.plain]),
    ):
        lanes: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for event_id, lane in effects:
            lanes[lane].setdefault(event_id)
        for lane, ids in lanes.items():
            places = [place[event_id] for event_id in ids if event_id in place]
            if places != sorted(places):
                problems.append(f"{name} effects of {lane} are out of order: {places}")
    return problems


def _pushes(found: Evidence) -> list[str]:
    problems = []
    for number, pushed in enumerate(found.pushed):
        ids = Counter(event_id for event_id, _, _ in pushed)
        problems += [f"{event_id} arrived {n} times" for event_id, n in ids.items() if n > 1]
        said = [event_id for event_id, kind, _ in pushed if kind == pack.SAID]
        order = {event_id: place for place, (event_id, _) in enumerate(found.desk.queued)}
        places = [order[event_id] for event_id in said if event_id in order]
        if places != sorted(places):
            problems.append(f"pushes are out of order in history {number}: {places}")
    arrived = {event_id for pushed in found.pushed for event_id, _, _ in pushed}
    wanted = dict.fromkeys(event_id for event_id, _ in found.desk.queued)
    once = {s.event_id for s in found.conductor.sent.values() if s.kind in {pack.ONCE, pack.FLAKY}}
    rows = [row[0] for row in found.rows if row[0] in once]
    wanted |= dict.fromkeys(keyed_event_id(SUBJECT, pack.DONE, event_id) for event_id in rows)
    return problems + [f"push {each} never arrived" for each in wanted if each not in arrived]


def _accounts(found: Evidence) -> list[str]:
    """What the sidecar counted is what the conductor sent and has."""
    problems = []
    inbound, outbound = found.facts.inbound, found.facts.outbound
    if not found.conductor.forgotten:
        sent = Counter(each.kind for each in found.conductor.sent.values())
        sent[""] = found.conductor.malformed
        for kind, number in sent.items():
            if (accepted := inbound.get(kind, KindCounts()).accepted) != number:
                problems.append(f"{number} of {kind!r} were sent, {accepted} accepted")
        arrived = Counter(kind for _, kind, _ in found.pushed[0])
        # A handler that runs again pushes again: the conductor calls that a duplicate.
        for kind, repeats in ((pack.DONE, arrived[pack.DONE]), (pack.SAID, 0)):
            delivered = outbound.get(kind, KindCounts()).delivered
            if not arrived[kind] <= delivered <= arrived[kind] + repeats:
                problems.append(f"{arrived[kind]} of {kind!r} arrived, {delivered} delivered")
    dead = sum(counts.dead_lettered for counts in inbound.values())
    if dead != len(found.letters):
        problems.append(f"{dead} counted as dead letters, {len(found.letters)} there")
    return problems


def _journal(found: Evidence) -> list[str]:
    problems = [] if found.walk.intact else [f"the journal: {found.walk}"]
    problems += [f"no entry of the dead letter {each}"
                 for each in sorted(found.letters - found.buried.keys())]  # fmt: skip
    if found.gap_entries < len({(old, cursor, new) for old, cursor, new, _ in found.gaps}):
        problems.append(f"{found.gap_entries} gaps in the journal, told of {found.gaps}")
    return problems
